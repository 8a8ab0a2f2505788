"""The table ``session_files``: files whose content is imported, with their size and time then."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing

FileStamp = tuple[int, int]
"""Size of a file in bytes and its modification time in nanoseconds since 1970."""

_PUT = (
    "INSERT INTO session_files (path, size, mtime_ns) VALUES (?, ?, ?) "
    "ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns"
)
_DELETE = "DELETE FROM session_files WHERE path = ?"


def put_session_files(db: sqlite3.Connection, files: Mapping[str, FileStamp | None]) -> None:
    """Store which files are imported.

    Args:
        files: path → its stamp; None: remove the entry, as of a file that no longer exists.
    """
    for path, stamp in files.items():
        if stamp is None:
            db.execute(_DELETE, (stored_path(path),))
        else:
            db.execute(_PUT, (stored_path(path), *stamp))


def read_session_files(db: sqlite3.Connection) -> dict[str, FileStamp]:
    """Return stored path → stamp of the imported files."""
    with closing(db.execute("SELECT path, size, mtime_ns FROM session_files")) as rows:
        return {path: (size, mtime_ns) for path, size, mtime_ns in rows}


def stored_path(path: str) -> str:
    """Return a path as it is stored: SQLite stores UTF-8 only, but names can contain any bytes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
