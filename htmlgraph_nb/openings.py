"""What closes what: which calls, subagents, tasks and questions of an agent are still open.

Each rule answers a trap: what is never heard to end must not hold an agent active for ever.
"""

from __future__ import annotations

from datetime import datetime

from .state import ANSWER, HALT, TOOL, WORK, AgentState, time_of
from .times import EPOCH


def drop_closed(state: AgentState) -> None:
    """Drop the openings that a closing has overtaken."""
    ended = time_of(state.ended)
    turn_end = max(ended, time_of(state.turn_end))
    if state.open_tools:
        closed = state.closed
        state.open_tools = {
            key: mark
            for key, mark in state.open_tools.items()
            if mark[1] > turn_end and mark[1] > closed.get(key, EPOCH)
        }
    if state.asking:
        state.asking = {key: mark for key, mark in state.asking.items() if key in state.open_tools}
    if state.children:
        halted = max(ended, state.latest.get(HALT, EPOCH))
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


def _answered_by_work(state: AgentState, tool: str, kind: str) -> datetime:
    if kind == "input":
        return state.latest.get(WORK, EPOCH)
    # Another call that ran beside the asking one proves nothing when it ends.
    return state.closed.get(tool, EPOCH) if tool else state.latest.get(TOOL, EPOCH)
