"""Which events and agents belong to a selection."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.erasing.erasure import open_erasure
from htmlgraph_nb.storage.erasing.erasure_selection import (
    ErasureSelection,
    counts_by_owner,
    plan_erasure,
)

DAY = datetime(2026, 1, 2, tzinfo=UTC)
EVENTS = [
    ("a", None, "s1", "p", 1),
    ("a", None, None, None, 1),
    ("a/1", "a", "s9", "q", 1),
    ("a/1/x", "a/1", "s9", "q", 3),
    ("b", None, "s1", "p", 1),
    ("b", None, "s2", "q", 3),
    ("c", None, "s3", "q", 3),
]


@pytest.mark.parametrize(
    ("selection", "n_events", "agents"),
    [
        (ErasureSelection(agents=["a"]), 4, {"a", "a/1", "a/1/x"}),
        (ErasureSelection(agents=["a/1"]), 2, {"a/1", "a/1/x"}),
        # The other session of b stays, and so does b.
        (ErasureSelection(sessions=["s1"]), 5, {"a", "a/1", "a/1/x"}),
        (ErasureSelection(sessions=["s1", "s2"]), 6, {"a", "a/1", "a/1/x", "b"}),
        (ErasureSelection(projects=["q"]), 4, {"a/1", "a/1/x", "b", "c"}),
        (ErasureSelection(projects=["q"], agents=["a"]), 2, {"a/1", "a/1/x"}),
        (ErasureSelection(before=DAY), 4, {"a", "a/1"}),
        (ErasureSelection(projects=["p"], before=DAY), 4, {"a", "a/1"}),
    ],
)
def test_plan_erasure_selects(
    tmp_path: Path, selection: ErasureSelection, n_events: int, agents: set[str]
) -> None:
    """Events without a session or project go with their agent, subagents with their parent."""
    path = str(tmp_path / "test.db")
    with PresenceManager(path) as manager:
        for agent, parent, session, project, day in EVENTS:
            event = Event(
                agent_id=agent,
                parent_agent_id=parent,
                session_id=session,
                project=project,
                timestamp=DAY.replace(day=day),
            )
            manager.ingest([event])
    with open_erasure(path) as db:
        db.execute("DELETE FROM events WHERE type IN (SELECT id FROM names WHERE name = 'offline')")
        db.execute("DELETE FROM events WHERE source IN (SELECT id FROM names WHERE name = 'timer')")
        plan = plan_erasure(db, selection)
        assert (plan.n_events, plan.agents) == (n_events, agents)
        assert counts_by_owner(plan)["agent"] >= len(agents)
