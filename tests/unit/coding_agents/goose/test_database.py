"""GooseDatabase: which sessions have changed, and reading them in parts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.goose.database import GooseDatabase
from htmlgraph_nb.coding_agents.input_hash import no_hash
from tests.helpers.session_databases import events_of, recorded_database

DATABASE = GooseDatabase()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return recorded_database("goose", tmp_path / "sessions.db")


def test_database_lists_sessions(path: Path) -> None:
    """Subagents come after their parents."""
    with closing(sqlite3.connect(path)) as db:
        assert DATABASE.problem(db) is None
        found = DATABASE.sessions(db, 0)
        assert [stored.parent for stored in found[-2:]] == ["20261130_4", "20261130_4"]
        assert DATABASE.recent(db, 0)[-2:] == ["20261130_5", "20261130_6"]
        newest = max(stored.changed_ms for stored in found)
        assert {s.session for s in DATABASE.sessions(db, newest)} == {"20261130_7"}


def test_database_touched_names_sessions_with_new_rows(path: Path) -> None:
    """Messages and requests."""
    with closing(sqlite3.connect(path)) as db:
        position = DATABASE.position(db)
        assert DATABASE.touched(db, position) == ([], position)
        db.execute(
            "INSERT INTO usage_ledger (session_id, created_timestamp) VALUES ('20261130_2', 1)"
        )
        assert DATABASE.touched(db, position)[0] == ["20261130_2"]


@pytest.mark.parametrize("max_rows", [1, 3, 1_000])
def test_cursor_reads_the_same_in_parts(path: Path, max_rows: int) -> None:
    """The size of a part makes no difference."""

    def ids(rows: int) -> dict[str, set[str | None]]:
        found = events_of("goose", path, rows)
        return {name: {event.event_id for event in events} for name, events in found.items()}

    assert ids(max_rows) == ids(100)


def test_cursor_reads_only_what_changed(path: Path) -> None:
    """Each event is returned once."""
    with closing(sqlite3.connect(path)) as db:
        cursor = DATABASE.cursor("20261130_1", no_hash)
        assert len(cursor.read(db, 1_000)) > 10
        assert cursor.read(db, 1_000) == []
        assert not cursor.is_open
        db.execute("DELETE FROM sessions WHERE id = '20261130_1'")
        assert [event.event_type for event in cursor.read(db, 1_000)] == ["session_end"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET updated_at = '2030-01-01 00:00:00' WHERE id = '20261130_1'",
        "UPDATE sessions SET archived_at = '2030-01-01 00:00:00' WHERE id = '20261130_1'",
        "UPDATE sessions SET description = 'other' WHERE id = '20261130_1'",
        "UPDATE sessions SET model_config_json = '{}' WHERE id = '20261130_1'",
        "INSERT INTO usage_ledger (session_id, created_timestamp) VALUES ('20261130_1', 1)",
        "UPDATE messages SET content_json = content_json || ' ' WHERE id = ("
        "SELECT max(id) FROM messages WHERE session_id = '20261130_1')",
        'UPDATE messages SET metadata_json = \'{"userVisible": false, "x": 12345678}\' WHERE id = ('
        "SELECT max(id) FROM messages WHERE session_id = '20261130_1')",
        "DELETE FROM messages WHERE id = ("
        "SELECT max(id) FROM messages WHERE session_id = '20261130_1')",
    ],
)
def test_database_states_differ_after_a_change(path: Path, change: str) -> None:
    """Of the session with the change, and of no other."""
    names: dict[str, tuple[str, ...]] = {"20261130_1": (), "20261130_2": (), "gone": ()}
    with closing(sqlite3.connect(path)) as db:
        before = DATABASE.states(db, names)
        assert before.keys() == {"20261130_1", "20261130_2"}
        assert DATABASE.states(db, names) == before
        assert db.execute(change).rowcount == 1
        after = DATABASE.states(db, names)
        assert after["20261130_1"] != before["20261130_1"]
        assert after["20261130_2"] == before["20261130_2"]


def test_database_states_lack_a_deleted_session(path: Path) -> None:
    """Its cursor then reports its end."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM sessions WHERE id = '20261130_1'")
        assert DATABASE.states(db, {"20261130_1": ()}) == {}
