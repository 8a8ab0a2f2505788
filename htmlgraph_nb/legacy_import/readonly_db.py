"""Reading somebody else's SQLite file: nothing is written to it or beside it where that can be had.

A connection to a file with a write-ahead log makes the log's files where they are missing. So a
file without one, which nobody has open, is read as one that cannot change, and again in the common
way if somebody comes and changes it meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from ..errors import StoreDamaged, StoreUnavailable

_BUSY_TIMEOUT_S = 5.0
_Row = dict[str, Any]
FileState = tuple[tuple[int, int, int] | None, ...]


def file_state(path: str) -> FileState:
    """Return what differs after each change of a file: that of the file and of its logs."""
    return tuple(_stamp(path + suffix) for suffix in ("", "-wal", "-journal"))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class ReadOnlyDatabase:
    """An open file; use it as a context manager.

    Raises:
        StoreUnavailable: there is no such file, or it cannot be read.
        StoreDamaged: it is no SQLite database, or not a sound one; so does each of the methods.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._state = file_state(self._path)
        file, *logs = self._state
        if file is None:
            raise StoreUnavailable(
                f"there is no {self._path}; name the database, as .htmlgraph/htmlgraph.db"
            )
        self._frozen = not any(log is not None and log[1] for log in logs)
        place = self._path.replace(os.sep, "/")
        place = quote(os.fsencode(place if place.startswith("/") else "/" + place), safe="/:")
        mode = "mode=ro&immutable=1" if self._frozen else "mode=ro"
        try:
            self._db = sqlite3.connect(
                f"file://{place}?{mode}", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self._db.text_factory = _text
        self._db.row_factory = _row

    def _translated(self, error: sqlite3.Error) -> StoreUnavailable | StoreDamaged:
        code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return StoreDamaged(f"{self._path} is not a sound SQLite database: {error}")
        return StoreUnavailable(f"cannot read {self._path}: {error}")

    def _overtaken(self) -> bool:
        return self._frozen and file_state(self._path) != self._state

    def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[_Row]:
        """Return the rows of a query."""
        while True:
            try:
                with closing(self._db.cursor()) as cursor:
                    rows: list[_Row] = cursor.execute(query, parameters).fetchall()
            except sqlite3.Error as error:
                if not self._overtaken():
                    raise self._translated(error) from error
            else:
                if not self._overtaken():
                    return rows
            self._db.close()
            self._open()

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns; none where there is no such table."""
        return {row["name"] for row in self.fetch(f"PRAGMA table_info({table})")}

    def schema_version(self) -> int:
        """Return a number that is another after each change of the schema and each VACUUM."""
        (row,) = self.fetch("PRAGMA schema_version")
        return int(row["schema_version"])

    def __enter__(self) -> ReadOnlyDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> _Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}
