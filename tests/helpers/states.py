"""States of agents after events, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import reduce
from htmlgraph_nb.core.status_rules import decide, keeps_active, update_presence
from tests.helpers.strategies import at

END = at(10_000_000)
"""An arrival time after every event."""


def fold(
    events: Sequence[Event], now: datetime = END, before: AgentState | None = None
) -> AgentState:
    """Return the state, status included, after the events in this order.

    Args:
        now: arrival time of the events.
        before: the state before; None: that of a new agent.
    """
    state = before or AgentState.new(events[0].agent_id, now)
    for seq, event in enumerate(events, 1):
        state = update_presence(reduce(state, event, now), event, seq)
    return state


def has_open_work(state: AgentState) -> bool:
    """Return whether open work keeps the agent of a state active."""
    decision = decide(state)
    return keeps_active(decision.status, decision.detail)
