"""Event and AgentPresence: what agents report and what is known of an agent.

It owns the field names, their bounds and their JSON forms, and no state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from datetime import UTC, datetime
from enum import Enum
from operator import attrgetter
from typing import Any, TypeVar

from ..errors import InvalidEvent
from .timestamps import to_rfc3339, utc_now
from .validation import (
    MAX_ID_CHARS,
    MAX_INTEGER,
    format_value,
    is_in_range,
    is_mapping,
    parse_time,
    unknown_field,
    validate_count,
    validate_extra,
    validate_number,
    validate_outcome,
    validate_string,
)

MAX_TYPE_CHARS = 64

_Record = TypeVar("_Record")


def fast_constructor(record: type[_Record]) -> Callable[..., _Record]:
    """Return a function that builds ``record`` like the class itself, in a third of the time.

    It takes the fields by name or in order, also where the class wants names.

    Args:
        record: a frozen dataclass with slots and without ``__post_init__``.

    A frozen dataclass sets each of its fields through ``object.__setattr__``. Here an open twin
    with the same slots is filled, and made one of the frozen ones when it is whole.
    """
    twin = make_dataclass(
        f"_Open{record.__name__}",
        [(f.name, f.type, _alike(f)) for f in fields(record)],  # type: ignore[arg-type]
        slots=True,
    )

    def make(*args: Any, **kwargs: Any) -> _Record:
        made = twin(*args, **kwargs)
        made.__class__ = record
        return made  # type: ignore[no-any-return]

    return make


def _alike(of: Any) -> Any:
    if of.default_factory is not MISSING:
        return field(default_factory=of.default_factory)
    return field(default=of.default)


class PresenceStatus(str, Enum):
    """What an agent is doing, in one of three words."""

    ACTIVE = "active"
    IDLE = "idle"
    OFFLINE = "offline"

    def __str__(self) -> str:
        return self.value


def _check_type(value: object, name: str) -> str:
    return validate_string(value, name, MAX_TYPE_CHARS)


_TEXT = (
    "event_id agent_id session_id tool_name tool_use_id feature_id model parent_agent_id project "
    "host source"
).split()
TOKEN_FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
_COUNTS = (*TOKEN_FIELDS, "cost_tokens", "duration_ms")
token_counts: Callable[[object], tuple[int | None, ...]] = attrgetter(*TOKEN_FIELDS)
"""Return an event's five counts, in the order of TOKEN_FIELDS."""
NO_COUNTS = (None,) * len(TOKEN_FIELDS)

_CHECKS: dict[str, Any] = {
    **dict.fromkeys(_TEXT, validate_string),
    **dict.fromkeys(_COUNTS, validate_count),
    "timestamp": parse_time,
    "event_type": _check_type,
    "status": validate_outcome,
    "cost_usd": validate_number,
    "extra": validate_extra,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that an agent did or that happened to it.

    Attributes:
        agent_id: who; 1 to 256 characters.
        timestamp: when, UTC; None means the moment of its arrival.
        event_type: open text of 1 to 64 characters; PROTOCOL.md lists those with a meaning.
        event_id: idempotence key; the same id twice changes nothing; None: never a duplicate.
        status: "ok" or "error".
        input_tokens: uncached input only; output_tokens: reasoning included.
        cost_tokens: all tokens; None means the sum of the five kinds.
        cost_usd: US dollars where the agent itself reports them.
        duration_ms: milliseconds.
        extra: a JSON object of at most 16 KiB and 64 levels.
    """

    agent_id: str
    event_type: str = "activity"
    timestamp: datetime | None = None
    event_id: str | None = None
    session_id: str | None = None
    tool_name: str | None = None
    tool_use_id: str | None = None
    feature_id: str | None = None
    model: str | None = None
    status: str | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    cost_tokens: int | None = None
    cost_usd: float | None = None
    duration_ms: int | None = None
    parent_agent_id: str | None = None
    project: str | None = None
    host: str | None = None
    source: str | None = None
    extra: dict[str, Any] | None = None

    @property
    def total_tokens(self) -> int:
        """All tokens of this event: ``cost_tokens``, else the sum of the five kinds."""
        if self.cost_tokens is not None:
            return self.cost_tokens
        counts = token_counts(self)
        return 0 if counts == NO_COUNTS else min(sum(filter(None, counts)), MAX_INTEGER)

    @classmethod
    def from_dict(cls, data: object, *, keep_unknown: bool = False) -> Event:
        """Return the Event of a JSON object; null counts as absent.

        Args:
            data: field names of this class; ``agent_id`` must be there.
            keep_unknown: put unknown fields into ``extra`` instead of refusing them.

        Raises:
            InvalidEvent: not an object, a field of a wrong type or out of bounds, an unknown field.
        """
        if not is_mapping(data):
            raise InvalidEvent(f"event: expected an object, got {format_value(data)}")
        known: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, value in data.items():
            check = _CHECKS.get(name)
            if check is None:
                unknown[str(name)] = value
            elif value is not None:
                known[name] = check(value, name)
        if unknown:
            if not keep_unknown:
                hint = "put custom fields into 'extra'"
                raise unknown_field(next(iter(unknown)), _CHECKS, hint)
            known["extra"] = validate_extra({**unknown, **known.get("extra", {})}, "extra")
        if "agent_id" not in known:
            raise _no_agent()
        return new_event(**known)

    def checked(self, agent_id: str | None = None) -> Event:
        """Return the event with its fields checked, as ``from_dict``; building one checks nothing.

        Args:
            agent_id: whose event it shall be; None: its own.
        """
        if agent_id is None and _is_sound(self):
            if self.extra is None:
                return self
            *others, extra = _event_values(self)
            return new_event(*others, validate_extra(extra, "extra"))
        values = zip(_EVENT_FIELDS, _event_values(self), _EVENT_CHECKS, strict=True)
        checked = {name: check(value, name) for name, value, check in values if value is not None}
        if agent_id is not None:
            checked["agent_id"] = validate_string(agent_id, "agent_id")
        if "agent_id" not in checked:
            raise _no_agent()
        return new_event(**checked)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of this event, without the fields that are None."""
        values = dict(zip(_EVENT_FIELDS, _event_values(self), strict=True))
        if self.timestamp is not None:
            values["timestamp"] = to_rfc3339(self.timestamp)
        return {name: value for name, value in values.items() if value is not None}


def _is_sound(event: Event) -> bool:
    """Return whether no check would refuse or change a field; ``extra`` is not looked at.

    False proves nothing. It takes a fifth of the time of the checks, which nearly all events pass.
    """
    for text in _event_texts(event):
        if text is not None and not (
            type(text) is str
            and 0 < len(text) <= MAX_ID_CHARS
            and text.isascii()
            and "\0" not in text
        ):
            return False
    for number in _event_counts(event):
        if number is not None and not (type(number) is int and 0 <= number <= MAX_INTEGER):
            return False
    kind, at, cost = event.event_type, event.timestamp, event.cost_usd
    return (
        event.agent_id is not None
        and type(kind) is str
        and len(kind) <= MAX_TYPE_CHARS
        and event.status in (None, "ok", "error")
        and (at is None or (type(at) is datetime and at.tzinfo is UTC and is_in_range(at)))
        and (cost is None or (type(cost) is float and 0 <= cost <= MAX_INTEGER))
    )


def _no_agent() -> InvalidEvent:
    return InvalidEvent('agent_id: missing, expected a string such as "claude-1"', "agent_id")


new_event = fast_constructor(Event)
"""Builds an Event of checked fields, in order or by name, as its class does, but faster."""
_EVENT_FIELDS = tuple(f.name for f in fields(Event))
_EVENT_CHECKS = tuple(_CHECKS[name] for name in _EVENT_FIELDS)
_event_values: Callable[[Event], tuple[Any, ...]] = attrgetter(*_EVENT_FIELDS)
_event_texts: Callable[[Event], tuple[Any, ...]] = attrgetter("event_type", *_TEXT)
_event_counts: Callable[[Event], tuple[Any, ...]] = attrgetter(*_COUNTS)


@dataclass(frozen=True, slots=True)
class AgentPresence:
    """What is known of one agent now.

    Attributes:
        status: the verdict, with ``detail``, ``reason`` (one sentence) and ``since`` (UTC).
        last_activity: the agent's last sign, UTC.
        total_tools_executed: tools of the current session.
        total_cost_tokens: all tokens that the agent has spent.
        attention: True while the agent waits for a person.
        cost_usd: US dollars as far as they are known; None where they are not, never 0 for that.
        total_errors: tools and turns of the current session that ended in an error.
        seq: number of the change that made this state; 0 before any.
    """

    agent_id: str
    status: PresenceStatus = PresenceStatus.OFFLINE
    current_feature_id: str | None = None
    last_tool_name: str | None = None
    last_activity: datetime = field(default_factory=utc_now)
    total_tools_executed: int = 0
    total_cost_tokens: int = 0
    session_id: str | None = None
    detail: str = "unknown"
    reason: str | None = None
    since: datetime | None = None
    attention: bool = False
    model: str | None = None
    project: str | None = None
    host: str | None = None
    parent_agent_id: str | None = None
    cost_usd: float | None = None
    total_errors: int = 0
    seq: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object: all fields, in the order of this class, times as RFC 3339."""
        return {
            "agent_id": self.agent_id,
            "status": self.status.value,
            "current_feature_id": self.current_feature_id,
            "last_tool_name": self.last_tool_name,
            "last_activity": to_rfc3339(self.last_activity),
            "total_tools_executed": self.total_tools_executed,
            "total_cost_tokens": self.total_cost_tokens,
            "session_id": self.session_id,
            "detail": self.detail,
            "reason": self.reason,
            "since": None if self.since is None else to_rfc3339(self.since),
            "attention": self.attention,
            "model": self.model,
            "project": self.project,
            "host": self.host,
            "parent_agent_id": self.parent_agent_id,
            "cost_usd": self.cost_usd,
            "total_errors": self.total_errors,
            "seq": self.seq,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentPresence:
        """Return the presence of a JSON object; unknown fields are ignored, absent ones default.

        Raises:
            InvalidEvent: ``agent_id`` is missing, or the status, a time or a count cannot be read.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("agent_id"), str):
            raise InvalidEvent("agent_id: missing, expected a string", "agent_id")
        values = {name: data[name] for name in _PRESENCE_FIELDS if data.get(name) is not None}
        for name in ("last_activity", "since"):
            if name in values:
                values[name] = parse_time(values[name], name)
        for name in ("seq", "total_tools_executed", "total_cost_tokens", "total_errors"):
            if name in values:
                values[name] = validate_count(values[name], name)
        if "status" in values:
            try:
                values["status"] = PresenceStatus(values["status"])
            except ValueError:
                status = format_value(values["status"])
                raise InvalidEvent(
                    f"status: expected active, idle or offline, got {status}",
                    "status",
                ) from None
        return cls(**values)


new_presence = fast_constructor(AgentPresence)
"""Builds an AgentPresence, as its class does, but faster."""
_PRESENCE_FIELDS = tuple(f.name for f in fields(AgentPresence))
PRESENCE_COLUMNS = _PRESENCE_FIELDS
"""Names of the presence fields, the eight that are always in a message first."""
