"""Event and AgentPresence: their fields, limits and JSON forms. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from operator import attrgetter
from typing import Any

from ..errors import InvalidEvent
from .fast_records import fast_constructor
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

MAX_TERM_CHARS = 64
MAX_UNKNOWN = 100
"""Number of unknown fields after which the rest of an event is not examined."""


class PresenceStatus(str, Enum):
    """Whether an agent is working, at its prompt or ended."""

    ACTIVE = "active"
    IDLE = "idle"
    OFFLINE = "offline"

    def __str__(self) -> str:
        return self.value


def _validate_term(value: object, name: str) -> str:
    return validate_string(value, name, MAX_TERM_CHARS)


LABELS = ("title", "branch", "cwd", "worktree", "agent_kind", "user", "pr")
"""Fields that describe an agent for people; an event and a presence have the same."""
_STRINGS = (
    *("event_id", "agent_id", "session_id", "tool_name", "tool_use_id", "feature_id", "model"),
    *("parent_agent_id", "project", "host", "source", *LABELS, "context_source"),
)
TARIFF_FIELDS = ("speed", "service_tier", "inference_geo")
"""Fields of a completion that its price depends on, besides model and counts."""
TOKEN_FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
_COUNTS = (
    *(*TOKEN_FIELDS, "cost_tokens", "duration_ms", "context_tokens", "context_window"),
    *("web_searches", "input_hash"),
)
token_counts: Callable[[object], tuple[int | None, ...]] = attrgetter(*TOKEN_FIELDS)
"""Return the five token counts of an event, in the order of TOKEN_FIELDS."""
NO_COUNTS = (None,) * len(TOKEN_FIELDS)
labels_of: Callable[[object], tuple[str | None, ...]] = attrgetter(*LABELS)
"""Return the labels of an event or presence, in the order of LABELS."""
NO_LABELS: tuple[str | None, ...] = (None,) * len(LABELS)

_VALIDATORS: dict[str, Any] = {
    **dict.fromkeys(_STRINGS, validate_string),
    **dict.fromkeys(_COUNTS, validate_count),
    "timestamp": parse_time,
    **dict.fromkeys(("event_type", *TARIFF_FIELDS), _validate_term),
    "status": validate_outcome,
    "cost_usd": validate_number,
    "extra": validate_extra,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One action of an agent.

    Attributes:
        agent_id: id of the agent, 1 to 256 characters.
        timestamp: when it happened, UTC; None: its arrival time.
        event_type: 1 to 64 characters; PROTOCOL.md lists the types with a meaning.
        event_id: idempotency key; a second event with the same id is dropped; None: no key.
        status: "ok" or "error".
        input_tokens: uncached input only; output_tokens: reasoning included.
        cost_tokens: all tokens; None: the sum of the five kinds.
        cost_usd: cost in US dollars as reported by the agent.
        duration_ms: milliseconds.
        extra: a JSON object of at most 16 KiB and 64 levels.
        title: what the session or subagent is called.
        branch: git branch; worktree: name of the git worktree; pr: pull request, as its URL or #12.
        cwd: full path of the working folder.
        agent_kind: kind of coding agent, such as "claude"; None: derived from ``source``.
        user: name of the account on the host that runs the agent.
        context_tokens: tokens in the context of the model after this event.
        context_window: maximum of context_tokens, as reported by the agent.
        context_source: how the window is known; None: reported.
        speed: "fast"; None: standard.
        service_tier: "priority", "flex", "batch" or as the agent reports it; None: the default.
        inference_geo: where the model ran, such as "us"; None: anywhere, or unknown.
        web_searches: web searches of a completion that are billed.
        input_hash: keyed hash of a tool call's input, the same for equal inputs.
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
    title: str | None = None
    branch: str | None = None
    cwd: str | None = None
    worktree: str | None = None
    agent_kind: str | None = None
    user: str | None = None
    pr: str | None = None
    context_tokens: int | None = None
    context_window: int | None = None
    context_source: str | None = None
    speed: str | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    web_searches: int | None = None
    input_hash: int | None = None

    @property
    def total_tokens(self) -> int:
        """All tokens of this event: ``cost_tokens``, else the sum of the five kinds."""
        if self.cost_tokens is not None:
            return self.cost_tokens
        counts = token_counts(self)
        return 0 if counts == NO_COUNTS else min(sum(filter(None, counts)), MAX_INTEGER)

    @classmethod
    def from_dict(cls, data: object, *, keep_unknown: bool = False) -> Event:
        """Return the Event in a JSON object; null counts as absent.

        Args:
            data: fields of this class; ``agent_id`` is required.
            keep_unknown: put unknown fields into ``extra`` instead of rejecting them.

        Raises:
            InvalidEvent: not an object, an invalid field or an unknown field.
        """
        if not is_mapping(data):
            raise InvalidEvent(f"event: expected an object, got {format_value(data)}")
        values: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, value in data.items():
            check = _VALIDATORS.get(name)
            if check is None:
                if not keep_unknown and len(unknown) == MAX_UNKNOWN:
                    break
                unknown[str(name)] = value
            elif value is not None:
                values[name] = check(value, name)
        if unknown:
            if not keep_unknown:
                hint = "put custom fields into 'extra'"
                raise unknown_field(next(iter(unknown)), _VALIDATORS, hint)
            values["extra"] = validate_extra({**unknown, **values.get("extra", {})}, "extra")
        if "agent_id" not in values:
            raise _missing_agent_id()
        return new_event(**values)

    def checked(self, agent_id: str | None = None) -> Event:
        """Return the event with validated fields; the constructor validates nothing.

        Args:
            agent_id: replaces the id of the agent; None: unchanged.

        Raises:
            InvalidEvent: an invalid field.
        """
        if agent_id is None and _is_valid(self):
            if self.extra is None:
                return self
            same, extra = _event_values(self), validate_extra(self.extra, "extra")
            return new_event(*same[:_EXTRA], extra, *same[_EXTRA + 1 :])
        values = zip(_EVENT_FIELDS, _event_values(self), _EVENT_VALIDATORS, strict=True)
        checked = {name: check(value, name) for name, value, check in values if value is not None}
        if agent_id is not None:
            checked["agent_id"] = validate_string(agent_id, "agent_id")
        if "agent_id" not in checked:
            raise _missing_agent_id()
        return new_event(**checked)

    def to_dict(self) -> dict[str, Any]:
        """Return this event as a JSON object, without fields that are None."""
        values = dict(zip(_EVENT_FIELDS, _event_values(self), strict=True))
        if self.timestamp is not None:
            values["timestamp"] = to_rfc3339(self.timestamp)
        return {name: value for name, value in values.items() if value is not None}


def _is_valid(event: Event) -> bool:
    """Fast path: return True if all fields but ``extra`` are valid and need no conversion.

    False means that the validators must run. They take five times as long.
    """
    for text in _event_strings(event):
        if text is not None and not (
            type(text) is str
            and 0 < len(text) <= MAX_ID_CHARS
            and text.isascii()
            and "\0" not in text
        ):
            return False
    for term in _event_terms(event):
        if term is not None and len(term) > MAX_TERM_CHARS:
            return False
    for number in _event_counts(event):
        if number is not None and not (type(number) is int and 0 <= number <= MAX_INTEGER):
            return False
    kind, at, cost = event.event_type, event.timestamp, event.cost_usd
    return (
        event.agent_id is not None
        and type(kind) is str
        and event.status in (None, "ok", "error")
        and (at is None or (type(at) is datetime and at.tzinfo is UTC and is_in_range(at)))
        and (cost is None or (type(cost) is float and 0 <= cost <= MAX_INTEGER))
    )


def _missing_agent_id() -> InvalidEvent:
    return InvalidEvent('agent_id: missing, expected a string such as "claude-1"', "agent_id")


new_event = fast_constructor(Event)
"""Constructs an Event like its class, but faster and also with positional arguments."""
_EVENT_FIELDS = tuple(f.name for f in fields(Event))
_EXTRA = _EVENT_FIELDS.index("extra")
_EVENT_VALIDATORS = tuple(_VALIDATORS[name] for name in _EVENT_FIELDS)
_event_values: Callable[[Event], tuple[Any, ...]] = attrgetter(*_EVENT_FIELDS)
_event_strings: Callable[[Event], tuple[Any, ...]] = attrgetter(
    *("event_type", *TARIFF_FIELDS, *_STRINGS)
)
_event_terms: Callable[[Event], tuple[Any, ...]] = attrgetter("event_type", *TARIFF_FIELDS)
_event_counts: Callable[[Event], tuple[Any, ...]] = attrgetter(*_COUNTS)


@dataclass(frozen=True, slots=True)
class AgentPresence:
    """The current state of one agent.

    Attributes:
        status: current status, with ``detail``, ``reason`` (for people) and ``since`` (UTC).
        last_activity: time of the latest event of the agent, UTC.
        total_tools_executed: tool calls that ended in the current session.
        total_cost_tokens: all tokens used by the agent.
        attention: True while the agent waits for a person.
        cost_usd: known cost in US dollars; None if unknown.
        total_errors: tool calls and turns of the current session that ended in an error.
        seq: seq of the change that led to this state; 0: none.
        title, branch, cwd, worktree, agent_kind, user, pr: as in Event, the latest of each.
        context_tokens: tokens in the model's context after its last response; None if unknown.
        context_window: maximum of ``context_tokens``; None if unknown.
        context_source: how the window is known: "reported" by the agent, "table" of models,
            "marked" in the name of the model, "raised" because the context was larger than the
            table says; None: unknown.
        compacted_at: when the context of this session was last compacted, UTC.
        detail_since: since when status, detail and attention have been as they are, UTC.
        detail_until: until when an agent that cannot work is blocked, UTC; None: not reported.
        unseen: True if the turn ended and nobody has looked at the agent since.
        hooks: whether hooks report this session; False: only its session file does; None: neither.
        alive: True while the agent's process is known to be running.
        session_tokens, session_cost_usd: tokens and known cost of the current session.
        unpriced_tokens: those of ``total_cost_tokens`` whose price is unknown.
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
    title: str | None = None
    branch: str | None = None
    cwd: str | None = None
    worktree: str | None = None
    agent_kind: str | None = None
    user: str | None = None
    pr: str | None = None
    context_tokens: int | None = None
    context_window: int | None = None
    context_source: str | None = None
    compacted_at: datetime | None = None
    detail_since: datetime | None = None
    detail_until: datetime | None = None
    unseen: bool = False
    hooks: bool | None = None
    alive: bool = False
    session_tokens: int = 0
    session_cost_usd: float | None = None
    unpriced_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON object, in order; timestamps are RFC 3339 strings."""
        values = dict(zip(PRESENCE_COLUMNS, _presence_values(self), strict=True))
        values["status"] = self.status.value
        for name in PRESENCE_TIMES:
            if values[name] is not None:
                values[name] = to_rfc3339(values[name])
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentPresence:
        """Return the presence in a JSON object; unknown fields are ignored, missing fields default.

        Raises:
            InvalidEvent: ``agent_id`` is missing, or the status, a timestamp or a count is invalid.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("agent_id"), str):
            raise InvalidEvent("agent_id: missing, expected a string", "agent_id")
        values = {name: data[name] for name in PRESENCE_COLUMNS if data.get(name) is not None}
        for name in PRESENCE_TIMES:
            if name in values:
                values[name] = parse_time(values[name], name)
        for name in _PRESENCE_COUNTS:
            if name in values:
                values[name] = validate_count(values[name], name)
        if "status" in values:
            try:
                values["status"] = PresenceStatus(values["status"])
            except ValueError:
                status = format_value(values["status"])
                expected = f"status: expected active, idle or offline, got {status}"
                raise InvalidEvent(expected, "status") from None
        return cls(**values)

    def _repr_html_(self) -> str:
        from ..html_card import presence_card

        return presence_card(self.to_dict())


new_presence = fast_constructor(AgentPresence)
"""Constructs an AgentPresence like its class, but faster."""
PRESENCE_COLUMNS = tuple(f.name for f in fields(AgentPresence))
"""Names of the presence fields, starting with the eight that every message contains."""
_presence_values: Callable[[AgentPresence], tuple[Any, ...]] = attrgetter(*PRESENCE_COLUMNS)
PRESENCE_TIMES = ("last_activity", "since", "compacted_at", "detail_since", "detail_until")
"""Names of the presence fields that are timestamps."""
PRESENCE_FLAGS = ("attention", "unseen", "hooks", "alive")
"""Names of the presence fields that are booleans."""
_PRESENCE_COUNTS = (
    *("seq", "total_tools_executed", "total_cost_tokens", "total_errors"),
    *("context_tokens", "context_window", "session_tokens", "unpriced_tokens"),
)
