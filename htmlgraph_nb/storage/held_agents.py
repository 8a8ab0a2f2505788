"""Agents of a session file that is being imported: applied to the roster, but not stored yet.

A file is imported in many short transactions. In between, an agent of the past would look active,
and the timers of a server would remove it together with its totals. So its state is stored once,
with the last transaction of the file.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ..core.agent_state import AgentState
from ..core.timestamps import EPOCH

_SETTLE = timedelta(seconds=10)
"""Time after the last event of the past of an agent until timers of the present apply to it."""


class HeldAgents:
    """The held agents, and their states as stored before (None: not stored).

    Changes are staged until ``commit``; ``rollback`` discards them.

    Attributes:
        released: agents that are no longer held and to be stored by the running transaction.
    """

    def __init__(self) -> None:
        self._held: dict[str, AgentState | None] = {}
        self._staged: dict[str, AgentState | None] = {}
        self._dropped: set[str] = set()
        self.released: list[str] = []

    def hold(self, agent_id: str, stored: AgentState | None) -> None:
        """Stage that an agent is held, unless it is already."""
        self._staged.setdefault(agent_id, stored)

    def rebuilds(self, agent_id: str) -> bool:
        """Return whether an agent is held that is not stored.

        Its state consists of all events of the file, also of those that are stored already.
        """
        return agent_id in self._staged and self._staged[agent_id] is None

    def names(self) -> list[str]:
        """Return the ids of the held agents."""
        return [*self._staged]

    def release(self, removed: set[str]) -> None:
        """Stage that no agent is held any more.

        Args:
            removed: held agents that the roster no longer has.
        """
        self._dropped = {name for name in removed if self._staged.get(name) is None}
        self.released = self.names()
        self._staged = {}

    def hides(self, agent_id: str) -> bool:
        """Return whether the running transaction must not store the state of an agent."""
        return agent_id in self._staged or agent_id in self._dropped

    def absorb(self, agent_id: str, own: AgentState, stored: AgentState | None) -> AgentState:
        """Return the state of a held agent after another process has changed the stored one."""
        base = self._staged.get(agent_id)
        self._held[agent_id] = self._staged[agent_id] = stored
        return own if stored is None else merge_states(own, stored, base)

    def commit(self) -> None:
        """Accept the staged changes."""
        self._held, self._dropped, self.released = dict(self._staged), set(), []

    def rollback(self) -> None:
        """Discard the staged changes."""
        self._staged, self._dropped, self.released = dict(self._held), set(), []

    def discard(self) -> dict[str, AgentState | None]:
        """Hold no agent any more; return the states to restore."""
        held, self._held, self._staged = self._held, {}, {}
        return held


def merge_states(own: AgentState, stored: AgentState, base: AgentState | None) -> AgentState:
    """Return a state with the events of two states that continue the same one.

    The totals are exact. The evidence is that of the state with the later activity.

    Args:
        base: the state that both continue; None: they have no events in common.
    """
    later = own if _active_at(own) > _active_at(stored) else stored
    merged = later.copy()
    merged.add_totals(own, stored, base)
    merged.presence = replace(
        merged.presence,
        total_tools_executed=merged.total_tools,
        total_errors=merged.total_errors,
        total_cost_tokens=merged.total_tokens,
        cost_usd=merged.cost_usd,
        session_tokens=merged.session_tokens,
        session_cost_usd=merged.session_cost_usd,
        unpriced_tokens=merged.unpriced_tokens,
    )
    return merged


def _active_at(state: AgentState) -> datetime:
    return state.last_activity or EPOCH


class PastArrivals:
    """When events of the past of each agent arrived last.

    A program may send a history in several requests. Timers of the present between two of them
    would come before the events of the second, and remove the agent.
    """

    def __init__(self) -> None:
        self._arrivals: dict[str, datetime] = {}

    def add(self, agent_id: str, now: datetime) -> None:
        """Record that an event of the past of an agent arrived."""
        self._arrivals[agent_id] = now

    def names(self, now: datetime) -> set[str]:
        """Return the agents whose past is being reported, so that it is too early for timers."""
        for agent_id, at in [*self._arrivals.items()]:
            if not timedelta() <= now - at < _SETTLE:
                self._arrivals.pop(agent_id, None)
        return set(self._arrivals)
