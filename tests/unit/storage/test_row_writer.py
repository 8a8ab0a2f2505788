"""RowWriter stores rows with any NULL pattern unchanged and in order."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.storage import row_writer as module
from htmlgraph_nb.storage.row_writer import RowWriter

COLUMNS = ("id", "a", "b", "c")
VALUES = st.none() | st.integers(-9, 9) | st.text(max_size=3)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=12))
def test_write_stores_rows(values: list[tuple[object, ...]]) -> None:
    """Each None is stored as NULL."""
    rows = [(n, *row) for n, row in enumerate(values, 1)]
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
        RowWriter("INSERT", "t", COLUMNS).write(db, rows)
        assert db.execute("SELECT * FROM t ORDER BY id").fetchall() == rows


def test_write_replaces_row_with_same_key() -> None:
    """A value that is None now is NULL afterwards."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
        writer = RowWriter("INSERT OR REPLACE", "t", COLUMNS)
        writer.write(db, [(1, "x", "y", None)])
        writer.write(db, [(1, None, "z", 3)])
        assert db.execute("SELECT * FROM t").fetchall() == [(1, None, "z", 3)]


def test_write_bounds_cached_statements(monkeypatch) -> None:
    """Many NULL patterns do not grow the cache without limit."""
    monkeypatch.setattr(module, "MAX_NULL_PATTERNS", 3)
    writer = RowWriter("INSERT", "t", COLUMNS)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
        for n in range(8):
            writer.write(db, [(n, *("x" if n & bit else None for bit in (1, 2, 4)))])
        assert db.execute("SELECT count(*) FROM t").fetchone() == (8,)
    assert len(writer._statements) <= 3
