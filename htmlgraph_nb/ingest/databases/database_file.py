"""Open the session database of a coding agent so that neither it nor the agent notices.

A database with a log (``-wal``) is in use, and is read with ``mode=ro``: short read transactions,
in which the agent can write. One without a log, or with an empty one, is read as it is on the disk
(``immutable``), because a normal reader would leave files beside it, and could not read in a folder
that it may not write to. If the file changes meanwhile, what was read does not count.

See https://sqlite.org/wal.html#read_only_databases and https://sqlite.org/uri.html.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple
from urllib.parse import quote

from ...coding_agents.databases.session_database import MAX_ROW_BYTES, SessionDatabase
from ...errors import SessionsBusy

_BUSY_TIMEOUT_S = 0.2
"""Seconds to wait for a lock; the agent holds none for longer unless it repairs its database."""
_CACHE_KIB = 2_048
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_FileStamp = tuple[int, int, int, int] | None


class DatabaseStamp(NamedTuple):
    """By which a change of a database is noticed without opening it.

    Attributes:
        main: device, inode, size and timestamp of the file; None: there is none.
        log: those of its ``-wal`` file.
    """

    main: _FileStamp
    log: _FileStamp

    @property
    def has_log(self) -> bool:
        """Whether the database is in use, or was when its program was killed."""
        return self.log is not None and self.log[2] > 0


def database_stamp(path: str) -> DatabaseStamp:
    """Return the stamp of a database.

    Raises:
        OSError: its folder cannot be read.
    """
    return DatabaseStamp(_stamp(path), _stamp(f"{path}-wal"))


def _stamp(path: str) -> _FileStamp:
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


@contextmanager
def open_store(
    path: str, database: SessionDatabase, session: str | None = None
) -> Iterator[sqlite3.Connection]:
    """Open a database as ``open_sessions``, or a folder of JSON files as a database in memory.

    Args:
        session: the session that is read; None: only the list of sessions is.

    Raises:
        OSError: as ``open_sessions``.
    """
    if not os.path.isdir(path):
        with open_sessions(path, database) as db:
            yield db
        return
    with closing(database.open_folder(path, session)) as db:
        yield db


@contextmanager
def open_sessions(path: str, database: SessionDatabase) -> Iterator[sqlite3.Connection]:
    """Open a database in a read transaction, for a few queries.

    Args:
        path: an existing file.
        database: the format that it must have.

    Raises:
        SessionsBusy: it cannot be read now. It can be raised at the end, too.
        OSError: it cannot be read; ``strerror`` says why.
    """
    _check_file(path)
    before = database_stamp(path)
    try:
        with closing(_connect(path, before)) as db:
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
            db.execute("PRAGMA query_only = 1")
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("BEGIN")
            if (problem := database.problem(db)) is not None:
                raise OSError(errno.EINVAL, problem, path)
            yield db
            db.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise _os_error(error, path, before) from None
    if not before.has_log and database_stamp(path) != before:
        raise SessionsBusy(errno.EAGAIN, "it changed while it was read", path)


def _check_file(path: str) -> None:
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    if not state.st_size:
        raise SessionsBusy(errno.EAGAIN, "it is empty", path)


def _connect(path: str, stamp: DatabaseStamp) -> sqlite3.Connection:
    location = f"file:{quote(os.path.abspath(path))}"
    mode = "mode=ro" if stamp.has_log else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"{location}?{mode}", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether an error lasts only as long as another program writes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _os_error(error: sqlite3.Error, path: str, before: DatabaseStamp) -> OSError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    now = database_stamp(path)
    if is_busy(error):
        return SessionsBusy(errno.EAGAIN, "another program has locked it", path)
    if now != before and not (before.has_log and now.main == before.main):
        # Replaced, or no longer as it was on the disk.
        return SessionsBusy(errno.EAGAIN, "it changed while it was read", path)
    if code == sqlite3.SQLITE_NOTADB:
        return OSError(errno.EINVAL, "it is not an SQLite database", path)
    if code == sqlite3.SQLITE_CANTOPEN and before.has_log:
        text = "its log needs a file beside it, and its folder cannot be written to"
        return OSError(errno.EACCES, text, path)
    return OSError(errno.EIO, f"SQLite cannot read it: {error}", path)
