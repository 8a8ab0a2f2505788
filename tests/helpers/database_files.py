"""Database files, read as other programs read them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.postgres.location import is_postgres


def history_rows(path: str, columns: str = "seq") -> list[tuple[Any, ...]]:
    """Return the rows of the history view, read with plain SQLite."""
    return query_rows(path, f"SELECT {columns} FROM history ORDER BY seq")


def query_rows(path: str, text: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, read with plain SQLite, or with PostgreSQL."""
    db = open_reader(path) if is_postgres(path) else sqlite3.connect(path)
    with closing(db):
        return db.execute(text).fetchall()


def stored_types(path: str) -> dict[str, int]:
    """Return the number of stored events of each type, timer events excluded."""
    text = "SELECT event_type, count(*) FROM history WHERE source <> 'timer' GROUP BY 1"
    return dict(query_rows(path, text))


def file_hashes(path: str) -> dict[str, str]:
    """Return the hashes of the database file and its logs, without the shared-memory index."""
    files = [path, f"{path}-wal", f"{path}-journal"]
    return {
        file: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for file in files
        if os.path.exists(file)
    }


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python process."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def damage_pages(path: str) -> None:
    """Flip bits of pages of the table ``events`` in a file, as a failing disk would.

    The newest rows and the other tables stay sound.
    """
    with closing(sqlite3.connect(path)) as db:
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    with open(path, "r+b") as file:
        file.seek((root - 1) * page_bytes)
        node = file.read(page_bytes)
        assert node[0] == 5, "the table has too few rows for this"
        for cell in range(3):
            (offset,) = struct.unpack_from(">H", node, 12 + 2 * cell)
            (child,) = struct.unpack_from(">I", node, offset)
            file.seek((child - 1) * page_bytes)
            kind = file.read(1)[0]
            file.seek((child - 1) * page_bytes)
            file.write(bytes([kind ^ 0x40]))
