"""A Roster with a clock that never stops ticking: the reference for what a history shows."""

from __future__ import annotations

from datetime import datetime, timedelta

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.roster import Limits, Roster


def status_word(presence: AgentPresence | None) -> str:
    """Return the status of the timeline for a presence; None: forgotten."""
    if presence is None:
        return "offline"
    return "waiting" if presence.attention else str(presence.status)


class TickedRoster:
    """Applies timers and relations at the very time at which they fall due.

    Args:
        limits: the timers.
        states: agents to begin with.
    """

    def __init__(self, limits: Limits, *states: AgentState) -> None:
        self.roster = Roster(limits)
        for state in states:
            self.roster.put(state.agent_id, state)

    def pass_time(self, until: datetime) -> None:
        """Apply what is due before ``until``, in the order in which it falls due."""
        while self._apply_first(sorted(edge for edge in self._edges() if edge < until)):
            pass

    def _apply_first(self, edges: list[datetime]) -> bool:
        for edge in edges:
            due = [*self.roster.implied_ends(), *self.roster.timers_due(edge)]
            for event in due:
                state = self.roster.get(event.agent_id)
                self.roster.apply(event, state.presence.seq if state else 0, edge)
            self.roster.commit()
            if due:
                return True
        return False

    def _edges(self) -> list[datetime]:
        limits = self.roster.limits
        timers = (
            *(limits.idle_timeout_s, limits.offline_timeout_s, limits.forget_after_s),
            limits.open_work_timeout_s,
        )
        return [
            state.silent_since + timedelta(seconds=after_s)
            for state in self.roster.agents.values()
            for after_s in timers
            if after_s
        ]

    def take(self, event: Event, seq: int = 0) -> None:
        """Let time pass up to an event, and apply it."""
        assert event.timestamp is not None
        self.pass_time(event.timestamp)
        self.roster.apply(event, seq, event.timestamp)
        self.roster.commit()

    def presence(self, agent_id: str) -> AgentPresence | None:
        """Return the presence of an agent; None: not known."""
        state = self.roster.get(agent_id)
        return None if state is None else state.presence

    def presences(self) -> dict[str, AgentPresence]:
        """Return the presence of each agent."""
        return {name: state.presence for name, state in self.roster.agents.items()}

    def status(self, agent_id: str) -> str:
        """Return the status of an agent as the timeline names it."""
        return status_word(self.presence(agent_id))
