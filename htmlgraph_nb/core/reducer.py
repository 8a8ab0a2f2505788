"""What an agent's events prove: open tool calls, open children, questions, ends, signs of life.

``reduce`` takes one event into an agent's evidence and counters. It draws no conclusion: that is
``verdict.judge``. Both are pure.

The order of arrival is unimportant: an opening (a tool call, a subagent, a question) is remembered
with its time, a closing too, and an opening counts if no closing is as late as itself. What is
kept of a kind of sign is its latest time, so nothing that comes late can undo what is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar

from .agent_state import (
    ANSWER,
    INTERRUPTED,
    SEEN,
    SESSION_STARTED,
    TASK,
    TOOL,
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
TURN_END_TYPES = frozenset({"stop", "interrupt", "error", "idle"})
SESSION_END_TYPES = frozenset({"session_end", "process_exit", "offline"})

_ACTIVITY = (SEEN, WORKED)
_SIGNALS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TOOL_END_TYPES, (SEEN, WORKED, TOOL)),
    **dict.fromkeys(("prompt", "tool_start", "completion", "answered"), (SEEN, WORKED, ANSWER)),
    **dict.fromkeys(("subagent_start", "task_start", "feature_status"), _ACTIVITY),
    "session_start": (SEEN, SESSION_STARTED),
    "permission_request": (SEEN,),
    "interrupt": (INTERRUPTED,),
    "error": (INTERRUPTED,),
    # What only closes can arrive just after the end of its session, and revives nothing.
    **dict.fromkeys(("stop", "idle", "notification", "subagent_stop", "task_stop"), ()),
    **dict.fromkeys((*SESSION_END_TYPES, "forget"), ()),
}
"""Event type → what it is a sign of; any other type is activity."""
KNOWN_TYPES = frozenset(_SIGNALS)
"""Event types with a meaning; all others are signs of life and work only."""

_FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id")
_facts_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*_FACTS)

PriceFunction = Callable[[Event], float | None]
"""Returns the US dollars of an event; None where they are not known."""

TELEMETRY_LAG = timedelta(seconds=1)
"""By how much telemetry dates an answer later than its session file and the end of its turn."""
_MAX_OPEN = 64
_MAX_CLOSED = 16
"""Closings that are remembered; their openings are late by a second or two, if at all."""
_MICROSECOND = timedelta(microseconds=1)
_Dated = TypeVar("_Dated", tuple[str, datetime], tuple[int, datetime])
_Value = TypeVar("_Value")


def reduce(
    known: AgentState, event: Event, now: datetime, price: PriceFunction | None = None
) -> AgentState:
    """Return the state with the event's facts and evidence in it.

    Args:
        known: the state before; it stays as it is.
        event: a timestamp of None or of the future counts as ``now``.
        now: time of arrival, UTC.
        price: returns the US dollars of an answer that does not tell them; None: they stay open.
    """
    state = known.copy()
    kind = event.event_type
    at = now if event.timestamp is None else min(event.timestamp, now)
    late = state.last_signal_at is not None and at < (state.last_activity or at)
    if tokens := event.total_tokens:
        state.total_tokens = min(state.total_tokens + tokens, MAX_INTEGER)
    cost = event.cost_usd
    if cost is None and price is not None:
        cost = price(event)
    if cost is not None:
        state.cost_usd = (state.cost_usd or 0.0) + cost
    if event.session_id not in (None, state.session_id):
        if state.session_id is not None and (late or kind in SESSION_END_TYPES):
            # It belongs to a session that is over, and says nothing about the present one.
            return state
        _enter_session(state, event)
    if counts_as_tool(event):
        state.total_tools = min(state.total_tools + 1, MAX_INTEGER)
    if is_error(event):
        state.total_errors = min(state.total_errors + 1, MAX_INTEGER)
    _update_facts(state, event, late)
    moment = _signal_time(state, event, at, late)
    signs = signals_of(kind)
    worked_at = _worked_at(event, moment)
    _update_signals(state, signs, moment, worked_at)
    _update_evidence(state, event, moment)
    told = event.source != "timer" and kind != "offline"
    worked = state.latest.get(WORKED)
    if worked == worked_at if WORKED in signs else told and not late and worked is None:
        state.last_event = (kind, event.tool_name or "")
    if told and not late:
        state.last_activity, state.last_signal_at = at, moment
    elif state.last_signal_at is None:
        # Nobody has heard of the agent itself: silent at least since it was first spoken of.
        state.last_activity = min(at, state.last_activity or at)
    return state


def signals_of(event_type: str) -> tuple[str, ...]:
    """Return what an event of this type is a sign of: SEEN, WORKED, SESSION_STARTED, ANSWER,
    TOOL, INTERRUPTED."""
    return _SIGNALS.get(event_type, _ACTIVITY)


def counts_as_tool(event: Event) -> bool:
    """Return whether the event is one executed tool."""
    if event.event_type in TOOL_END_TYPES:
        return True
    return event.tool_name is not None and event.event_type not in KNOWN_TYPES


def is_error(event: Event) -> bool:
    """Return whether the event is a tool or a turn that ended in an error."""
    return event.status == "error" or event.event_type in ERROR_TYPES


def _enter_session(state: AgentState, event: Event) -> None:
    if state.session_id is not None:
        state.forget_session()
        state.total_tools = state.total_errors = 0
        state.last_event = ("", "")
    state.session_id = event.session_id


def _update_facts(state: AgentState, event: Event, late: bool) -> None:
    facts = state.__dict__
    for name, value in zip(_FACTS, _facts_of(event), strict=True):
        if value is not None and (not late or facts[name] is None):
            facts[name] = value


def _signal_time(state: AgentState, event: Event, at: datetime, late: bool) -> datetime:
    if state.last_signal_at is None or late:
        return at
    if event.source == "timer":
        # The clock proves silence since the newest sign, and nothing against one still on its way.
        return state.last_signal_at
    # Events of one instant, as those of one request, count in the order in which they came.
    return at if at > state.last_signal_at else state.last_signal_at + _MICROSECOND


def _update_signals(
    state: AgentState, signs: tuple[str, ...], at: datetime, worked_at: datetime
) -> None:
    if signs:
        latest = state.latest = dict(state.latest)
        for sign in signs:
            date = worked_at if sign == WORKED else at
            if date >= latest.get(sign, date):
                latest[sign] = date


def _update_evidence(state: AgentState, event: Event, at: datetime) -> None:
    learn = _HANDLERS.get(event.event_type)
    if learn is not None:
        learn(state, event, at)
    if state.open_tools or state.asking or state.children or state.questions or state.background:
        prune_closed(state)


def _worked_at(event: Event, at: datetime) -> datetime:
    """Return until when the event shows work: an answer's telemetry comes after the turn's end."""
    is_late = event.source == "otlp" and event.event_type == "completion"
    return at - TELEMETRY_LAG if is_late else at


def _latest(known: _Dated | None, found: _Dated) -> _Dated:
    return found if known is None or found[1] >= known[1] else known


def _bounded(marks: dict[str, _Value], most: int = _MAX_OPEN) -> dict[str, _Value]:
    while len(marks) > most:
        del marks[next(iter(marks))]
    return marks


def _end_session(state: AgentState, event: Event, at: datetime) -> None:
    state.ended = _latest(state.ended, (_end_reason(event), at))


def _end_turn(state: AgentState, event: Event, at: datetime) -> None:
    end = state.turn_end = _latest(state.turn_end, (_end_reason(event), at))
    ended = to_micros(end[1])
    state.closed = {key: closed for key, closed in state.closed.items() if closed > ended}
    state.background = _latest(state.background, (background_tasks(event), at))


def background_tasks(event: Event) -> int:
    """Return how many background tasks the end of a turn says go on."""
    tasks = (event.extra or {}).get("background_tasks")
    if event.event_type != "stop" or type(tasks) is not int or not 0 < tasks <= MAX_INTEGER:
        return 0
    return tasks


def _end_reason(event: Event) -> str:
    if event.source == "timer":
        return "timer"
    asks = event.event_type == "stop" and (event.extra or {}).get("question") is True
    return "question" if asks else event.event_type


def _prompt(state: AgentState, _event: Event, at: datetime) -> None:
    state.background = _latest(state.background, (0, at))


def _open_tool(state: AgentState, event: Event, at: datetime) -> None:
    key = event.tool_use_id or event.tool_name or "tool"
    mark = _latest(state.open_tools.get(key), (event.tool_name or "a tool", at))
    state.open_tools = _bounded({**state.open_tools, key: mark})
    kind = requested_input(event)
    if kind is not None:
        state.asking = _bounded({**state.asking, key: _latest(state.asking.get(key), (kind, at))})


def requested_input(event: Event) -> str | None:
    """Return what an event asks a person for: "plan" | "input" | "permission"; None: nothing."""
    kind = (event.extra or {}).get("asks")
    if event.event_type == "tool_start":
        return kind if kind in ("plan", "input", "permission") else None
    if event.event_type == "permission_request":
        return "plan" if kind == "plan" else "permission"
    return None


def _close_tool(state: AgentState, event: Event, at: datetime) -> None:
    name = event.tool_name or "tool"
    call, micros = event.tool_use_id, to_micros(at)
    closed = dict(state.closed)
    closed[name] = max(micros, closed.pop(name, micros))
    if call is not None:
        closed[call] = max(micros, closed.pop(call, micros))
    state.closed = _bounded(closed, _MAX_CLOSED)


def _close_call(state: AgentState, event: Event, at: datetime) -> None:
    # The call that a person refused ends with the refusal; no result of it follows.
    call, micros = event.tool_use_id, to_micros(at)
    if call is not None:
        known = state.closed.get(call, micros)
        state.closed = _bounded({**state.closed, call: max(micros, known)}, _MAX_CLOSED)


def task_key(event: Event) -> str:
    """Return what a subagent or background task is known by."""
    about = event.extra or {}
    if event.event_type.startswith("task"):
        return (TASK + str(about.get("task_id") or event.tool_use_id or "task"))[:MAX_ID_CHARS]
    name = about.get("child_agent_id") or event.tool_use_id or "subagent"
    return str(name)[:MAX_ID_CHARS]


def _open_child(state: AgentState, event: Event, at: datetime) -> None:
    child = task_key(event)
    begun = max(at, state.children.get(child, at))
    state.children = _bounded({**state.children, child: begun})


def _close_child(state: AgentState, event: Event, at: datetime) -> None:
    child = task_key(event)
    stopped = max(at, state.stopped.get(child, at))
    state.stopped = _bounded({**state.stopped, child: stopped})


def _request_permission(state: AgentState, event: Event, at: datetime) -> None:
    _open_question(state, requested_input(event) or "permission", event.tool_name or "", at)


def _open_question(state: AgentState, kind: str, tool: str, at: datetime) -> None:
    mark = _latest(state.questions.get(tool), (kind, at))
    state.questions = _bounded({**state.questions, tool: mark})


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
    **dict.fromkeys(TOOL_END_TYPES, _close_tool),
    "tool_start": _open_tool,
    "prompt": _prompt,
    "answered": _close_call,
    "permission_request": _request_permission,
    "notification": _notification,
    **dict.fromkeys(("subagent_start", "task_start"), _open_child),
    **dict.fromkeys(("subagent_stop", "task_stop"), _close_child),
}


def prune_closed(state: AgentState) -> None:
    """Drop the openings that a closing has overtaken."""
    ended = time_of(state.ended)
    turn_end = max(ended, time_of(state.turn_end))
    if state.open_tools:
        state.open_tools = _still_open(state.open_tools, turn_end, state.closed)
    if state.asking:
        # By their own times: the call of the same id that is open now may be a later one.
        asking = _still_open(state.asking, turn_end, state.closed)
        state.asking = {key: mark for key, mark in asking.items() if key in state.open_tools}
    if state.children:
        halted = max(ended, state.latest.get(INTERRUPTED, EPOCH))
        state.children = {
            key: at
            for key, at in state.children.items()
            if at > halted and at > state.stopped.get(key, EPOCH)
        }
    if state.questions:
        answered = max(turn_end, state.latest.get(ANSWER, EPOCH))
        state.questions = {
            tool: mark
            for tool, mark in state.questions.items()
            if mark[1] > answered and mark[1] > _answered_by_work(state, tool, mark[0])
        }
    if state.background is not None and state.background[1] <= ended:
        state.background = None


def _still_open(
    calls: Mapping[str, Timed], turn_end: datetime, closed: Mapping[str, int]
) -> dict[str, Timed]:
    return {
        key: mark
        for key, mark in calls.items()
        if mark[1] > turn_end and mark[1] > from_micros(closed.get(key, 0))
    }


def _answered_by_work(state: AgentState, tool: str, kind: str) -> datetime:
    if kind == "input":
        return state.latest.get(WORKED, EPOCH)
    # Another call that ran beside the asking one proves nothing when it ends.
    return from_micros(state.closed.get(tool, 0)) if tool else state.latest.get(TOOL, EPOCH)
