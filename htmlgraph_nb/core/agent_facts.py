"""What events report about an agent besides its activity. Pure functions.

That is its names and places, the model's context, the errors that keep it from working, whether its
process is running, and whether somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter

from ..errors import InvalidEvent
from .agent_state import RETRYING, AgentState
from .model import LABELS, NO_LABELS, Event, labels_of
from .validation import parse_time

WindowFunction = Callable[[str], int | None]
"""Returns the context window of a model in tokens; None: unknown."""

VIEWABLE_FOR = timedelta(hours=1)
"""Age of the end of a turn, at its arrival, up to which somebody still has to look at it."""
_FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id")
_facts_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*_FACTS)
_KIND = LABELS.index("agent_kind")
CANNOT_WORK_KINDS = frozenset(
    {"rate_limited", "usage_limited", "signed_out", "account_on_hold", "overloaded"}
)
"""Values of ``extra.cannot_work``: why an agent cannot work."""
_MAX_ATTEMPTS = 1_000
_LARGE_WINDOW = 1_000_000
_LARGE_WINDOW_MARK = "[1m]"
"""Part of a model's name if it uses the large window (Claude Code)."""


def update_labels(state: AgentState, event: Event, late: bool) -> None:
    """Set what the event says about the agent: tool, model, project, labels, and its source.

    Args:
        state: the new state; it is modified.
        late: the event is older than the last activity, so it only fills gaps.
    """
    facts = state.__dict__
    for name, value in zip(_FACTS, _facts_of(event), strict=True):
        if value is not None and (not late or facts[name] is None):
            facts[name] = value
    kind, form = _parse_source(event.source)
    if form == "hook":
        state.hooks = True
    elif form == "session" and state.hooks is None:
        state.hooks = False
    labels = labels_of(event)
    if labels != NO_LABELS and labels != state.labels:
        known = zip(labels, state.labels, strict=True)
        state.labels = tuple(
            [old if new is None or (late and old is not None) else new for new, old in known]
        )
    if kind is not None and state.labels[_KIND] is None:
        state.labels = (*state.labels[:_KIND], kind, *state.labels[_KIND + 1 :])


def agent_kind_of(source: str | None) -> str | None:
    """Return the kind of agent in a source such as "claude-hook"; None if it has none."""
    return _parse_source(source)[0]


@lru_cache(maxsize=256)
def _parse_source(source: str | None) -> tuple[str | None, str]:
    """Return the kind of agent and "hook" or "session"; (None, "") for any other source."""
    kind, _, form = (source or "").rpartition("-")
    return (kind, form) if kind and form in ("hook", "session") else (None, "")


def update_context(
    state: AgentState,
    event: Event,
    previous_model: str | None,
    at: datetime,
    late: bool,
    window: WindowFunction | None,
) -> None:
    """Set the tokens in the context, its window, and the time of a compaction.

    Args:
        state: the new state, model included; it is modified.
        previous_model: the model before the event; another one may have another window.
        at: when the event happened.
        late: the event is older than the last activity, so it only fills gaps.
        window: returns the context window of models; None: only reported windows are known.
    """
    if event.extra is not None and event.extra.get("compacted") is True:
        state.compacted_at = max(at, state.compacted_at or at)
    tokens = event.context_tokens
    if tokens is None and event.context_window is None:
        return
    if late and state.context_tokens is not None:
        return
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
    if not isinstance(kind, str) or kind not in (RETRYING, *CANNOT_WORK_KINDS):
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


def update_viewable(state: AgentState, event: Event, at: datetime, now: datetime) -> None:
    """Note that a turn ended at ``at``, so that somebody has to look at the agent."""
    if event.event_type in ("stop", "error") and now - at < VIEWABLE_FOR:
        state.to_view = max(at, state.to_view or at)


def viewed(state: AgentState, _event: Event, at: datetime) -> None:
    """Note that somebody looked at the agent."""
    if state.to_view is not None and state.to_view <= at:
        state.to_view = None
