"""Events by which RosterSync reports its own changes."""

from __future__ import annotations

from datetime import UTC, datetime

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import reduce
from htmlgraph_nb.storage.commit.sync_events import changed, renamed

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_renamed_removes_the_agent_and_names_the_other() -> None:
    """Dashboards follow the name."""
    event = renamed("claude-1", "reviewer")
    assert (event.agent_id, event.event_type) == ("claude-1", "forget")
    assert event.extra == {"renamed_to": "reviewer"}


def test_changed_leaves_the_state_as_it_is() -> None:
    """Only the sequence number of the agent changes."""
    before = reduce(AgentState.new("a", AT), Event(agent_id="a", event_type="prompt"), AT)
    event = changed(before, "import")
    assert (event.source, event.timestamp) == ("import", AT)
    assert reduce(before, event, AT) == before
