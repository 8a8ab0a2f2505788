"""Connections to PostgreSQL with the methods of ``sqlite3.Connection`` that this package uses.

psycopg is an extra (``htmlgraph-nb[postgres]``) and loaded with this module.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from ...errors import StoreClosed, StoreDamaged, StoreError, StoreUnavailable
from .dialect import translate
from .location import connection_string, without_password

try:
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.types.numeric import FloatDumper, Int8Dumper
except ImportError as error:
    raise StoreUnavailable(
        f"a database of PostgreSQL needs further packages ({error}); "
        "install them with: pip install 'htmlgraph-nb[postgres]'"
    ) from error

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 3
RECONNECT_S = 1.0
"""After a failed connection, requests fail at once for this long."""
_LOCK_TIMEOUT_MS = 4_000
_STATEMENT_TIMEOUT_MS = 5_000
_IDLE_IN_TRANSACTION_MS = 2_000
"""After this long PostgreSQL ends the transaction of a server that hangs inside it."""
_LIBPQ: dict[str, Any] = {
    "connect_timeout": str(_CONNECT_TIMEOUT_S),
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
    "application_name": "htmlgraph-nb",
}
# The plan of a statement is kept. One that was made while a table was small would read all of it.
WRITER = {
    "lock_timeout": _LOCK_TIMEOUT_MS,
    "statement_timeout": _STATEMENT_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION_MS,
    "enable_seqscan": "off",
    "jit": "off",
}
"""Settings of a session that writes."""
READER = {"default_transaction_read_only": "on", "statement_timeout": 120_000, "jit": "off"}
"""Settings of a session that reads history."""
LEADER = {"idle_session_timeout": 5_000}
"""Settings of the session with the lock of the leader: one that hangs loses it."""


class _Bool(Int8Dumper):
    """Flags are stored as 0 and 1, as in SQLite."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class _Number(Loader):
    """Sums of integers are ``numeric`` in PostgreSQL."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


def store_error(location: str, error: Exception) -> StoreError:
    """Return the error of this package for one of psycopg; its message names no password."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return StoreDamaged(f"{location} lacks a table or column of this program ({message})")
    return StoreUnavailable(f"{location}: {message}")


class PostgresCursor:
    """The rows of one statement; see ``sqlite3.Cursor``."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """Number of changed rows."""
        return self._cursor.rowcount

    @property
    def description(self) -> Any:
        """Names of the columns, each first in a tuple."""
        return self._cursor.description

    def fetchone(self) -> Any:
        """Return the next row; None: there are no more."""
        return self._cursor.fetchone()

    def fetchmany(self, size: int) -> list[Any]:
        """Return the next rows, at most ``size``."""
        return self._cursor.fetchmany(size)

    def fetchall(self) -> list[Any]:
        """Return all further rows."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def close(self) -> None:
        """Free the rows."""
        self._cursor.close()


class PostgresSession:
    """One connection, which is opened again after it was lost; for one thread at a time.

    Args:
        location: the address.
        settings: of the session, such as WRITER.

    Raises:
        StoreUnavailable: the database cannot be reached or used.

    Attributes:
        n_writes: number of statements that may have changed something.
        busy_since: monotonic time at which the running statement was sent; None: none is running.
    """

    def __init__(self, location: str, settings: dict[str, Any]) -> None:
        self.location = without_password(location)
        self._settings = settings
        self._raw: psycopg.Connection[Any] | None = None
        self._closed = False
        self._retry_at = 0.0
        self._problem: StoreError | None = None
        self.n_writes = 0
        self.busy_since: float | None = None
        self.connect()

    def connect(self) -> bool:
        """Connect unless connected; return whether it is a new connection.

        Raises:
            StoreUnavailable: there is no connection, as just before or now.
        """
        if self._closed:
            raise StoreClosed(f"{self.location} was closed")
        if self._raw is not None and not self._raw.closed:
            return False
        if self._problem is not None and time.monotonic() < self._retry_at:
            raise self._problem
        try:
            self._raw = self._open()
        except (psycopg.Error, OSError) as error:
            self._retry_at = time.monotonic() + RECONNECT_S
            self._problem = store_error(self.location, error)
            raise self._problem from None
        self._problem = None
        return True

    def _open(self) -> psycopg.Connection[Any]:
        options = dict(_LIBPQ)
        if self._settings is not READER:
            # Of several hosts the one that is no standby.
            options["target_session_attrs"] = "read-write"
        raw = psycopg.connect(connection_string(self.location), autocommit=True, **options)
        try:
            adapters = raw.adapters
            adapters.register_dumper(int, Int8Dumper)
            adapters.register_dumper(bool, _Bool)
            adapters.register_dumper(float, FloatDumper)
            adapters.register_loader("numeric", _Number)
            for name, value in self._settings.items():
                # Some settings are newer than the oldest PostgreSQL that is supported.
                with suppress(psycopg.errors.UndefinedObject):
                    raw.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
        except BaseException:
            raw.close()
            raise
        return raw

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The connection of psycopg.

        Raises:
            StoreUnavailable: it was lost.
        """
        if self._raw is None or self._raw.closed:
            raise StoreUnavailable(f"{self.location}: the connection was lost")
        return self._raw

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        idle = psycopg.pq.TransactionStatus.IDLE
        return (
            self._raw is not None
            and not self._raw.closed
            and (self._raw.info.transaction_status != idle)
        )

    def execute(self, statement: str, values: Sequence[Any] = ()) -> PostgresCursor:
        """Run a statement in SQLite's dialect; see ``dialect``.

        Raises:
            StoreUnavailable: it failed.
        """
        if not self.in_transaction:
            self.connect()
        if not statement.startswith("SELECT"):
            self.n_writes += 1
        translated = translate(statement)
        return PostgresCursor(self.run(translated.text, translated.parameters(values)))

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row, without waiting for each."""
        rows = list(rows)
        if not rows:
            return
        self.n_writes += 1
        translated = translate(statement)
        values = [translated.parameters(row) for row in rows]
        self.busy_since = time.monotonic()
        try:
            self.raw.cursor().executemany(translated.text, values)
        except psycopg.Error as error:
            self._fail(error)
        finally:
            self.busy_since = None

    def run(self, text: str, values: Sequence[Any] | None = None) -> psycopg.Cursor[Any]:
        """Run a statement in PostgreSQL's dialect.

        Raises:
            StoreUnavailable: it failed.
        """
        self.busy_since = time.monotonic()
        try:
            return self.raw.execute(text, values)
        except psycopg.Error as error:
            self._fail(error)
        finally:
            self.busy_since = None

    def _fail(self, error: psycopg.Error) -> NoReturn:
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            # A bug in the caller, not a problem of the database.
            raise error
        raise store_error(self.location, error) from error

    def interrupt(self) -> None:
        """Cut the connection, from another thread: a peer that hangs never answers."""
        raw = self._raw
        with suppress(OSError, psycopg.Error):
            if raw is not None and not raw.closed:
                with socket.socket(fileno=os.dup(raw.fileno())) as own:
                    own.shutdown(socket.SHUT_RDWR)

    def disconnect(self) -> None:
        """Close the connection; the next statement opens another one."""
        if self._raw is not None:
            with suppress(psycopg.Error, OSError):
                self._raw.close()
        self._raw = None

    def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        self.disconnect()


def open_postgres_reader(location: str) -> PostgresSession:
    """Return a session that reads.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    return PostgresSession(location, READER)
