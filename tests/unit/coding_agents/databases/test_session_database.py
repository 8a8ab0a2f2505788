"""What the readers of session databases share."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from htmlgraph_nb.coding_agents.databases.session_database import (
    HEAD_BYTES,
    columns_of,
    fetch,
    fetch_one,
    head_of,
    names_of,
    sessions_of,
)
from htmlgraph_nb.coding_agents.registry import AGENTS


def test_fetch_returns_rows_by_name() -> None:
    """With positional and named values."""
    with closing(sqlite3.connect(":memory:")) as db:
        assert fetch(db, "SELECT ? AS a, 2 AS b", (1,)) == [{"a": 1, "b": 2}]
        assert fetch_one(db, "SELECT :x AS a", {"x": 3}) == {"a": 3}
        assert fetch_one(db, "SELECT 1 WHERE 0") is None


def test_sessions_of_rows_have_the_types_of_their_fields() -> None:
    """SQLite stores any type in any column."""
    rows = [("a", None, b"x", 5.9, 1), (None, "a", "/p", 1, 1), (b"b", 1, 2, 3, 4), ("", *"abcd")]
    rows += [("c", 7, "/p", "now", 2), ("d", "a", None, float("inf"), 0)]
    assert [tuple(each) for each in sessions_of(rows)] == [
        ("a", None, None, 5, 1),
        ("c", None, "/p", 0, 2),
        ("d", "a", None, 0, 0),
    ]
    assert names_of([("a",), (None,), (b"x",), (3,)]) == ["a"]


def test_columns_of_a_missing_table_are_none() -> None:
    """So that a reader can name it."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a, b)")
        assert columns_of(db, "t") == {"a", "b"}
        assert columns_of(db, "u") == frozenset()


def test_head_of_reads_the_start_of_a_value() -> None:
    """Whatever its length."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("INSERT INTO t VALUES (?), ('short')", ("x" * 10 * HEAD_BYTES,))
        assert head_of(db, "t", "a", 1) == "x" * HEAD_BYTES
        assert head_of(db, "t", "a", 2) == "short"


@pytest.mark.parametrize("agent", [name for name in AGENTS if AGENTS[name].has_databases])
def test_session_database_refuses_a_folder_unless_older_versions_had_one(
    agent: str, tmp_path: object
) -> None:
    """The error is that of the file system."""
    database = AGENTS[agent].session_database()
    with pytest.raises(OSError):
        database.open_folder(f"{tmp_path}/missing", None)
