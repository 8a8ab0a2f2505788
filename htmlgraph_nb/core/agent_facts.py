"""What events report about an agent besides its activity. Pure functions.

That is its names and places, the model's context, the errors that keep it from working, whether its
process is running, and whether somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from ..errors import InvalidEvent
from .agent_state import CONTEXT, RETRYING, SEEN, WORKED, AgentState
from .hosts.host_contact import HOST_ID, found_host, lost_host
from .ids import parse_source, shorten_id
from .model import LABELS, NO_LABELS, Event, PresenceStatus, labels_of
from .timestamps import EPOCH, from_micros, set_back, to_micros, to_rfc3339
from .validation import MAX_ID_CHARS, parse_time, validate_count, validate_string

WindowFunction = Callable[[str], int | None]
"""Returns the context window of a model in tokens; None: unknown."""

VIEWABLE_FOR = timedelta(hours=1)
"""Age of the end of a turn, at its arrival, up to which somebody still has to look at it."""
_FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id")
_facts_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*_FACTS)
_KIND, _TITLE = LABELS.index("agent_kind"), LABELS.index("title")
_DATED = frozenset({"title", "branch", "cwd", "worktree", "pr"})
"""Labels whose value can change; each has a time of its own in ``AgentState.facts_at``."""
_CONTEXT_FIELDS = ("context_tokens", "context_window", "context_source")
_TITLE_MARKS = ("title_generated", "title_default")
CANNOT_WORK = {
    RETRYING: "retries after an error of the API",
    "rate_limited": "the rate limit is reached",
    "usage_limited": "the usage limit is reached",
    "signed_out": "its sign-in has expired",
    "account_on_hold": "its account is on hold",
    "overloaded": "the provider is overloaded or unavailable",
}
"""Why an agent cannot work: RETRYING, or a value of ``extra.cannot_work`` → reason for people."""
CLOCK_SET_BACK = "clock_set_back"
"""Key in ``extra`` of a ``resumed`` event: whether the clock was ahead before."""
ASSIGNED = "assigned"
"""Key in ``extra`` of a ``session_info``: fields of the presence that a program assigned."""
_MAX_ATTEMPTS = 1_000
_MICROSECOND = timedelta(microseconds=1)
_LARGE_WINDOW = 1_000_000
_LARGE_WINDOW_MARK = "[1m]"
"""Part of a model's name if it uses the large window (Claude Code)."""


def update_labels(state: AgentState, event: Event, at: datetime, late: bool) -> None:
    """Set what the event says about the agent: tool, model, project, labels, and its source.

    A title with ``extra.title_default`` only stands in for another one. ``extra.cleared`` of a
    ``session_info`` names labels that the agent no longer has.

    Args:
        state: the new state; it is modified.
        at: when the event happened.
        late: the event is older than the last activity, so it only fills gaps in facts without a
            time of their own.
    """
    facts = state.__dict__
    for name, value in zip(_FACTS, _facts_of(event), strict=True):
        if value is not None and (not late or facts[name] is None):
            facts[name] = value
    kind, form = parse_source(event.source)
    if form == "hook":
        state.hooks = True
    elif form == "session" and state.hooks is None:
        state.hooks = False
    labels = labels_of(event)
    if labels != NO_LABELS and labels != state.labels:
        _set_labels(state, event, labels, at, late)
    if kind is not None and state.labels[_KIND] is None:
        state.labels = (*state.labels[:_KIND], kind, *state.labels[_KIND + 1 :])
    if event.event_type == "session_info" and event.extra is not None:
        if event.extra.get("cleared"):
            _clear_labels(state, event, at)
        if isinstance(assigned := event.extra.get(ASSIGNED), dict):
            for name, value in assigned.items():
                _assign(state, str(name), value, at)


def _set_labels(
    state: AgentState, event: Event, values: tuple[str | None, ...], at: datetime, late: bool
) -> None:
    labels, facts_at = list(state.labels), state.facts_at
    for index, (new, old) in enumerate(zip(values, state.labels, strict=True)):
        if new is None or new == old:
            continue
        name = LABELS[index]
        is_older = at < facts_at.get(name, EPOCH) if name in _DATED else late
        # A label without a value may have been cleared by a later event.
        if is_older and (old is not None or name in _DATED):
            continue
        if index == _TITLE and (event.extra or {}).get("title_default") is True:
            labels[index] = old or new
            continue
        labels[index] = new
        if name in _DATED:
            facts_at = {**facts_at, name: at}
    state.labels, state.facts_at = tuple(labels), facts_at


def _clear_labels(state: AgentState, event: Event, at: datetime) -> None:
    cleared = (event.extra or {}).get("cleared")
    names = {name for name in cleared if isinstance(name, str)} if type(cleared) is list else set()
    for index, name in enumerate(LABELS):
        if name in names & _DATED and at >= state.facts_at.get(name, EPOCH):
            state.labels = (*state.labels[:index], None, *state.labels[index + 1 :])
            state.facts_at = {**state.facts_at, name: at}


def facts_of_duplicate(state: AgentState, event: Event) -> Event | None:
    """Return a ``session_info`` with what a duplicate event adds to the state; None: nothing.

    The source that reports an event first may know less about the agent than a later one.

    Args:
        state: the state of the agent.
        event: an event that another source has reported before.
    """
    at = event.timestamp
    if at is None or event.session_id is None or event.session_id != state.session_id:
        return None
    fields: dict[str, Any] = {
        name: new
        for name, new, old in zip(LABELS, labels_of(event), state.labels, strict=True)
        if new is not None and new != old and (old is None or at > state.facts_at.get(name, EPOCH))
    }
    extra = event.extra or {}
    if extra.get("title_default") is True and state.labels[_TITLE] is not None:
        fields.pop("title", None)
    if _adds_context(state, event) and at > state.facts_at.get(CONTEXT, EPOCH):
        fields |= {name: getattr(event, name) for name in _CONTEXT_FIELDS}
    if not fields:
        return None
    marks = {name: True for name in _TITLE_MARKS if "title" in fields and extra.get(name) is True}
    return Event(
        agent_id=event.agent_id,
        parent_agent_id=event.parent_agent_id,
        event_type="session_info",
        timestamp=at,
        event_id=None if event.event_id is None else shorten_id(f"{event.event_id}:Facts"),
        session_id=event.session_id,
        source=event.source,
        extra=marks or None,
        **fields,
    )


def _adds_context(state: AgentState, event: Event) -> bool:
    window = event.context_window
    if window is not None and window != state.context_window:
        return True
    return event.context_tokens not in (None, state.context_tokens)


def update_context(
    state: AgentState,
    event: Event,
    previous_model: str | None,
    at: datetime,
    window: WindowFunction | None,
) -> None:
    """Set the tokens in the context, its window, and the time of a compaction.

    Args:
        state: the new state, model included; it is modified.
        previous_model: the model before the event; another one may have another window.
        at: when the event happened.
        window: returns the context window of models; None: only reported windows are known.
    """
    if event.extra is not None and event.extra.get("compacted") is True:
        state.compacted_at = max(at, state.compacted_at or at)
    tokens = event.context_tokens
    if tokens is None and event.context_window is None:
        return
    if at < state.facts_at.get(CONTEXT, at):
        return
    state.facts_at = {**state.facts_at, CONTEXT: at}
    if tokens is not None:
        state.context_tokens = tokens
    if event.context_window is not None:
        state.context_window = event.context_window
        state.context_source = event.context_source or "reported"
    elif state.context_window is None or state.model != previous_model:
        state.context_window, state.context_source = _window_of(state.model, window)
    used = state.context_tokens or 0
    if state.context_window is not None and used > state.context_window:
        state.context_window = _LARGE_WINDOW if used <= _LARGE_WINDOW else used
        state.context_source = "raised"


def _window_of(
    model: str | None, window: WindowFunction | None
) -> tuple[int, str] | tuple[None, None]:
    """Return the context window of a model and how it is known."""
    if model is not None and _LARGE_WINDOW_MARK in model:
        return _LARGE_WINDOW, "marked"
    size = None if model is None or window is None else window(model)
    return (None, None) if size is None else (size, "table")


def update_blocked(state: AgentState, event: Event, at: datetime) -> None:
    """Set why the agent cannot work, after a retry, or an error with ``extra.cannot_work``.

    Args:
        state: the new state; it is modified.
        at: when the event happened.
    """
    extra = event.extra or {}
    kind = RETRYING if event.event_type == "retry" else extra.get("cannot_work")
    if not isinstance(kind, str) or kind not in CANNOT_WORK:
        return
    if state.blocked is not None and state.blocked[1] > at:
        return
    state.blocked = kind, at
    try:
        state.blocked_until = parse_time(extra.get("until"), "until")
    except InvalidEvent:
        # It is optional, and any program can send an event with another value.
        state.blocked_until = None
    numbers = extra.get("attempt"), extra.get("max_attempts")
    counts = [str(n) for n in numbers if type(n) is int and 0 <= n <= _MAX_ATTEMPTS]
    state.attempt = " of ".join(counts)


def process_started(state: AgentState, _event: Event, at: datetime) -> None:
    """Set since when the agent's process is known to be running."""
    if state.ended is None or state.ended[0] == "timer" or state.ended[1] < at:
        state.process_at = max(at, state.process_at or at)


def process_unseen(state: AgentState, _event: Event, at: datetime) -> None:
    """Note that nothing shows any more whether the agent's process is running."""
    if state.process_at is not None and state.process_at <= at:
        state.process_at = None


def process_works(state: AgentState, _event: Event, at: datetime) -> None:
    """Note that the agent's process reports that it works."""
    state.busy_at = max(at, state.busy_at or at)


def resumed(state: AgentState, event: Event, at: datetime) -> None:
    """Note that the server continued after a pause, in which no event could arrive.

    With ``extra.clock_set_back``, times after ``at`` are from a clock that was ahead. They would
    outlast all later events, so they are set back.
    """
    state.resumed_at = max(at, state.resumed_at or at)
    if (event.extra or {}).get(CLOCK_SET_BACK) is not True:
        return
    values = {name: value for name, value in vars(state).items() if name != "blocked_until"}
    values["tool_ends"] = {key: from_micros(end) for key, end in state.tool_ends.items()}
    values["presence"] = state.presence.since, state.presence.detail_since
    changed = set_back(values, at)
    if "presence" in changed:
        since, detail_since = changed["presence"]
        changed["presence"] = replace(state.presence, since=since, detail_since=detail_since)
    if "tool_ends" in changed:
        changed["tool_ends"] = {key: to_micros(end) for key, end in changed["tool_ends"].items()}
    vars(state).update(changed)


def host_seen(state: AgentState, event: Event, at: datetime) -> None:
    """Note that the server of another host reports the agent, now that it is connected."""
    state.reported_by = str((event.extra or {}).get(HOST_ID, ""))[:MAX_ID_CHARS], at
    state.facts_at = found_host(state.facts_at, at)


def host_lost(state: AgentState, _event: Event, at: datetime) -> None:
    """Note that nothing is known of the agent's host since ``at``."""
    state.facts_at = lost_host(state.facts_at, at)


def update_viewable(state: AgentState, event: Event, at: datetime, now: datetime) -> None:
    """Note that a turn ended at ``at``, so that somebody has to look at the agent."""
    if event.event_type in ("stop", "error") and now - at < VIEWABLE_FOR:
        state.to_view = max(at, state.to_view or at)


def viewed(state: AgentState, _event: Event, at: datetime) -> None:
    """Note that somebody looked at the agent."""
    if state.to_view is not None and state.to_view <= at:
        state.to_view = None


def _status_of(value: object, name: str) -> str:
    try:
        return PresenceStatus(value).value
    except ValueError:
        raise InvalidEvent(
            f"{name}: expected active, idle or offline, got {value!r:.60}", name
        ) from None


def _optional_string(value: object, name: str) -> str | None:
    return None if value is None else validate_string(value, name)


ASSIGNABLE: dict[str, Callable[[object, str], Any]] = {
    "status": _status_of,
    "current_feature_id": _optional_string,
    "last_tool_name": _optional_string,
    "last_activity": parse_time,
    "total_tools_executed": validate_count,
    "total_cost_tokens": validate_count,
    "session_id": _optional_string,
}
"""Fields of a presence that can be assigned → the check of their values."""
_ASSIGNED_FACTS = {
    "current_feature_id": "feature_id",
    "last_tool_name": "tool_name",
    "total_tools_executed": "total_tools",
    "total_cost_tokens": "total_tokens",
    "session_id": "session_id",
}
"""Field of a presence → that of AgentState that it shows, if nothing depends on it."""


def assignment(agent_id: str, name: str, value: object) -> Event:
    """Return the event that assigns a field of an agent's presence.

    Raises:
        AttributeError: the field cannot be assigned.
        InvalidEvent: an invalid value.
    """
    if name not in ASSIGNABLE:
        raise AttributeError(
            f"{name}: cannot be assigned, expected one of {', '.join(ASSIGNABLE)}; report other "
            "changes with update_presence"
        )
    checked = ASSIGNABLE[name](value, name)
    if isinstance(checked, datetime):
        checked = to_rfc3339(checked)
    return Event(
        agent_id=agent_id,
        event_type="session_info",
        source="user",
        extra={ASSIGNED: {name: checked}},
    )


def _assign(state: AgentState, name: str, value: object, now: datetime) -> None:
    """Set a field of the presence; the agent's next events change it as usual."""
    try:
        checked = ASSIGNABLE[name](value, name)
    except (KeyError, InvalidEvent):
        # Any program can send an event with other values.
        return
    if name in _ASSIGNED_FACTS:
        setattr(state, _ASSIGNED_FACTS[name], checked)
    elif name == "last_activity":
        _assign_activity(state, min(checked, now))
    else:
        _assign_status(state, PresenceStatus(checked), now)


def _assign_activity(state: AgentState, at: datetime) -> None:
    # The end of a session counts if it is not before the last activity; which one must not change.
    if state.ended is not None:
        reason, ended = state.ended
        is_over = state.session_end_reason is not None
        state.ended = reason, max(at, ended) if is_over else min(at - _MICROSECOND, ended)
    state.last_activity = at


def _assign_status(state: AgentState, status: PresenceStatus, now: datetime) -> None:
    """Replace the evidence by that of the status, until the agent's next event."""
    at = max(state.last_signal_at or now, state.last_activity or EPOCH, *state.latest.values())
    if status is PresenceStatus.OFFLINE:
        state.ended, state.process_at = ("offline", at), None
        return
    state.ended = state.turn_end = state.background = None
    state.open_tools, state.waiting_calls, state.questions, state.children = {}, {}, {}, {}
    state.blocked = state.blocked_until = None
    if status is PresenceStatus.IDLE:
        state.turn_end = "idle", at
    else:
        state.latest = {**state.latest, SEEN: at, WORKED: at}


HANDLERS: dict[str, Callable[[AgentState, Event, datetime], None]] = {
    "retry": update_blocked,
    "process_start": process_started,
    "process_lost": process_unseen,
    "process_busy": process_works,
    "resumed": resumed,
    "host_seen": host_seen,
    "host_lost": host_lost,
    "viewed": viewed,
}
"""Event type → what it changes."""
