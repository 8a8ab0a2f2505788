"""load_storage: sessions of versions before 1.2, which were files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.input_hash import no_hash
from htmlgraph_nb.coding_agents.opencode.database import OpenCodeDatabase
from htmlgraph_nb.coding_agents.opencode.json_storage import is_storage, load_storage
from tests.helpers.session_databases import events_of, recorded_database


def storage_of(database: Path, folder: Path) -> Path:
    """Write the content of a database as older versions did."""
    with closing(sqlite3.connect(database)) as db:
        for name, parent, directory, title, created, updated in db.execute(
            "SELECT id, parent_id, directory, title, time_created, time_updated FROM session"
        ):
            value = {"id": name, "directory": directory, "title": title}
            value |= {"parentID": parent} if parent else {}
            times = {"time": {"created": created, "updated": updated}}
            write(folder / "session/global" / f"{name}.json", {**value, **times})
        for name, session, data in db.execute("SELECT id, session_id, data FROM message"):
            write(folder / "message" / session / f"{name}.json", json.loads(data))
        for name, message, data in db.execute("SELECT id, message_id, data FROM part"):
            write(folder / "part" / message / f"{name}.json", json.loads(data))
    return folder


def write(path: Path, value: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    database = recorded_database("opencode", tmp_path / "opencode.db")
    return storage_of(database, tmp_path / "storage")


def test_load_storage_reads_what_the_database_has(tmp_path: Path, storage: Path) -> None:
    """The events have the same ids, so that a migrated session counts once."""
    database = OpenCodeDatabase()
    expected = events_of("opencode", tmp_path / "opencode.db")
    for session, events in expected.items():
        with closing(load_storage(str(storage), session)) as db:
            assert database.problem(db) is None
            found = database.cursor(session, no_hash).read(db, 1_000)
        kinds = {"prompt", "completion", "stop", "tool_execute", "tool_error", "session_start"}
        ids = {event.event_id for event in found if event.event_type in kinds}
        assert ids == {event.event_id for event in events if event.event_type in kinds}


def test_load_storage_lists_sessions_without_their_messages(storage: Path) -> None:
    """The list is read before any session."""
    with closing(load_storage(str(storage), None)) as db:
        assert db.execute("SELECT count(*) FROM session").fetchone() == (4,)
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)


def test_load_storage_keeps_no_outputs(storage: Path) -> None:
    """They would only take memory."""
    with closing(load_storage(str(storage), None)) as db:
        (session,) = db.execute("SELECT id FROM session WHERE parent_id IS NULL").fetchone()
    with closing(load_storage(str(storage), session)) as db:
        rows = [json.loads(data) for (data,) in db.execute("SELECT data FROM part")]
    assert rows
    assert not any("output" in row.get("state", {}) for row in rows)


def test_load_storage_skips_broken_files(storage: Path) -> None:
    """A file can be half written."""
    folder = next((storage / "message").iterdir())
    for path in folder.iterdir():
        path.write_text("{")
    (storage / "session/global/notes.txt").write_text("x")
    with closing(load_storage(str(storage), folder.name)) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)
        query = "SELECT count(*) FROM session WHERE id = ?"
        assert db.execute(query, (folder.name,)).fetchone() == (1,)


def test_is_storage_needs_sessions(tmp_path: Path, storage: Path) -> None:
    """Later versions leave other files there."""
    assert is_storage(str(storage))
    assert not is_storage(str(tmp_path))
