"""Events by which RosterSync reports its own changes of agents to other processes."""

from __future__ import annotations

from ...core.agent_state import AgentState
from ...core.model import Event


def renamed(agent_id: str, new_id: str) -> Event:
    """Return the removal of an agent whose events have another agent id from now on."""
    extra = {"renamed_to": new_id}
    return Event(agent_id=agent_id, event_type="forget", source="rename", extra=extra)


def changed(state: AgentState, source: str) -> Event:
    """Return an event that only says that an agent has changed.

    Other processes read the agents of new events, so each changed agent needs one.

    Args:
        source: "import" or "rename".
    """
    return Event(
        agent_id=state.agent_id,
        event_type="session_info",
        timestamp=state.last_activity,
        session_id=state.session_id,
        source=source,
    )
