"""Migrations of older files, and triggers that guard sealed segments."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.history.load import load_history, load_presence
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.schema import DECISION
from tests.helpers.databases import VERSIONS, restore


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "history.db")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("write_first", [True, False])
def test_migrate_keeps_presence_of_older_file(path: str, version: int, write_first: bool) -> None:
    """The first program that opens the file migrates it, also a reader; its agents stay."""
    restore(version, path)
    if write_first:
        with PresenceManager(path) as manager:
            assert manager.agents["claude-1"].session_id == "s-3"
            manager.update_presence("claude-1", {"event_type": "tool_error", "tool_name": "Bash"})
            assert manager.agents["claude-1"].total_errors == 1
    presence = load_presence(path).set_index("agent_id")
    assert presence["total_errors"].to_dict() == {"claude-1": int(write_first), "codex-1": 0}
    assert presence["status"].to_dict() == {
        "claude-1": "active" if write_first else "idle",
        "codex-1": "idle",
    }


ADDED = ["speed", "service_tier", "inference_geo", "web_searches", "input_hash"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sealed", [False, True])
def test_migrate_keeps_history_of_older_file(path: str, version: int, sealed: bool) -> None:
    """Later columns are null in older rows; their root is the parent, else the agent."""
    restore(version, path)
    with closing(sqlite3.connect(path)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(history)")]
        before = db.execute("SELECT * FROM history ORDER BY seq").fetchall()
    PresenceManager(path).close()
    if sealed:
        seal(path, segment_rows=5)
    with closing(sqlite3.connect(path)) as db:
        known = [name for name in columns if name not in DECISION]
        indices = [columns.index(name) for name in known]
        rows = db.execute(f"SELECT {', '.join(known)} FROM history ORDER BY seq").fetchall()
        assert rows == [tuple(row[index] for index in indices) for row in before]
    frame = load_history(path)
    assert frame[ADDED].isna().all(axis=None)
    expected = frame["parent_agent_id"].astype("str").fillna(frame["agent_id"].astype("str"))
    assert frame["root_agent_id"].astype("str").tolist() == expected.tolist()
    assert (frame["root_agent_id"] != frame["agent_id"].astype("str")).any()


def test_triggers_remove_segment_of_changed_row_or_name(path: str) -> None:
    """Changes by any program, including the sqlite3 shell, remove only the affected segments."""
    with PresenceManager(path) as manager:
        for _ in range(4):
            manager.update_presence("a", "prompt")

    def segments_after(change: str) -> list[int]:
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM segments")
            for first in (1, 3):
                row = (first, first + 1, 2, 9, 9, 0, 0, f"{first}.arrow")
                db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute(change)
            return [row[0] for row in db.execute("SELECT first_id FROM segments")]

    assert segments_after("UPDATE events SET ts = ts + 1 WHERE id = 2") == [3]
    assert segments_after("DELETE FROM events WHERE id = 3") == [1]
    assert segments_after("UPDATE names SET name = 'b' WHERE name = 'a'") == []
    assert segments_after("UPDATE meta SET value = value") == [1, 3]
