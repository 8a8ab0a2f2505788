"""Copies of databases while others write to them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.errors import StoreDamaged
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.copies.database_copy import check_copy, copy_database, temporary_file
from tests.helpers.sealed_history import fill


def test_copy_database_is_not_changed_by_writes_meanwhile(tmp_path: Path) -> None:
    """It neither starts again nor gets events that came after its begin."""
    source, target = tmp_path / "test.db", tmp_path / "copy"
    fill(str(source), 8_000)
    calls = 0
    with PresenceManager(str(source)) as manager:

        def write(_: int, __: int) -> None:
            nonlocal calls
            calls += 1
            manager.update_presence("late", "prompt")

        target.touch()
        content = copy_database(str(source), str(target), write)
    assert content.n_events == 8_000
    assert calls >= 1
    check_copy(str(target), content, "source")
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (8_000,)
    assert not os.path.exists(f"{target}-wal")


def test_check_copy_refuses_other_content(tmp_path: Path) -> None:
    """A copy that lacks a row is no copy."""
    source, target = tmp_path / "test.db", tmp_path / "copy"
    fill(str(source), 100)
    target.touch()
    content = copy_database(str(source), str(target), lambda *_: None)
    with closing(sqlite3.connect(target)) as db:
        db.execute("DELETE FROM events WHERE id = 50")
        db.commit()
    with pytest.raises(StoreDamaged, match="differs"):
        check_copy(str(target), content, "source")


def test_temporary_file_is_removed(tmp_path: Path) -> None:
    """With the log and journal that SQLite may have left."""
    with temporary_file(str(tmp_path / "x")) as name:
        for suffix in ("-wal", "-journal"):
            Path(name + suffix).touch()
    assert list(tmp_path.iterdir()) == []
