"""OpenCodeDatabase: which sessions have changed, and reading them in parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.databases.session_database import MAX_ROW_BYTES
from htmlgraph_nb.coding_agents.input_hash import no_hash
from htmlgraph_nb.coding_agents.opencode.database import OpenCodeDatabase
from tests.helpers.session_databases import (
    START_MS,
    OpenCodeWriter,
    empty_database,
    events_of,
    recorded_database,
)

DATABASE = OpenCodeDatabase()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[OpenCodeWriter]:
    writer = OpenCodeWriter(empty_database("opencode", tmp_path / "opencode.db"))
    yield writer
    writer.close()


def test_database_has_the_columns_of_the_program(writer: OpenCodeWriter) -> None:
    """Its own database has no problem; another one is named."""
    assert DATABASE.problem(writer.db) is None
    writer.db.execute("ALTER TABLE part RENAME COLUMN data TO body")
    assert "its table part has no column data" in str(DATABASE.problem(writer.db))
    writer.db.execute("DROP TABLE message")
    assert "it has no table message" in str(DATABASE.problem(writer.db))


def test_database_touched_names_sessions_with_new_rows(writer: OpenCodeWriter) -> None:
    """Parents come before their subagents."""
    first, second = writer.session(), writer.session()
    position = DATABASE.position(writer.db)
    assert DATABASE.touched(writer.db, position) == ([], position)
    child = writer.session(parent=second)
    writer.prompt(second)
    found, position = DATABASE.touched(writer.db, position)
    assert found == [second, child]
    writer.prompt(first)
    assert DATABASE.touched(writer.db, position)[0] == [first]


def test_database_touched_after_a_revert(writer: OpenCodeWriter) -> None:
    """Numbers of deleted rows are used again."""
    session = writer.session()
    writer.prompt(session)
    last = writer.prompt(session)
    position = DATABASE.position(writer.db)
    writer.db.execute("DELETE FROM message WHERE id = ?", (last,))
    writer.db.execute("DELETE FROM part WHERE message_id = ?", (last,))
    assert DATABASE.touched(writer.db, position)[0] == [session]


def test_database_recent_includes_a_running_turn(writer: OpenCodeWriter) -> None:
    """Its session row is older than its parts."""
    session = writer.session()
    writer.message(session, "assistant")
    done = writer.session()
    writer.answer(done)
    assert DATABASE.recent(writer.db, START_MS) == [session, done]
    assert DATABASE.recent(writer.db, START_MS + 3_600_000) == [session]


def test_database_sessions_changed_since(writer: OpenCodeWriter) -> None:
    """A session changes with its messages."""
    old, new = writer.session(), writer.session()
    writer.tick(10_000)
    writer.prompt(new)
    assert [stored.session for stored in DATABASE.sessions(writer.db, 0)] == [old, new]
    (stored,) = DATABASE.sessions(writer.db, writer.at)
    assert (stored.session, stored.n_rows) == (new, 2)
    assert stored.folder == "/home/ada/shop"


@pytest.mark.parametrize("max_rows", [1, 2, 1_000])
def test_cursor_reads_the_same_in_parts(tmp_path: Path, max_rows: int) -> None:
    """The size of a part makes no difference."""
    path = recorded_database("opencode", tmp_path / "opencode.db")
    assert events_of("opencode", path, max_rows) == events_of("opencode", path, 7)


def test_cursor_reads_only_what_changed(writer: OpenCodeWriter) -> None:
    """Each event is returned once, and open messages are read again."""
    session = writer.session()
    cursor = DATABASE.cursor(session, no_hash)
    kinds = []

    def read() -> list[str]:
        return [event.event_type for event in cursor.read(writer.db, 100)]

    kinds.append(read())
    writer.prompt(session)
    kinds.append(read())
    assert cursor.is_open
    message = writer.message(session, "assistant")
    part = writer.call(session, message)
    kinds.append(read())
    kinds.append(read())
    writer.tick()
    writer.end_call(part)
    kinds.append(read())
    writer.complete(message, "tool-calls")
    writer.answer(session)
    kinds.append(read())
    kinds.append(read())
    assert kinds == [
        ["session_start"],
        ["prompt"],
        ["tool_start"],
        [],
        ["tool_execute"],
        ["completion", "completion", "stop"],
        [],
    ]
    assert not cursor.is_open


def test_cursor_of_a_deleted_session(writer: OpenCodeWriter) -> None:
    """Deleting a session ends it."""
    session = writer.session()
    cursor = DATABASE.cursor(session, no_hash)
    cursor.read(writer.db, 100)
    writer.db.execute("DELETE FROM session")
    assert [event.event_type for event in cursor.read(writer.db, 100)] == ["session_end"]
    assert not cursor.exists
    assert cursor.read(writer.db, 100) == []


def test_cursor_reads_the_start_of_a_huge_part(writer: OpenCodeWriter, tmp_path: Path) -> None:
    """A part beyond the limit is not loaded; its call still has a name and an end."""
    session = writer.session()
    message = writer.message(session, "assistant")
    part = writer.call(session, message)
    writer.end_call(part, output="x" * MAX_ROW_BYTES)
    small = writer.call(session, message, "read")
    writer.end_call(small)
    with closing(sqlite3.connect(tmp_path / "opencode.db")) as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
        events = DATABASE.cursor(session, no_hash).read(db, 100)
    ends = [event.tool_name for event in events if event.event_type == "tool_execute"]
    assert ends == ["bash", "read"]
