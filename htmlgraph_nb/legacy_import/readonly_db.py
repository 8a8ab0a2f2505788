"""Read another program's SQLite file without writing to it or, if possible, next to it.

Opening a database in WAL mode creates the log files if they are missing. A file without a log,
which no program has open, is therefore opened as immutable. If a program changes it meanwhile, it
is opened again in the normal mode and the query is repeated.
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
    """Return a value that differs after each change of the file or its logs."""
    return tuple(_stamp(path + suffix) for suffix in ("", "-wal", "-journal"))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


class ReadOnlyDatabase:
    """An open SQLite file; use it as a context manager.

    Raises:
        StoreUnavailable: the file does not exist or cannot be read; raised by each method, too.
        StoreDamaged: the file is not an intact SQLite database; raised by each method, too.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._state = file_state(self._path)
        file, *logs = self._state
        if file is None:
            raise StoreUnavailable(
                f"{self._path} does not exist; pass the database, such as .htmlgraph/htmlgraph.db"
            )
        self._immutable = not any(log is not None and log[1] for log in logs)
        path = self._path.replace(os.sep, "/")
        path = quote(os.fsencode(path if path.startswith("/") else "/" + path), safe="/:")
        mode = "mode=ro&immutable=1" if self._immutable else "mode=ro"
        try:
            self._db = sqlite3.connect(
                f"file://{path}?{mode}", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._store_error(error) from error
        self._db.text_factory = _text
        self._db.row_factory = _row

    def _store_error(self, error: sqlite3.Error) -> StoreUnavailable | StoreDamaged:
        code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return StoreDamaged(f"{self._path} is not an intact SQLite database: {error}")
        return StoreUnavailable(f"cannot read {self._path}: {error}")

    def _is_outdated(self) -> bool:
        return self._immutable and file_state(self._path) != self._state

    def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[_Row]:
        """Return the rows of a query."""
        while True:
            try:
                with closing(self._db.cursor()) as cursor:
                    rows: list[_Row] = cursor.execute(query, parameters).fetchall()
            except sqlite3.Error as error:
                if not self._is_outdated():
                    raise self._store_error(error) from error
            else:
                if not self._is_outdated():
                    return rows
            self._db.close()
            self._open()

    def columns(self, table: str) -> set[str]:
        """Return the column names of a table; an empty set if there is no such table."""
        return {row["name"] for row in self.fetch(f"PRAGMA table_info({table})")}

    def schema_version(self) -> int:
        """Return a number that changes with each change of the schema and each VACUUM."""
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
