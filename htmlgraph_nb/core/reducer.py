"""The reducer: apply events to the evidence and counters of an agent. Pure functions.

Evidence is open tool calls and children, questions, ends of turns and sessions, and signals.
``status_rules`` derives the status from it.

The order of arrival does not matter. Starts (of tool calls, subagents and questions) and ends are
kept with their timestamps, and a start counts unless an end is as late as the start. Of each kind
of signal only the latest timestamp is kept, so a late event never undoes a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from . import agent_facts
from .agent_state import (
    ANSWERED,
    SEEN,
    SESSION_STARTED,
    TASK_PREFIX,
    TOOL_ENDED,
    TURN_BROKEN,
    WORKED,
    AgentState,
    Timed,
    time_of,
)
from .model import Event
from .timestamps import EPOCH, from_micros, to_micros
from .validation import MAX_ID_CHARS, MAX_INTEGER

TOOL_END_TYPES = frozenset({"tool_execute", "tool_call", "tool_result", "tool_error"})
ERROR_TYPES = frozenset({"tool_error", "error"})
TURN_END_TYPES = frozenset({"stop", "interrupt", "error", "idle", "process_idle"})
SESSION_END_TYPES = frozenset({"session_end", "process_exit", "offline"})
REPORT_TYPES = frozenset(
    "session_info viewed quota process_start process_lost resumed host_seen host_lost".split()
)
"""Event types that report facts about an agent but are no activity of it."""
NOT_FIRST_TYPES = SESSION_END_TYPES | REPORT_TYPES
"""Event types that do not start another session of an agent."""

_ACTIVITY, CALLED = (SEEN, WORKED), "call"
_SIGNALS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TOOL_END_TYPES, (SEEN, WORKED, TOOL_ENDED)),
    **dict.fromkeys(("prompt", "completion", "answered"), (SEEN, WORKED, ANSWERED)),
    "tool_start": (SEEN, WORKED, ANSWERED, CALLED),
    "process_busy": (SEEN, WORKED, ANSWERED),
    **dict.fromkeys(("subagent_start", "task_start", "feature_status", "retry"), _ACTIVITY),
    "session_start": (SEEN, SESSION_STARTED),
    "permission_request": (SEEN,),
    **dict.fromkeys(("interrupt", "error"), (TURN_BROKEN,)),
    # Ends can arrive just after the end of their session, and must not revive it.
    **dict.fromkeys(("stop", "idle", "process_idle", "notification"), ()),
    **dict.fromkeys(("subagent_stop", "task_stop"), ()),
    **dict.fromkeys((*SESSION_END_TYPES, *REPORT_TYPES, "forget"), ()),
}
"""Event type → its signals; any other type is _ACTIVITY."""
KNOWN_TYPES = frozenset(_SIGNALS)
"""Event types with a meaning of their own; all others only show activity."""

PriceFunction = Callable[[Event], float | None]
"""Returns the cost of an event in US dollars; None: unknown."""

TELEMETRY_LAG = timedelta(seconds=1)
"""Telemetry may date a completion up to this much after the end of its turn."""
_MAX_OPEN = 64
_MAX_TOOL_ENDS = 16
"""Maximum number of ends that are kept; their starts arrive at most a second or two later."""
_MICROSECOND = timedelta(microseconds=1)
# Timed, or AgentState.background.
_AnyTimed = TypeVar("_AnyTimed", Timed, tuple[int, datetime])
_Value = TypeVar("_Value")


def reduce(
    before: AgentState,
    event: Event,
    now: datetime,
    price: PriceFunction | None = None,
    window: agent_facts.WindowFunction | None = None,
) -> AgentState:
    """Return the state after an event; the status is not updated.

    Args:
        before: the state before the event; it is not modified.
        event: a timestamp of None or in the future counts as ``now``.
        now: arrival time, UTC.
        price: returns the cost of events that do not report it; None: their cost stays unknown.
        window: returns the context window of models; None: only reported windows are known.
    """
    state, kind = before.copy(), event.event_type
    at = now if event.timestamp is None else min(event.timestamp, now)
    late = state.last_signal_at is not None and at < (state.last_activity or at)
    if tokens := event.total_tokens:
        state.total_tokens = min(state.total_tokens + tokens, MAX_INTEGER)
    cost = event.cost_usd
    if cost is None and price is not None:
        cost = price(event)
    if cost is not None:
        state.cost_usd = (state.cost_usd or 0.0) + cost
    elif tokens:
        state.unpriced_tokens = min(state.unpriced_tokens + tokens, MAX_INTEGER)
    if event.session_id not in (None, state.session_id):
        if state.session_id is not None and (late or kind in NOT_FIRST_TYPES):
            # An event of a previous session does not change the current one.
            return state
        _enter_session(state, event)
    if tokens:
        state.session_tokens = min(state.session_tokens + tokens, MAX_INTEGER)
    if cost is not None:
        state.session_cost_usd = (state.session_cost_usd or 0.0) + cost
    if counts_as_tool(event):
        state.total_tools = min(state.total_tools + 1, MAX_INTEGER)
    if is_error(event):
        state.total_errors = min(state.total_errors + 1, MAX_INTEGER)
    agent_facts.update_labels(state, event, at, late)
    agent_facts.update_context(state, event, before.model, at, window)
    agent_facts.update_viewable(state, event, at, now)
    signal_at = _signal_time(state, event, at, late)
    signals = signals_of(kind)
    worked_at = _worked_at(event, signal_at)
    _update_signals(state, signals, signal_at, worked_at)
    _update_evidence(state, event, signal_at)
    from_agent = is_from_agent(event)
    latest_work_at = state.latest.get(WORKED)
    is_latest_work = WORKED in signals and latest_work_at == worked_at
    is_latest_before_work = latest_work_at is None and from_agent and not late
    if is_latest_work or is_latest_before_work:
        state.last_event = (kind, event.tool_name or "")
    if from_agent and not late:
        state.last_activity, state.last_signal_at = at, signal_at
    elif state.last_signal_at is None:
        # The agent has not sent an event itself yet: use the time it was first mentioned.
        state.last_activity = min(at, state.last_activity or at)
    return state


def signals_of(event_type: str) -> tuple[str, ...]:
    """Return the signals of an event type, such as SEEN and WORKED."""
    return _SIGNALS.get(event_type, _ACTIVITY)


def is_from_agent(event: Event) -> bool:
    """Return whether the event is an act of the agent, not of a timer, person or observer."""
    kind = event.event_type
    return event.source != "timer" and kind != "offline" and kind not in REPORT_TYPES


def counts_as_tool(event: Event) -> bool:
    """Return whether the event counts as a tool call."""
    if event.event_type in TOOL_END_TYPES:
        return True
    return event.tool_name is not None and event.event_type not in KNOWN_TYPES


def is_error(event: Event) -> bool:
    """Return whether a tool or a turn ended in an error."""
    return event.status == "error" or event.event_type in ERROR_TYPES


def _enter_session(state: AgentState, event: Event) -> None:
    if state.session_id is not None:
        state.forget_session()
        state.total_tools = state.total_errors = 0
        state.last_event = ("", "")
    state.session_id = event.session_id


def _signal_time(state: AgentState, event: Event, at: datetime, late: bool) -> datetime:
    if state.last_signal_at is None or late:
        return at
    if event.source == "timer":
        # A timer event must not override activity that has not arrived yet.
        return state.last_signal_at
    # Events with the same timestamp, such as those of one request, count in order of arrival.
    return at if at > state.last_signal_at else state.last_signal_at + _MICROSECOND


def _update_signals(
    state: AgentState, signals: tuple[str, ...], at: datetime, worked_at: datetime
) -> None:
    if signals:
        latest = state.latest = dict(state.latest)
        for signal in signals:
            signal_at = worked_at if signal == WORKED else at
            if signal_at >= latest.get(signal, signal_at):
                latest[signal] = signal_at


def _update_evidence(state: AgentState, event: Event, at: datetime) -> None:
    handle = _HANDLERS.get(event.event_type)
    if handle is not None:
        handle(state, event, at)
    if (
        state.open_tools
        or state.waiting_calls
        or state.children
        or state.questions
        or state.background
    ):
        prune_ended(state)


def _worked_at(event: Event, at: datetime) -> datetime:
    """Return when the work happened; telemetry dates completions after the end of their turn."""
    is_late = event.source == "otlp" and event.event_type == "completion"
    return at - TELEMETRY_LAG if is_late else at


def _latest(before: _AnyTimed | None, new: _AnyTimed) -> _AnyTimed:
    return new if before is None or new[1] >= before[1] else before


def _bounded(entries: dict[str, _Value], limit: int = _MAX_OPEN) -> dict[str, _Value]:
    while len(entries) > limit:
        del entries[next(iter(entries))]
    return entries


def _end_session(state: AgentState, event: Event, at: datetime) -> None:
    reason = _end_reason(event)
    state.ended = _latest(state.ended, (reason, at))
    if reason != "timer" and state.process_at is not None and at >= state.process_at:
        state.process_at = None


def _end_turn(state: AgentState, event: Event, at: datetime) -> None:
    state.turn_end = state.later_turn_end((_end_reason(event), at))
    turn_end = to_micros(state.turn_end[1])
    state.tool_ends = {key: end for key, end in state.tool_ends.items() if end > turn_end}
    state.background = _latest(state.background, (background_tasks(event), at))
    if event.event_type == "error":
        agent_facts.update_blocked(state, event, at)


def background_tasks(event: Event) -> int:
    """Return the number of background tasks that continue after the end of a turn."""
    tasks = (event.extra or {}).get("background_tasks")
    if event.event_type != "stop" or type(tasks) is not int or not 0 < tasks <= MAX_INTEGER:
        return 0
    return tasks


def _end_reason(event: Event) -> str:
    if event.source == "timer":
        return "timer"
    extra, kind = event.extra or {}, event.event_type
    if kind == "stop" and extra.get("question") is True:
        return "question"
    return "shell" if kind == "process_idle" and extra.get("background_shell") is True else kind


def _prompt(state: AgentState, _event: Event, at: datetime) -> None:
    state.background = _latest(state.background, (0, at))


def _start_tool_call(state: AgentState, event: Event, at: datetime) -> None:
    key = event.tool_use_id or event.tool_name or "tool"
    timed = _latest(state.open_tools.get(key), (event.tool_name or "a tool", at))
    state.open_tools = _bounded({**state.open_tools, key: timed})
    kind = requested_input(event)
    if kind is not None:
        question = _latest(state.waiting_calls.get(key), (kind, at))
        state.waiting_calls = _bounded({**state.waiting_calls, key: question})


def requested_input(event: Event) -> str | None:
    """Return the kind of input needed from a person: "plan", "input", "permission"; None: none."""
    kind = (event.extra or {}).get("asks")
    if event.event_type == "tool_start":
        return kind if kind in ("plan", "input", "permission") else None
    if event.event_type == "permission_request":
        return "plan" if kind == "plan" else "permission"
    return None


def _end_tool_call(state: AgentState, event: Event, at: datetime) -> None:
    name = event.tool_name or "tool"
    call, micros = event.tool_use_id, to_micros(at)
    ends = dict(state.tool_ends)
    ends[name] = max(micros, ends.pop(name, micros))
    if call is not None:
        ends[call] = max(micros, ends.pop(call, micros))
    state.tool_ends = _bounded(ends, _MAX_TOOL_ENDS)


def _deny_call(state: AgentState, event: Event, at: datetime) -> None:
    # A call that a person denied has no result event, so the denial is its end.
    call, micros = event.tool_use_id, to_micros(at)
    if call is not None:
        end = max(micros, state.tool_ends.get(call, micros))
        state.tool_ends = _bounded({**state.tool_ends, call: end}, _MAX_TOOL_ENDS)


def task_key(event: Event) -> str:
    """Return the key of a subagent or background task in ``AgentState.children``."""
    extra = event.extra or {}
    if event.event_type.startswith("task"):
        task = extra.get("task_id") or event.tool_use_id or "task"
        return f"{TASK_PREFIX}{task}"[:MAX_ID_CHARS]
    name = extra.get("child_agent_id") or event.tool_use_id or "subagent"
    return str(name)[:MAX_ID_CHARS]


def _start_child(state: AgentState, event: Event, at: datetime) -> None:
    child = task_key(event)
    started = max(at, state.children.get(child, at))
    state.children = _bounded({**state.children, child: started})


def _end_child(state: AgentState, event: Event, at: datetime) -> None:
    child = task_key(event)
    ended = max(at, state.child_ends.get(child, at))
    state.child_ends = _bounded({**state.child_ends, child: ended})


def _request_permission(state: AgentState, event: Event, at: datetime) -> None:
    _open_question(state, requested_input(event) or "permission", event.tool_name or "", at)


def _open_question(state: AgentState, kind: str, tool: str, at: datetime) -> None:
    timed = _latest(state.questions.get(tool), (kind, at))
    state.questions = _bounded({**state.questions, tool: timed})


def _notification(state: AgentState, event: Event, at: datetime) -> None:
    kind = (event.extra or {}).get("notification_type")
    if kind == "permission_prompt":
        _request_permission(state, event, at)
    elif kind == "idle_prompt":
        _end_turn(state, event, at)
    elif kind in ("agent_needs_input", "elicitation_dialog"):
        _open_question(state, "input", "", at)


_HANDLERS: dict[str, Callable[[AgentState, Event, datetime], None]] = {
    **dict.fromkeys(SESSION_END_TYPES, _end_session),
    **dict.fromkeys(TURN_END_TYPES, _end_turn),
    **dict.fromkeys(TOOL_END_TYPES, _end_tool_call),
    **agent_facts.HANDLERS,
    "tool_start": _start_tool_call,
    "prompt": _prompt,
    "answered": _deny_call,
    "permission_request": _request_permission,
    "notification": _notification,
    **dict.fromkeys(("subagent_start", "task_start"), _start_child),
    **dict.fromkeys(("subagent_stop", "task_stop"), _end_child),
}


def prune_ended(state: AgentState) -> None:
    """Remove the starts that have an end at the same time or later."""
    ended = time_of(state.ended)
    turn_end = max(ended, time_of(state.turn_end))
    if state.open_tools:
        state.open_tools = _still_open(state.open_tools, turn_end, state.tool_ends)
    if state.waiting_calls:
        # Compare their own times: the open call with the same id may be a later call.
        waiting = _still_open(state.waiting_calls, turn_end, state.tool_ends)
        state.waiting_calls = {
            key: timed for key, timed in waiting.items() if key in state.open_tools
        }
    if state.children:
        broken = max(ended, state.latest.get(TURN_BROKEN, EPOCH))
        state.children = {
            key: at
            for key, at in state.children.items()
            if at > broken and at > state.child_ends.get(key, EPOCH)
        }
    if state.questions:
        answered = max(turn_end, state.latest.get(ANSWERED, EPOCH))
        state.questions = {
            tool: timed
            for tool, timed in state.questions.items()
            if timed[1] > answered and timed[1] > _answered_by_work(state, tool, timed[0])
        }
    if state.background is not None and state.background[1] <= ended:
        state.background = None


def _still_open(
    calls: Mapping[str, Timed], turn_end: datetime, tool_ends: Mapping[str, int]
) -> dict[str, Timed]:
    return {
        key: timed
        for key, timed in calls.items()
        if timed[1] > turn_end and timed[1] > from_micros(tool_ends.get(key, 0))
    }


def _answered_by_work(state: AgentState, tool: str, kind: str) -> datetime:
    if kind == "input":
        return state.latest.get(WORKED, EPOCH)
    # The end of another call that ran in parallel does not answer the question.
    if tool:
        return from_micros(state.tool_ends.get(tool, 0))
    return state.latest.get(TOOL_ENDED, EPOCH)
