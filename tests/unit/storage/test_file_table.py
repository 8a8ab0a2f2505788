"""The table of imported session files."""

from __future__ import annotations

import sqlite3

from htmlgraph_nb.storage.file_table import (
    put_session_files,
    read_session_files,
    stored_path,
)
from htmlgraph_nb.storage.migrations import migrate


def test_session_files_are_stored_with_the_last_stamp() -> None:
    """A file has one entry; its path may contain any bytes."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, ":memory:")
    odd = "/p/name\udce9.jsonl"
    put_session_files(db, {"/p/a.jsonl": (1, 2)})
    put_session_files(db, {"/p/a.jsonl": (3, 4), odd: (5, 2**62)})
    assert read_session_files(db) == {"/p/a.jsonl": (3, 4), stored_path(odd): (5, 2**62)}
    put_session_files(db, dict.fromkeys(["/p/a.jsonl", odd, "/p/unknown.jsonl"]))
    assert read_session_files(db) == {}
