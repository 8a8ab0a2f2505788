"""From evidence to status: one table of rules, the first that fits decides.

It is pure, and it is the only place that knows what makes an agent active, idle or offline.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

from .evidence import TOOL_DONE
from .model import AgentPresence, Event, PresenceStatus
from .state import AgentState

ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE


class Verdict(NamedTuple):
    """A status with its grounds; ``attention``: it waits for a person."""

    status: PresenceStatus
    detail: str
    reason: str
    attention: bool = False


def _ended(state: AgentState) -> Verdict | None:
    how = state.session_over
    if how is None:
        return None
    reasons = {
        "timer": "no sign of life for too long",
        "process_exit": "its process exited",
        "session_end": "the session ended",
        "offline": "marked offline",
    }
    return Verdict(OFFLINE, "done", reasons.get(how, "the session ended"))


def _waits(state: AgentState) -> Verdict | None:
    if state.waiting is None:
        return None
    kind, tool = state.waiting
    if kind == "permission":
        about = f" to use {tool}" if tool else ""
        return Verdict(ACTIVE, "waiting_permission", f"waits for permission{about}", True)
    return Verdict(ACTIVE, "waiting_input", "waits for an answer", True)


def _runs_tool(state: AgentState) -> Verdict | None:
    # A call that is open is proof of work however long it is silent: a test run of ten minutes
    # is not idleness.
    if not state.open_tools:
        return None
    name, _ = max(state.open_tools.values(), key=itemgetter(1))
    more = len(state.open_tools) - 1
    return Verdict(ACTIVE, "tool", f"{name} is running" + (f" and {more} more" if more else ""))


def _has_children(state: AgentState) -> Verdict | None:
    # The parent's turn can be over while its subagents and background tasks go on.
    n = len(state.children)
    if n:
        return Verdict(ACTIVE, "background", f"{n} subagent{'s' if n > 1 else ''} at work")
    n = state.n_background
    if n:
        return Verdict(ACTIVE, "background", f"{n} background task{'s' if n > 1 else ''}")
    return None


def _turn_over(state: AgentState) -> Verdict | None:
    how = state.turn_over
    if how is None:
        return None
    if how == "error":
        return Verdict(IDLE, "error", "the turn ended with an error")
    if how == "timer":
        # Silence shows neither work nor an end: the detail stays open.
        return Verdict(IDLE, "unknown", "no sign of activity for a while")
    reasons = {
        "stop": "the turn is over",
        "interrupt": "interrupted by the user",
        "session_start": "the session began, no prompt yet",
        "notification": "waits at its prompt",
    }
    return Verdict(IDLE, "done", reasons.get(how, "reported itself idle"))


_SIGNS = {
    "prompt": "got a prompt",
    "completion": "the model answered",
    "answered": "got an answer",
    "tool_start": "started a tool",
}


def _works(state: AgentState) -> Verdict:
    kind, tool = state.last_event
    if kind in TOOL_DONE:
        return Verdict(ACTIVE, "working", f"used {tool}" if tool else "used a tool")
    if kind in _SIGNS:
        return Verdict(ACTIVE, "working", _SIGNS[kind])
    if tool:
        return Verdict(ACTIVE, "working", f"used {tool}")
    return Verdict(ACTIVE, "unknown", f"sent {kind}" if kind else "sent an event")


RULES: tuple[Callable[[AgentState], Verdict | None], ...] = (
    _ended,
    _waits,
    _runs_tool,
    _has_children,
    _turn_over,
)
"""The table, in order of strength; an agent that no rule fits works."""


def decide(state: AgentState) -> Verdict:
    """Return the verdict of the first rule that fits the evidence."""
    for rule in RULES:
        verdict = rule(state)
        if verdict is not None:
            return verdict
    return _works(state)


def judge(state: AgentState, event: Event, seq: int) -> AgentState:
    """Put the verdict on the evidence into ``state.presence`` and return the state.

    Args:
        state: a fresh copy, as ``observe`` returns it.
        event: what made the change; its time dates a new status.
        seq: number of the change.
    """
    before = state.presence
    status, detail, reason, attention = decide(state)
    last_activity = state.last_activity or before.last_activity
    since = before.since
    if since is None or status is not before.status:
        timed = event.source == "timer" or event.event_type == "offline"
        since = event.timestamp if timed and event.timestamp else last_activity
    state.presence = AgentPresence(
        before.agent_id,
        status,
        state.feature_id,
        state.tool_name,
        last_activity,
        state.total_tools,
        state.total_tokens,
        state.session_id,
        detail,
        reason,
        since,
        attention,
        state.model,
        state.project,
        state.host,
        state.parent_agent_id,
        state.cost_usd,
        state.total_errors,
        seq,
    )
    return state
