"""Events of forgotten names, and rosters after another process deleted agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.erasing.erasure import erase, open_erasure
from htmlgraph_nb.storage.erasing.erasure_selection import ErasureSelection
from htmlgraph_nb.storage.forgetting.forgotten_names import ForgottenNames
from htmlgraph_nb.storage.forgetting.forgotten_table import add_forgotten, count_forget

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "fields", "is_kept"),
    [
        (("agent", "a"), {"agent_id": "a"}, False),
        (("agent", "p"), {"agent_id": "a", "parent_agent_id": "p"}, False),
        (("session", "a"), {"agent_id": "a"}, True),
        (("session", "s"), {"agent_id": "a", "session_id": "s"}, False),
        (("project", "p"), {"agent_id": "a", "project": "p"}, False),
        (("project", "p"), {"agent_id": "a", "project": "q"}, True),
        (("all", ""), {"agent_id": "a"}, False),
    ],
)
def test_keep_drops_events_up_to_the_time(
    tmp_path: Path, name: tuple[str, str], fields: dict[str, str], is_kept: bool
) -> None:
    """Later ones, and those without a time, which happen now, are kept."""
    path = str(tmp_path / "test.db")
    PresenceManager(path).close()
    names = ForgottenNames()
    early = Event.from_dict({**fields, "timestamp": NOW.isoformat()})
    later = [Event.from_dict(fields)]
    later.append(Event.from_dict({**fields, "timestamp": (NOW + timedelta(0, 1)).isoformat()}))
    assert names.keep([early, *later]) == [early, *later]
    with open_erasure(path) as db:
        add_forgotten(db, [name], NOW)
        count_forget(db)
        names.load(db)
    assert names.keep([early, *later]) == ([early, *later] if is_kept else later)
    assert names.was_dropped() is not is_kept
    assert not names.was_dropped()


def test_reload_roster_publishes_removals_in_order(tmp_path: Path) -> None:
    """Each has a number of its own, after all earlier ones and before all later ones."""
    path = str(tmp_path / "test.db")
    batches: list[ChangeBatch] = []
    with PresenceManager(path) as manager:
        for agent in ("a", "a/1", "a/2", "b"):
            parent = "a" if "/" in agent else None
            manager.ingest([Event(agent_id=agent, parent_agent_id=parent)])
        manager.subscribe(batches.append)
        last = manager.cursor.seq
        with open_erasure(path) as db:
            erase(db, path, ErasureSelection(agents=["a"]), now=datetime.now(UTC))
        manager.ingest([Event(agent_id="b"), Event(agent_id="c")])
        changes = [change for batch in batches for change in batch.changes]
        assert [(c.seq - last, c.agent_id, c.state is None) for c in changes] == [
            (1, "a", True),
            (2, "a/1", True),
            (3, "a/2", True),
            (4, "b", False),
            (5, "c", False),
        ]
        assert set(manager.snapshot()) == {"b", "c"}
        assert manager.forgotten_seq >= last + 3
