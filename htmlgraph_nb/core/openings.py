"""What closes what: which calls, subagents, tasks and questions of an agent are still open.

Each rule answers a trap: what is never heard to end must not hold an agent active for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from .agent_state import ANSWER, INTERRUPTED, TOOL, WORKED, AgentState, Timed, time_of
from .timestamps import EPOCH, from_micros


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
