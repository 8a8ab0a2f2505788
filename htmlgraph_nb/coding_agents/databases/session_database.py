"""Sessions in the SQLite database of a coding agent: what the readers of all formats share.

An agent of this kind keeps the sessions of a user in one database. A SessionDatabase lists them,
and a SessionCursor reads one of them, again after each change, through an open connection. Neither
opens the database or uses a clock. Tool outputs stay in the database: queries select the parts of a
row that become part of an event.
"""

from __future__ import annotations

import errno
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from ...core.model import Event

MAX_ROW_BYTES = 16 << 20
"""Of a larger row only the start is read."""
HEAD_BYTES = 4_096
"""Bytes that are read of such a row."""

Position = tuple[int, ...]
"""Up to where the tables of a database were searched for new rows."""
Row = dict[str, Any]
"""Column → value."""
_MAX_TIME = 2**53
_Values = Sequence[Any] | Mapping[str, Any]


class StoredSession(NamedTuple):
    """A session of a database.

    Attributes:
        session: its id.
        parent: id of the session whose subagent it is; None for a main session.
        folder: its working folder; None: unknown.
        changed_ms: when it last changed, milliseconds since 1970.
        n_rows: number of its rows.
    """

    session: str
    parent: str | None
    folder: str | None
    changed_ms: int
    n_rows: int


class SessionCursor(ABC):
    """The state of one session that is read again after each change.

    Attributes:
        behind: whether the last call of ``read`` stopped before the last row.
        exists: whether the session is still in the database.
    """

    behind: bool = False
    exists: bool = True

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether a turn is running, as far as the rows say."""

    @property
    def open_rows(self) -> Collection[str]:
        """The ids of the rows that can still change, where the format has such."""
        return ()

    @abstractmethod
    def read(self, db: sqlite3.Connection, max_rows: int) -> list[Event]:
        """Return the events of the rows that are new or have changed since the last call.

        Events that were returned before can be returned again with the same ``event_id``.

        Args:
            max_rows: number of new messages after which it stops.

        Raises:
            sqlite3.Error: the database cannot be read now; what was read before is kept.
        """

    def still_running(self, at: datetime) -> list[Event]:
        """Return the evidence that a turn is running although no row has changed for long.

        Args:
            at: the current time, UTC.
        """
        return []

    @abstractmethod
    def finish(self) -> list[Event]:
        """Return the events that wait for a change that may never come.

        ``read`` can be called after it.
        """


class SessionDatabase(ABC):
    """The format of the session databases of one kind of coding agent; it has no state.

    Attributes:
        LABEL: the product and the versions of it that write this format.
        TABLES: table → the columns that are read.
    """

    LABEL: ClassVar[str]
    TABLES: ClassVar[Mapping[str, tuple[str, ...]]]

    def problem(self, db: sqlite3.Connection) -> str | None:
        """Return why the database does not have this format; None: it has."""
        for table, names in self.TABLES.items():
            columns = columns_of(db, table)
            if not columns:
                return f"it has no table {table}, as that of {self.LABEL} has"
            missing = [name for name in names if name not in columns]
            if missing:
                return f"its table {table} has no column {missing[0]}, as that of {self.LABEL} has"
        return None

    def open_folder(self, path: str, session: str | None) -> sqlite3.Connection:
        """Return a database in memory with the sessions that older versions stored as files.

        Args:
            path: a folder that ``CodingAgent.session_databases`` names.
            session: the session whose messages are read; None: only the sessions are read.

        Raises:
            OSError: the folder cannot be read.
        """
        raise OSError(errno.EISDIR, "it is a folder", path)

    @abstractmethod
    def sessions(self, db: sqlite3.Connection, since_ms: int) -> list[StoredSession]:
        """Return the sessions that changed since a time, parents first.

        Args:
            since_ms: milliseconds since 1970.
        """

    @abstractmethod
    def position(self, db: sqlite3.Connection) -> Position:
        """Return the position after the last rows."""

    @abstractmethod
    def touched(self, db: sqlite3.Connection, position: Position) -> tuple[list[str], Position]:
        """Return the sessions with rows after a position, parents first, and the next position."""

    @abstractmethod
    def states(
        self, db: sqlite3.Connection, sessions: Mapping[str, Collection[str]]
    ) -> dict[str, object]:
        """Return a value for each session that differs once rows that are known have changed.

        It is much cheaper than reading the sessions. Of two changes at the same time, the value may
        show only the first. A session without a value was deleted.

        Args:
            sessions: session → ``open_rows`` of its cursor.
        """

    @abstractmethod
    def recent(self, db: sqlite3.Connection, since_ms: int) -> list[str]:
        """Return the sessions that are likely to have changed since a time, at little cost."""

    @abstractmethod
    def cursor(self, session: str, hash_input: Callable[[object], int | None]) -> SessionCursor:
        """Return a new cursor at the start of a session.

        Args:
            hash_input: returns the ``input_hash`` of tool calls.
        """


def sessions_of(rows: Iterable[tuple[Any, ...]]) -> list[StoredSession]:
    """Return the sessions of rows with the fields of StoredSession.

    SQLite stores any type in any column: a row whose id is no text is left out.
    """
    return [
        StoredSession(session, _text(parent), _text(folder), _integer(changed), n_rows)
        for session, parent, folder, changed, n_rows in rows
        if _text(session) is not None
    ]


def names_of(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return the first column of rows, without the values that are no text."""
    return [row[0] for row in rows if _text(row[0]) is not None]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: object) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < _MAX_TIME else 0


def columns_of(db: sqlite3.Connection, table: str) -> frozenset[str]:
    """Return the names of the columns of a table; none if there is no such table."""
    with closing(db.execute("SELECT name FROM pragma_table_info(?)", (table,))) as rows:
        return frozenset(name for (name,) in rows)


def fetch(db: sqlite3.Connection, query: str, values: _Values = ()) -> list[Row]:
    """Return the rows of a query."""
    with closing(db.execute(query, values)) as cursor:
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def fetch_one(db: sqlite3.Connection, query: str, values: _Values = ()) -> Row | None:
    """Return the first row of a query; None: there is none."""
    rows = fetch(db, query, values)
    return rows[0] if rows else None


def head_of(db: sqlite3.Connection, table: str, column: str, rowid: int) -> str:
    """Return the first HEAD_BYTES of a value that is too large to be read, as text."""
    with db.blobopen(table, column, rowid, readonly=True) as blob:
        data: bytes = blob.read(HEAD_BYTES)
    return data.decode("utf-8", "replace")
