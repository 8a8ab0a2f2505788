"""Input and results of ingestion: coerced events, IngestResult and ChangeBatch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidEvent
from .model import Event
from .protocol import Cursor
from .roster import Change
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
