"""The table ``session_files``: files whose content is imported, with their size and time then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

_PUT = "INSERT OR REPLACE INTO session_files (path, size, mtime_ns) VALUES (?, ?, ?)"


def put_session_file(db: sqlite3.Connection, path: str, size: int, mtime_ns: int) -> None:
    """Store that a file is imported.

    Args:
        size: in bytes.
        mtime_ns: when it last changed, in nanoseconds since 1970.
    """
    db.execute(_PUT, (stored_path(path), size, mtime_ns))


def read_session_files(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return stored path → (size, mtime_ns) of the imported files."""
    with closing(db.execute("SELECT path, size, mtime_ns FROM session_files")) as rows:
        return {path: (size, mtime_ns) for path, size, mtime_ns in rows}


def delete_session_files(db: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Delete the entries of files, as of files that no longer exist."""
    db.executemany(
        "DELETE FROM session_files WHERE path = ?", [(stored_path(path),) for path in paths]
    )


def stored_path(path: str) -> str:
    """Return a path as it is stored: SQLite stores UTF-8 only, but names can contain any bytes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
