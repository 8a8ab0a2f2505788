"""Columns of history, their versions and their SQL."""

from __future__ import annotations

import sqlite3
from itertools import pairwise

import pytest

from htmlgraph_nb.storage.migrations import SCHEMA_VERSION, migrate
from htmlgraph_nb.storage.schema import (
    EARLIER_COLUMNS,
    HISTORY_COLUMNS,
    OPTIONAL_COLUMNS,
    columns_of_version,
    named_in,
    raw_name,
    raw_term,
    select_history,
)


@pytest.fixture
def db() -> sqlite3.Connection:
    """A database with a grandchild, its parent and an agent of its own."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, ":memory:")
    names = ["main", "child", "grandchild", "activity", "other"]
    db.executemany("INSERT INTO names (name) VALUES (?)", [(name,) for name in names])
    rows = [(1, 1, None, None), (2, 2, 1, None), (3, 3, 2, 1), (4, 5, None, None), (5, 2, None, 1)]
    db.executemany(
        "INSERT INTO events (id, ts, agent, type, parent, root) VALUES (?, 0, ?, 4, ?, ?)", rows
    )
    return db


ROOTS = ["main", "main", "main", "other", "main"]


def test_columns_of_version_only_grow() -> None:
    """Each version adds columns at the end, so that older files have the first ones."""
    versions = [columns_of_version(version) for version in range(3, SCHEMA_VERSION + 1)]
    for older, newer in pairwise(versions):
        assert newer[: len(older)] == older
    assert versions[-1] == HISTORY_COLUMNS
    assert tuple(dict.fromkeys(reversed(versions)))[1:] == EARLIER_COLUMNS
    assert (*versions[0], *OPTIONAL_COLUMNS) == HISTORY_COLUMNS
    assert HISTORY_COLUMNS[-6:] == (
        *("speed", "service_tier", "inference_geo", "web_searches", "input_hash"),
        "root_agent_id",
    )


def test_select_history_equals_the_view(db: sqlite3.Connection) -> None:
    """The view has all columns in their order, and the same values."""
    found = db.execute(f"{select_history(HISTORY_COLUMNS)} ORDER BY e.id")
    assert tuple(column[0] for column in found.description) == HISTORY_COLUMNS
    view = db.execute("SELECT * FROM history ORDER BY seq")
    assert tuple(column[0] for column in view.description) == HISTORY_COLUMNS
    assert found.fetchall() == view.fetchall()


def test_select_history_derives_root(db: sqlite3.Connection) -> None:
    """A row without a stored root has its parent or itself as the root."""
    roots = db.execute(f"{select_history(['root_agent_id'])} ORDER BY e.id").fetchall()
    assert [row[0] for row in roots] == ROOTS


def test_named_in_finds_root(db: sqlite3.Connection) -> None:
    """The condition selects by the derived root as well."""
    where = named_in("root_agent_id", 2)
    rows = db.execute(f"SELECT e.id FROM events e WHERE {where} ORDER BY e.id", ("main", "none"))
    assert [row[0] for row in rows] == [1, 2, 3, 5]


def test_raw_term_of_root_is_never_null(db: sqlite3.Connection) -> None:
    """Readers of the columns of ``events`` get the id of a name for each row."""
    term = raw_term(raw_name("root_agent_id"))
    rows = db.execute(f"SELECT n.name FROM events e JOIN names n ON n.id = {term} ORDER BY e.id")
    assert [row[0] for row in rows] == ROOTS
    assert (raw_name("seq"), raw_term(raw_name("seq"))) == ("id", "e.id")
