"""Open a database file for writing or reading, look up rows, and translate SQLite errors."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast
from urllib.parse import quote

from ..errors import StoreDamaged, StoreUnavailable
from ..paths import make_private_folder
from .commit.damage import damage_monitor
from .file_guard import check_guarded
from .migrations import SCHEMA_VERSION, check_version, migrate
from .postgres.location import is_postgres
from .row_writer import MAX_NULL_PATTERNS

SYNCHRONOUS_MODES = ("OFF", "NORMAL", "FULL", "EXTRA")
BUSY_TIMEOUT_S = 5.0
"""Seconds that a transaction waits for the lock of another process."""
PAGE_BYTES = 2_048
"""Page size of a new file. A small commit writes two pages to the log, so half of SQLite's default
of 4,096 makes it 20 % faster. Grouped commits and reads are as fast as with the default."""
CHECKPOINT_PAGES = 8_000
"""Log size, in pages, at which a commit checkpoints and waits for the disk. SQLite's default of
1,000 does so in every 300th small commit."""
_RETRY_S = 0.01
_VALUES_PER_QUERY = 500
_creating = threading.Lock()


def open_writer(path: str, synchronous: str, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection that writes to the file, after creating or migrating it.

    Args:
        synchronous: one of SYNCHRONOUS_MODES, in any case.
        busy_timeout_s: seconds that a transaction waits for the lock of another process.

    Raises:
        StoreUnavailable: the mode is unknown, or the file cannot be opened or written.
        StoreDamaged: the file is not a valid database of this program.
        StoreTooNew: a newer version wrote the file.
    """
    if synchronous.upper() not in SYNCHRONOUS_MODES:
        raise StoreUnavailable(
            f"synchronous: expected one of {', '.join(SYNCHRONOUS_MODES)}, got {synchronous!r}"
        )
    try:
        make_private_folder(os.path.dirname(path))
    except OSError as error:
        raise StoreUnavailable(f"cannot create the folder of {path}: {error.strerror}") from error
    _create_file(path)
    with sqlite_errors(path):
        _check_existing(path)
        db = sqlite3.connect(
            path,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * MAX_NULL_PATTERNS,
        )
        try:
            # Takes effect only on an empty file, before WAL mode is set.
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            _set_wal_mode(db, busy_timeout_s)
            db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute("PRAGMA journal_size_limit = 67108864")
            migrate(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _create_file(path: str) -> None:
    """Create a missing file with mode 600, which SQLite uses for its log as well."""
    try:
        # Under a lock: closing a file releases the locks that SQLite has on it in this process.
        with _creating:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(f"cannot create {path}: {error.strerror}") from error


def _check_existing(path: str) -> None:
    """Check an existing file read-only, so that a rejected file is not changed.

    A writable connection would recover the log of another program and so change the file.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return
    url = path.replace(os.sep, "/")
    url = quote(os.fsencode(url if url.startswith("/") else "/" + url), safe="/:")
    # Without a log no process has the file open, and ``immutable`` keeps SQLite from creating one.
    mode = "mode=ro" if os.path.exists(path + "-wal") else "mode=ro&immutable=1"
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(f"file://{url}?{mode}", uri=True)
        check_version(db, path)
    except (sqlite3.Error, UnicodeDecodeError):
        # Damaged, or not readable without recovery, as after a crash during creation. The writable
        # connection reports or recovers that.
        return
    finally:
        if db is not None:
            db.close()


def _set_wal_mode(db: sqlite3.Connection, busy_timeout_s: float) -> None:
    # SQLite ignores the busy timeout for this pragma.
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_S)


def _is_busy(error: sqlite3.Error) -> bool:
    return _result_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _result_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 if Python itself raised the error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def open_reader(path: str) -> sqlite3.Connection:
    """Return a read-only connection to an existing file, usable from any one thread at a time.

    A file of an older version is migrated first. The path can be an address of PostgreSQL.

    Raises:
        StoreUnavailable: the file does not exist or cannot be read.
        StoreDamaged: the file is empty or not a valid database of this program.
        StoreTooNew: a newer version wrote the file.
    """
    if is_postgres(path):
        # psycopg is an extra, and takes as long to load as all of SQLite's modules.
        from .postgres.sessions import open_postgres_reader

        # It has the methods that are used here.
        return cast("sqlite3.Connection", open_postgres_reader(path))
    check_guarded(path)
    if not os.path.exists(path):
        raise StoreUnavailable(f"no database at {path}; create one with: htmlgraph-nb serve")
    with sqlite_errors(path):
        db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA query_only = ON")
            version = check_version(db, path)
            if not version:
                raise StoreDamaged(
                    f"{path} is empty; initialize it with: htmlgraph-nb serve --db {path}"
                )
            if version < SCHEMA_VERSION:
                open_writer(path, "NORMAL", BUSY_TIMEOUT_S).close()
        except BaseException:
            db.close()
            raise
    return db


def select_in(db: sqlite3.Connection, query: str, values: Sequence[object]) -> list[Any]:
    """Return the rows of any number of values, of which SQLite allows some thousand in a query.

    Args:
        query: a SELECT with ``{}`` in place of the values, as in ``WHERE id IN ({})``.
        values: the values to look up; without any there are no rows.
    """
    rows: list[Any] = []
    for start in range(0, len(values), _VALUES_PER_QUERY):
        part = values[start : start + _VALUES_PER_QUERY]
        # Close the cursor: an open statement, as in a traceback, keeps the file open.
        with closing(db.execute(query.format(", ".join("?" * len(part))), part)) as cursor:
            rows += cursor.fetchall()
    return rows


class sqlite_errors:  # noqa: N801  (used as a statement: ``with sqlite_errors(path):``)
    """Translate SQLite errors in a ``with`` block into StoreError, with the name of the file.

    A class because every transaction uses it, and a generator is three times slower.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if kind is not None and isinstance(error, sqlite3.Error | UnicodeDecodeError):
            _raise_store_error(self._path, error)


def _raise_store_error(path: str, error: sqlite3.Error | UnicodeDecodeError) -> None:
    if isinstance(error, sqlite3.OperationalError):
        if _is_busy(error):
            raise StoreUnavailable(
                f"{path} is locked by another process ({error}); stop that process or retry"
            ) from error
        if _result_code(error) not in (0, sqlite3.SQLITE_ERROR):
            raise StoreUnavailable(f"{path}: {error}") from error
        # Not an I/O error: text that is not UTF-8, or tables of another shape.
        raise _damaged(path, error) from error
    if isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.NotSupportedError):
        # A bug in the caller, not a problem of the file.
        return
    if isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError):
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> StoreDamaged:
    damage_monitor.suspect(path)
    return StoreDamaged(
        f"{path} is not a valid database ({error}); the file was not changed: "
        "move it away or pass another file with --db"
    )
