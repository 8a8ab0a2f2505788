"""Opening a database file, for writing or for reading, and its errors in this project's words."""

from __future__ import annotations

import os
import sqlite3
import time
from urllib.parse import quote

from ..errors import StoreDamaged, StoreUnavailable
from .row_writer import MAX_SHAPES
from .schema import SCHEMA_VERSION, check_version, migrate

SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's."""
PAGE_BYTES = 2_048
"""Size of a page of a new file: a small commit writes two pages to the log, checksums included, so
half of SQLite's own 4,096 makes it a fifth quicker; groups and reading are as before."""
CHECKPOINT_PAGES = 8_000
"""Size of the log, in pages, at which a commit moves it into the file and waits for the disk; with
SQLite's own 1,000 that is every 300th small commit."""
_RETRY_S = 0.01


def open_writer(path: str, synchronous: str, busy_timeout_s: float) -> sqlite3.Connection:
    """Return a connection that writes to the file, which is made, or brought up to date, first.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: as Store.
    """
    if synchronous.upper() not in SYNCHRONOUS:
        raise StoreUnavailable(f"synchronous is {synchronous!r}, expected one of {SYNCHRONOUS}")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make the folder of {path}: {error.strerror}") from error
    with sqlite_errors(path):
        _refuse_unknown(path)
        db = sqlite3.connect(
            path,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * MAX_SHAPES,
        )
        try:
            # It counts for a file that is empty, and only before its log is begun.
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            _enter_wal(db, busy_timeout_s)
            db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute("PRAGMA journal_size_limit = 67108864")
            migrate(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _refuse_unknown(path: str) -> None:
    """Look at an existing file without the right to write, so that a refused one stays as it is.

    A writing connection would recover a log that its owner left behind, and so change the file.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return
    place = path.replace(os.sep, "/")
    place = quote(os.fsencode(place if place.startswith("/") else "/" + place), safe="/:")
    # Without a log nobody has it open, and as immutable it gets none from us.
    mode = "mode=ro" if os.path.exists(path + "-wal") else "mode=ro&immutable=1"
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(f"file://{place}?{mode}", uri=True)
        check_version(db, path)
    except (sqlite3.Error, UnicodeDecodeError):
        # Damaged, or not readable without writing, as after a crash while it was made: the
        # opening proper says so, or recovers it.
        return
    finally:
        if db is not None:
            db.close()


def _enter_wal(db: sqlite3.Connection, busy_timeout_s: float) -> None:
    # SQLite does not wait for other processes here, as it does everywhere else.
    end = time.monotonic() + busy_timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= end:
                raise
        time.sleep(_RETRY_S)


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 where Python itself found the fault."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def open_reader(path: str) -> sqlite3.Connection:
    """Return a read-only connection to an existing file, usable from any one thread at a time.

    A file of an older version is brought up to date first.

    Raises:
        StoreUnavailable: there is no such file, or it cannot be read.
        StoreDamaged, StoreTooNew: as Store.
    """
    if not os.path.exists(path):
        raise StoreUnavailable(
            f"there is no database at {path}; start one with: htmlgraph-nb serve"
        )
    with sqlite_errors(path):
        db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA query_only = ON")
            version = check_version(db, path)
            if not version:
                raise StoreDamaged(f"{path} is empty; start with: htmlgraph-nb serve --db {path}")
            if version < SCHEMA_VERSION:
                open_writer(path, "NORMAL", BUSY_TIMEOUT_S).close()
        except BaseException:
            db.close()
            raise
    return db


class sqlite_errors:  # noqa: N801  (used as a statement: ``with translated(path):``)
    """Turns SQLite's errors inside a ``with`` block into this project's, with the file's name.

    A class, because each transaction passes here and a generator takes three times as long.
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
            _raise_translated(self._path, error)


def _raise_translated(path: str, error: sqlite3.Error | UnicodeDecodeError) -> None:
    if isinstance(error, sqlite3.OperationalError):
        if _is_busy(error):
            raise StoreUnavailable(
                f"{path} is locked: another process holds it open for writing ({error}); "
                "end that process, or try again"
            ) from error
        if _code(error) not in (0, sqlite3.SQLITE_ERROR):
            raise StoreUnavailable(f"{path}: {error}") from error
        # No refusal of the system: text that is no UTF-8, or tables that are not as made here.
        raise _damaged(path, error) from error
    if isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.NotSupportedError):
        # Faults of a program, not of the file.
        return
    if isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError):
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> StoreDamaged:
    return StoreDamaged(
        f"{path} is not a sound database ({error}); it is left as it is: "
        "move it away, or name another file with --db"
    )
