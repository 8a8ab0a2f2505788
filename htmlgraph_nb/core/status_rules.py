"""From evidence to status: one table of rules, the first that fits decides.

It is pure, and it is the only place that knows what makes an agent active, idle or offline.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

from .agent_state import TASK, AgentState
from .model import AgentPresence, Event, PresenceStatus, new_presence
from .reducer import TOOL_END_TYPES

ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE


class StatusDecision(NamedTuple):
    """A status with its grounds; ``attention``: it waits for a person."""

    status: PresenceStatus
    detail: str
    reason: str
    attention: bool = False


FORGOTTEN = StatusDecision(OFFLINE, "forgotten", "left the roster")
"""The status in history of an agent that was forgotten; no presence has it."""


def decision_of(presence: AgentPresence) -> StatusDecision:
    """Return the decision that a presence holds."""
    p = presence
    return StatusDecision(p.status, p.detail, p.reason or "", p.attention)


def _ended(state: AgentState) -> StatusDecision | None:
    # Trap: a tool that was running when the process died, or a line of the session file that is
    # read after it, would show a dead agent at work. Only a sign of life that is newer counts.
    if state.ended is None or (how := state.session_end_reason) is None:
        return None
    reasons = {
        "timer": "no sign of life for too long",
        "process_exit": "its process exited",
        "session_end": "the session ended",
        "offline": "marked offline",
    }
    return StatusDecision(OFFLINE, "done", reasons.get(how, "the session ended"))


def _waiting(state: AgentState) -> StatusDecision | None:
    # Trap: a call that asks a person is open like any other, so an agent that is stuck looks busy;
    # and nothing fires when a prompt is answered, so any newer sign of the answer must clear it.
    if not (state.questions or state.asking) or (waiting := state.waiting) is None:
        return None
    kind, tool = waiting
    if kind == "plan":
        return StatusDecision(ACTIVE, "waiting_permission", "waits for approval of its plan", True)
    if kind == "permission":
        about = f" to use {tool}" if tool else ""
        return StatusDecision(ACTIVE, "waiting_permission", f"waits for permission{about}", True)
    return StatusDecision(ACTIVE, "waiting_input", "waits for an answer", True)


def _runs_tool(state: AgentState) -> StatusDecision | None:
    # Trap: a test run of ten minutes says nothing while it runs. A call that is open is proof of
    # work however long it is silent.
    if not state.open_tools:
        return None
    name, _ = max(state.open_tools.values(), key=itemgetter(1))
    more = len(state.open_tools) - 1
    return StatusDecision(
        ACTIVE, "tool", f"{name} is running" + (f" and {more} more" if more else "")
    )


def _has_children(state: AgentState) -> StatusDecision | None:
    # Trap: the parent's turn can be over while its subagents and background tasks go on.
    if not state.children and not state.background:
        return None
    n_tasks = sum(key.startswith(TASK) for key in state.children)
    n = len(state.children) - n_tasks
    if n:
        return StatusDecision(ACTIVE, "background", f"{n} subagent{'s' if n > 1 else ''} at work")
    # Both may tell of the same tasks.
    n = max(n_tasks, state.n_background)
    if n:
        return StatusDecision(ACTIVE, "background", f"{n} background task{'s' if n > 1 else ''}")
    return None


def _turn_over(state: AgentState) -> StatusDecision | None:
    # Trap: no hook tells of an interrupt or of an error that ended a turn, and what was open then
    # never ends; a turn's end closes its calls and questions, and only newer work undoes it.
    how = state.turn_end_reason
    if how is None:
        return None
    if how == "error":
        return StatusDecision(IDLE, "error", "the turn ended with an error")
    if how == "timer":
        # Silence shows neither work nor an end: the detail stays open.
        return StatusDecision(IDLE, "unknown", "no sign of activity for a while")
    if how == "question":
        # It is at its prompt like after any turn; that a person should answer is a guess.
        return StatusDecision(IDLE, "waiting_input", "the turn ended with a question")
    reasons = {
        "stop": "the turn is over",
        "interrupt": "interrupted by the user",
        "session_start": "the session began, no prompt yet",
        "notification": "waits at its prompt",
    }
    return StatusDecision(IDLE, "done", reasons.get(how, "reported itself idle"))


_LAST_EVENTS = {
    "prompt": "got a prompt",
    "completion": "the model answered",
    "answered": "got an answer",
    "tool_start": "started a tool",
    "subagent_start": "started a subagent",
    "task_start": "started a background task",
}


def _working(state: AgentState) -> StatusDecision:
    # Trap: between two tools nothing is open, while the model thinks. Work after the last end of a
    # turn is work until a newer end, or silence for as long as the timers allow.
    kind, tool = state.last_event
    if kind in TOOL_END_TYPES:
        return StatusDecision(ACTIVE, "working", f"used {tool}" if tool else "used a tool")
    if kind in _LAST_EVENTS:
        return StatusDecision(ACTIVE, "working", _LAST_EVENTS[kind])
    if tool:
        return StatusDecision(ACTIVE, "working", f"used {tool}")
    return StatusDecision(ACTIVE, "unknown", f"sent {kind}" if kind else "sent an event")


RULES: dict[str, Callable[[AgentState], StatusDecision | None]] = {
    "its session is over": _ended,
    "it waits for a person": _waiting,
    "a tool runs": _runs_tool,
    "subagents or background tasks run": _has_children,
    "its turn is over": _turn_over,
    "it works": _working,
}
"""The table, in order of strength; the last fits always."""
_RULES = tuple(RULES.values())


def decide(state: AgentState) -> StatusDecision:
    """Return the verdict of the first rule that fits the evidence."""
    for rule in _RULES:
        verdict = rule(state)
        if verdict is not None:
            return verdict
    raise AssertionError("the last rule fits always")


def update_presence(state: AgentState, event: Event, seq: int) -> AgentState:
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
    state.presence = new_presence(
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
