"""From evidence to status: a table of rules, of which the first that matches decides.

Also the ends implied by parents and children. Pure functions. No other module sets a status;
``roster`` adds the timer events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

from .agent_facts import CANNOT_WORK
from .agent_state import RETRYING, TASK_PREFIX, WORKED, AgentState, Timed
from .hosts.host_contact import UNREACHABLE, drop_times, keep_times, kept_since, lost_since
from .model import AgentPresence, Event, PresenceStatus, new_presence
from .reducer import CALLED, TOOL_END_TYPES
from .timestamps import EPOCH

_ACTIVE, _IDLE, _OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE


class StatusDecision(NamedTuple):
    """A status and the reason for it; ``attention``: the agent waits for a person."""

    status: PresenceStatus
    detail: str
    reason: str
    attention: bool = False


FORGOTTEN = StatusDecision(_OFFLINE, "forgotten", "left the roster")
"""The status of a removed agent in the history; no presence has it."""


def decision_of(presence: AgentPresence) -> StatusDecision:
    """Return the decision that led to a presence."""
    p = presence
    return StatusDecision(p.status, p.detail, p.reason or "", p.attention)


class Change(NamedTuple):
    """One numbered change of one agent.

    Attributes:
        seq: sequence number from the store.
        state: the new state; None: the agent was removed.
        event: the event that caused the change.
        at: when the event was ingested, UTC.
    """

    seq: int
    agent_id: str
    state: AgentState | None
    event: Event
    at: datetime

    @property
    def presence(self) -> AgentPresence | None:
        """The new presence; None: the agent was removed."""
        return None if self.state is None else self.state.presence

    @property
    def decision(self) -> StatusDecision:
        """The agent's status after the change."""
        return FORGOTTEN if self.state is None else decision_of(self.state.presence)


_SAME_ANSWER = timedelta(seconds=5)
"""Calls that run at the same time start within this time, as they are in one answer."""
_OPEN_WORK = frozenset({"tool", "background", "waiting_permission", "waiting_input"})
"""Details of active agents with an open call, child or question."""


def keeps_active(status: PresenceStatus, detail: str) -> bool:
    """Return whether open work keeps an agent active in silence; see also ``is_bounded``."""
    return status is _ACTIVE and detail in _OPEN_WORK


_TIMED_OUT = "no activity for too long"


def ended_by_timer(presence: AgentPresence) -> bool:
    """Return whether an agent is offline only because it was silent for too long."""
    return presence.status is _OFFLINE and presence.reason == _TIMED_OUT


def is_bounded(status: PresenceStatus, detail: str) -> bool:
    """Return whether open work keeps an agent active only until a timer expires.

    A question stays open until a person responds, or the agent is removed.
    """
    return status is _ACTIVE and detail in ("tool", "background")


def _ended(state: AgentState) -> StatusDecision | None:
    # Prevents: a dead agent becomes active again, because a tool was running when its process died
    # or because a line of the session file is read late. Only a later signal revives it.
    if state.ended is None or (ended := state.session_end_reason) is None:
        return None
    reasons = {
        "timer": _TIMED_OUT,
        "process_exit": "its process exited",
        "session_end": "the session ended",
        "offline": "marked offline",
    }
    return StatusDecision(_OFFLINE, "done", reasons.get(ended, "the session ended"))


def _unreachable(state: AgentState) -> StatusDecision | None:
    # Prevents: an agent of a host that is off or without a network seems to work for ever. What its
    # host reports after its return, and an event of the agent that comes by another way, revive it.
    if (lost := lost_since(state.facts_at, state.last_activity)) is None:
        return None
    return StatusDecision(_OFFLINE, UNREACHABLE, f"host unreachable since {lost:%H:%M} UTC")


def _waiting(state: AgentState) -> StatusDecision | None:
    # Prevents: an agent that waits for a person seems busy, as its call is open like any other. No
    # hook reports the answer, so any later signal that implies an answer closes the question.
    if not (state.questions or state.waiting_calls) or (waiting := state.waiting) is None:
        return None
    kind, tool = waiting
    if kind == "plan":
        return StatusDecision(_ACTIVE, "waiting_permission", "waits for approval of its plan", True)
    if kind == "permission":
        about = f" to use {tool}" if tool else ""
        return StatusDecision(_ACTIVE, "waiting_permission", f"waits for permission{about}", True)
    return StatusDecision(_ACTIVE, "waiting_input", "waits for an answer", True)


def _cannot_work(state: AgentState) -> StatusDecision | None:
    # Prevents: an agent seems busy or done, although a limit or an error keeps it from working.
    if state.blocked is None or (kind := state.cannot_work) is None:
        return None
    reason = CANNOT_WORK[kind]
    if kind != RETRYING:
        return StatusDecision(_IDLE, kind, reason)
    if state.attempt:
        reason += f" (attempt {state.attempt})"
    return StatusDecision(_ACTIVE, kind, reason)


def _running_calls(state: AgentState) -> list[Timed]:
    """Return the open calls without those that were denied, as the next answer calls others."""
    calls = [*state.open_tools.values()]
    if not state.hooks or state.children:
        return calls
    since = state.latest.get(CALLED, EPOCH) - _SAME_ANSWER
    return [call for call in calls if call[1] > since]


def _runs_tool(state: AgentState) -> StatusDecision | None:
    # Prevents: an agent seems idle while a test suite runs for ten minutes without an event. An
    # open call counts as work, however long it takes.
    # A call that a hook of another program denied has no end, and does not count beside later ones.
    calls = _running_calls(state) if state.open_tools else []
    if not calls:
        return None
    name, _ = max(calls, key=itemgetter(1))
    more = len(calls) - 1
    return StatusDecision(
        _ACTIVE, "tool", f"{name} is running" + (f" and {more} more" if more else "")
    )


_AT_PROMPT = {
    "process_idle": "is at its prompt",
    "shell": "is at its prompt, a background shell runs",
}
"""How the status file of the agent's process ended its turn → reason."""


def _has_children(state: AgentState) -> StatusDecision | None:
    # Prevents: a parent seems idle because its turn has ended, although its subagents and
    # background tasks continue.
    if not state.children and not state.background:
        return None
    n_tasks = sum(key.startswith(TASK_PREFIX) for key in state.children)
    n = len(state.children) - n_tasks
    if n:
        return StatusDecision(_ACTIVE, "background", f"{n} subagent{'s' if n > 1 else ''} at work")
    if state.turn_end_reason in _AT_PROMPT:
        # The agent itself reports that it is at its prompt, as beside a server that never ends.
        return None
    # Both may count the same tasks.
    n = max(n_tasks, state.n_background)
    if n:
        return StatusDecision(_ACTIVE, "background", f"{n} background task{'s' if n > 1 else ''}")
    return None


def _turn_over(state: AgentState) -> StatusDecision | None:
    # Prevents: an agent seems busy after an interrupt or an error. No hook reports these, and the
    # open calls never get an end. So the end of a turn closes its calls and questions; only later
    # work reopens it.
    ended = state.turn_end_reason
    if ended is None:
        return None
    if ended == "error":
        return StatusDecision(_IDLE, "error", "the turn ended with an error")
    if ended == "timer":
        # Inactivity proves neither work nor an end, so the detail is unknown.
        return StatusDecision(_IDLE, "unknown", "no activity for a while")
    if ended == "question":
        # The agent is at its prompt as after any turn; the question is only a guess from the text.
        return StatusDecision(_IDLE, "waiting_input", "the turn ended with a question")
    reasons = {
        "stop": "the turn is over",
        "interrupt": "interrupted by the user",
        "session_start": "the session began, no prompt yet",
        "notification": "waits at its prompt",
        **_AT_PROMPT,
    }
    return StatusDecision(_IDLE, "done", reasons.get(ended, "reported itself idle"))


_LAST_EVENTS = {
    "prompt": "got a prompt",
    "completion": "the model answered",
    "answered": "got an answer",
    "tool_start": "started a tool",
    "subagent_start": "started a subagent",
    "task_start": "started a background task",
    "process_busy": "its process is busy",
}


def _working(state: AgentState) -> StatusDecision:
    # Prevents: an agent seems idle between two tools, when no call is open while the model
    # responds. Work after the last end of a turn lasts until a later end or until the idle timer
    # expires.
    kind, tool = state.last_event
    if not kind and not state.latest:
        # Only facts about it were reported, such as its title.
        return StatusDecision(_IDLE, "unknown", "no activity yet")
    if kind in TOOL_END_TYPES:
        return StatusDecision(_ACTIVE, "working", f"used {tool}" if tool else "used a tool")
    if kind in _LAST_EVENTS:
        return StatusDecision(_ACTIVE, "working", _LAST_EVENTS[kind])
    if tool:
        return StatusDecision(_ACTIVE, "working", f"used {tool}")
    return StatusDecision(_ACTIVE, "unknown", f"sent {kind}" if kind else "sent an event")


RULES: dict[str, Callable[[AgentState], StatusDecision | None]] = {
    "session is over": _ended,
    "host is unreachable": _unreachable,
    "waiting for a person": _waiting,
    "cannot work": _cannot_work,
    "a tool is running": _runs_tool,
    "subagents or background tasks are running": _has_children,
    "turn is over": _turn_over,
    "working": _working,
}
"""Name → rule in order of precedence; the last rule always matches."""
_RULES = tuple(RULES.values())


def decide(state: AgentState) -> StatusDecision:
    """Return the decision of the first matching rule."""
    for rule in _RULES:
        decision = rule(state)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always matches")


def update_presence(state: AgentState, event: Event, seq: int) -> AgentState:
    """Set ``state.presence`` to the status derived from the evidence, and return the state.

    Args:
        state: result of ``reduce``; it is modified.
        event: the event that caused the change; it dates a new status.
        seq: sequence number of the change.
    """
    before = state.presence
    status, detail, reason, attention = decision = decide(state)
    last_activity = state.last_activity or before.last_activity
    since = before.since
    if since is None or status is not before.status:
        timed = event.source == "timer" or event.event_type in ("offline", "host_lost")
        since = event.timestamp if timed and event.timestamp else last_activity
    detail_since = _detail_since(state, decision, since)
    if (detail == UNREACHABLE) != (before.detail == UNREACHABLE):
        since, detail_since = _over_loss(state, decision, since, detail_since)
    cannot_work = state.blocked is not None and detail in (*CANNOT_WORK, UNREACHABLE)
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
        *state.labels,
        state.context_tokens,
        state.context_window,
        state.context_source,
        state.compacted_at,
        detail_since,
        state.blocked_until if cannot_work else None,
        _is_unseen(state, decision),
        state.hooks,
        state.alive,
        state.session_tokens,
        state.session_cost_usd,
        state.unpriced_tokens,
    )
    return state


def _detail_since(state: AgentState, decision: StatusDecision, since: datetime) -> datetime:
    """Return since when status, detail and attention have been as they are."""
    status, detail, _, attention = decision
    if attention:
        return min(at for _, at in (*state.questions.values(), *state.waiting_calls.values()))
    if state.blocked is not None and detail in CANNOT_WORK:
        return state.blocked[1]
    before = state.presence
    if (status, detail, attention) == (before.status, before.detail, before.attention):
        return before.detail_since or since
    if status is _IDLE and state.turn_end is not None and detail != "unknown":
        return state.turn_end[1]
    return since if status is not before.status else state.last_activity or since


def _over_loss(
    state: AgentState, decision: StatusDecision, since: datetime, detail_since: datetime
) -> tuple[datetime, datetime]:
    """Return since when status and detail are as they are, at the loss or return of the host."""
    before, times = state.presence, state.facts_at
    if decision.detail == UNREACHABLE:
        known = before.since or since
        at = before.detail_since or known
        state.facts_at = keep_times(times, before.status.value, known, before.detail, at)
        return since, detail_since
    kept, kept_detail = kept_since(times, decision.status.value, decision.detail)
    state.facts_at = drop_times(times)
    return kept or since, (kept_detail if kept and kept_detail else detail_since)


def _is_unseen(state: AgentState, decision: StatusDecision) -> bool:
    """Return whether the turn ended and nobody has looked at the agent since."""
    if state.to_view is None or state.to_view < state.latest.get(WORKED, EPOCH):
        return False
    return decision.status is _IDLE and state.parent_agent_id is None


StateOf = Callable[[str], AgentState | None]
"""Returns the state of an agent; None: it is unknown."""


def end_of_orphan(state: AgentState, state_of: StateOf) -> Event | None:
    """Return the end of a subagent whose parent ended without reporting it."""
    child = state.presence
    parent = state_of(state.parent_agent_id or "")
    if parent is None or child.status is _OFFLINE or parent.ended is None:
        return None
    if parent.presence.status is not _OFFLINE or parent.presence.detail == UNREACHABLE:
        return None
    at = parent.ended[1]
    if at < child.last_activity:
        # It has been active since.
        return None
    return _implied_event(child.agent_id, "session_end", at, {"parent_agent_id": parent.agent_id})


def idle_children(state: AgentState, state_of: StateOf) -> Iterator[Event]:
    """Yield ends for the subagents that have become idle since they started."""
    for name, started in state.children.items():
        child = state_of(name)
        if child is None or child.parent_agent_id != state.agent_id:
            continue
        if child.turn_end_reason == "session_start" or child.presence.detail == UNREACHABLE:
            # Started, but no prompt yet, or nothing is known of it.
            continue
        since = child.presence.since
        if child.presence.status is not _ACTIVE and since and since >= started:
            yield _implied_event(state.agent_id, "subagent_stop", since, {"child_agent_id": name})


def _implied_event(agent_id: str, event_type: str, at: datetime, extra: dict[str, str]) -> Event:
    # The source of implied events is "family" in databases and messages.
    return Event(
        agent_id=agent_id, event_type=event_type, timestamp=at, source="family", extra=extra
    )
