"""Input and results of ingestion: coerced events, IngestResult, ChangeBatch, LivePresence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NoReturn

from ..errors import InvalidEvent
from .agent_facts import ASSIGNABLE, assignment
from .agent_state import AgentState
from .model import PRESENCE_COLUMNS, AgentPresence, Event, PresenceStatus
from .protocol import Cursor
from .status_rules import Change
from .validation import format_value, is_mapping, validate_string


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Result of a committed ingestion.

    Attributes:
        accepted: number of new events.
        duplicates: number of events that were stored already or reported by another source.
        cursor: the position after the events.
    """

    accepted: int
    duplicates: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of a committed part of an import.

    Attributes:
        accepted: number of new events.
        already_stored: number of events that were in the database before.
        duplicates: number of events that another source had reported.
    """

    accepted: int
    already_stored: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """The changes of one transaction.

    Attributes:
        changes: sorted by seq.
        received: ``time.monotonic()`` of the arrival of the oldest event.
    """

    changes: Sequence[Change]
    received: float


Subscriber = Callable[[ChangeBatch], None]
"""Called with the changes of each transaction, after its commit."""


def coerce_event(agent_id: str, event: Mapping[str, Any] | Event | str) -> Event:
    """Return a validated event of one agent.

    Args:
        event: a dict of Event's fields (others are kept in ``extra``), an Event, or an event type.

    Raises:
        InvalidEvent: another type, or an invalid field.
    """
    if isinstance(event, Event):
        return event.checked(validate_string(agent_id, "agent_id"))
    if isinstance(event, str):
        validate_string(agent_id, "agent_id")
        return Event.from_dict({"agent_id": agent_id, "event_type": event})
    if is_mapping(event):
        return Event.from_dict({**event, "agent_id": agent_id}, keep_unknown=True)
    raise InvalidEvent(
        "event: expected a dict, an Event or an event type such as 'tool_execute', "
        f"got {format_value(event)}",
        "event",
    )


class LivePresence(AgentPresence):
    """An agent's presence as it is now; the fields of ASSIGNABLE can be assigned.

    An assignment is an event: stored, numbered and sent to subscribers when it returns. It holds
    until an event of the agent changes the field. Once the agent is removed, the object keeps its
    last values, and assignments only change the object. A copy (``copy.copy``, ``replace``,
    pickle) is an AgentPresence with the values of now.

    Args:
        presence: the presence so far.
        agents: the states of all agents; an empty one makes the object show ``presence`` and what
            is assigned to it, and nothing later.
        write: stores an event of an agent, unless it was removed.
    """

    __slots__ = ("_agents", "_last", "_write")
    __hash__ = None  # type: ignore[assignment]
    _agents: Mapping[str, AgentState]
    _last: AgentPresence
    _write: Callable[[Event], None]

    def __init__(
        self,
        presence: AgentPresence,
        agents: Mapping[str, AgentState],
        write: Callable[[Event], None],
    ) -> None:
        object.__setattr__(self, "_last", presence)
        object.__setattr__(self, "_agents", agents)
        object.__setattr__(self, "_write", write)

    # Dataclasses are equal, and can be replaced, only if they are of the same class.
    __class__ = property(lambda _: AgentPresence)

    @property
    def now(self) -> AgentPresence:
        """The values of now, which stay as they are."""
        state = self._agents.get(self._last.agent_id)
        if state is not None:
            object.__setattr__(self, "_last", state.presence)
        return self._last

    def __setattr__(self, name: str, value: object) -> None:
        event = assignment(self._last.agent_id, name, value)
        self._write(event)
        checked = ASSIGNABLE[name](value, name)
        if name == "status":
            checked = PresenceStatus(checked)
        object.__setattr__(self, "_last", replace(self._last, **{name: checked}))

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}: fields of a presence cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return AgentPresence, tuple(getattr(self.now, name) for name in PRESENCE_COLUMNS)


for _name in PRESENCE_COLUMNS:
    setattr(LivePresence, _name, property(attrgetter(f"now.{_name}")))
