"""Files of every schema version give their history, and the decisions that were not stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from htmlgraph_nb import load_history, presence_at, timeline
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import needs_sealing
from htmlgraph_nb.storage.database import BUSY_TIMEOUT_S, open_reader, open_writer
from htmlgraph_nb.storage.decision_fill import fill_decisions, undecided_seq
from tests.helpers.databases import VERSIONS, restore

DECIDED = ["agent_status", "agent_detail", "agent_attention"]
CLAUDE = [
    ("session_start", "idle", "done", False),
    ("prompt", "active", "working", False),
    ("tool_start", "active", "tool", False),
    ("permission_request", "active", "waiting_permission", True),
    ("tool_execute", "active", "working", False),
    ("completion", "active", "working", False),
    ("subagent_start", "active", "background", False),
]


@pytest.fixture(params=VERSIONS)
def path(request: pytest.FixtureRequest, tmp_path) -> str:
    """A database file of each version."""
    name = str(tmp_path / "history.db")
    restore(request.param, name)
    return name


def is_undecided(path: str) -> bool:
    """Return whether a server would fill in decisions."""
    with closing(open_reader(path)) as db:
        return undecided_seq(db) > 0 and needs_sealing(path, db)


def test_fill_decisions_keeps_history(path: str) -> None:
    """The rows stay as they are; only what was decided is added."""
    before = load_history(path)
    assert before["agent_status"].isna().all() == is_undecided(path)
    seal(path)
    after = load_history(path)
    own = [name for name in before if not name.startswith("agent_") or name == "agent_id"]
    pd.testing.assert_frame_equal(after[own], before[own])
    assert after[DECIDED].notna().all(axis=None)
    assert not is_undecided(path)
    claude = after[(after["agent_id"] == "claude-1") & (after["source"] != "family")]
    claude = claude.head(len(CLAUDE))
    rows = claude[["event_type", *DECIDED]].itertuples(index=False, name=None)
    assert [tuple(row) for row in rows] == CLAUDE
    forgets = after[after["event_type"] == "forget"]
    assert set(forgets["agent_detail"]) == {"forgotten"}


@pytest.mark.parametrize("path", VERSIONS[:3], indirect=True)
def test_fill_decisions_resumes(path: str) -> None:
    """A run that was interrupted leaves decisions that the next one keeps."""
    with closing(open_writer(path, "NORMAL", BUSY_TIMEOUT_S)) as db:
        last = undecided_seq(db)
        assert last == len(load_history(path))
        db.execute("UPDATE events SET decision = 99 WHERE id = 1")
        assert fill_decisions(db, step_rows=4) == last
        assert fill_decisions(db) == 0
        found = db.execute("SELECT decision FROM events WHERE id = 1").fetchone()
        assert found == (99,)


def test_timeline_of_older_file_is_the_same_before_and_after(path: str) -> None:
    """A reader that comes before the server decides the same."""
    before = timeline(load_history(path))
    seal(path)
    frame = load_history(path)
    pd.testing.assert_frame_equal(timeline(frame), before)
    claude = before[before["agent_id"] == "claude-1"]
    assert claude["status"].head(4).tolist() == ["idle", "active", "waiting", "active"]
    assert claude["duration"].head(3).dt.total_seconds().tolist() == [4, 7, 48]
    now = presence_at(frame, frame["timestamp"].max())
    assert dict(zip(now["agent_id"], now["status"], strict=True)) == {
        "claude-1": "idle",
        "codex-1": "idle",
    }


def test_view_history_of_older_file_has_decisions(path: str) -> None:
    """The view for SQL shows them too."""
    seal(path)
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT agent_status, agent_attention FROM history WHERE seq = 4")
        assert rows.fetchall() == [("active", 1)]
