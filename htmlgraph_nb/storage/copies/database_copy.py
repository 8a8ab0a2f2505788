"""Copy a database to a file of its own, and check what a file contains."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from ...core.validation import shorten
from ...errors import StoreDamaged, StoreUnavailable
from ...paths import open_regular
from ..database import BUSY_TIMEOUT_S, sqlite_errors
from ..migrations import check_version

STEP_PAGES = 2_048
"""Pages that are copied between two calls of ``on_pages``."""
_SUFFIXES = ("-wal", "-shm", "-journal")
_MAX_PROBLEMS = 100

OnPages = Callable[[int, int], object]
"""Called with the number of copied pages and of all pages."""


@dataclass(frozen=True, slots=True)
class DatabaseContent:
    """What a database contains.

    Attributes:
        version: version of its tables.
        epoch: its id.
        n_events, n_agents: number of stored events, and of agents in the roster.
        last_seq: number of the newest event; 0: there are none.
        first_ts, last_ts: earliest and latest timestamp in microseconds since 1970; None: no
            events.
    """

    version: int
    epoch: str
    n_events: int
    n_agents: int
    last_seq: int
    first_ts: int | None
    last_ts: int | None


def read_content(db: sqlite3.Connection, path: str) -> DatabaseContent:
    """Return what a database contains.

    Args:
        path: its name in errors.

    Raises:
        StoreDamaged: it is empty, or a database of another program.
        StoreTooNew: a newer version wrote it.
    """
    version = check_version(db, path)
    if not version:
        raise StoreDamaged(f"{path} is empty; expected a database of htmlgraph-nb")
    row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if row is None:
        raise StoreDamaged(f"{path} lacks its epoch; expected a database of htmlgraph-nb")
    events = db.execute("SELECT count(*), coalesce(max(id), 0), min(ts), max(ts) FROM events")
    n_events, last_seq, first_ts, last_ts = events.fetchone()
    (n_agents,) = db.execute("SELECT count(*) FROM agent_presence").fetchone()
    return DatabaseContent(version, str(row[0]), n_events, n_agents, last_seq, first_ts, last_ts)


def open_unchanged(path: str) -> sqlite3.Connection:
    """Return a read-only connection that does not change an existing file.

    Raises:
        StoreUnavailable: there is no file, or it is no regular file.
    """
    try:
        open_regular(path).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnavailable(f"cannot read {path}: {reason}") from error
    url = os.path.abspath(path).replace(os.sep, "/")
    url = quote(os.fsencode(url if url.startswith("/") else "/" + url), safe="/:")
    # Without a log no process has the file open, and ``immutable`` keeps SQLite from creating one.
    mode = "mode=ro" if os.path.exists(path + "-wal") else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"file://{url}?{mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )


def copy_database(source: str, target: str, on_pages: OnPages) -> DatabaseContent:
    """Copy a database, which others may be writing, into an empty file; return its content.

    The copy is one file without a log, as the database was when the copy began. It lists no
    segments, because those are other files.

    Args:
        target: an empty file.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the source cannot be used.
        sqlite3.Error: the target cannot be written.
    """
    with closing(open_unchanged(source)) as db, sqlite_errors(source):
        # An open read transaction: otherwise the copy starts again when another process writes.
        db.execute("BEGIN")
        content = read_content(db, source)
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            try:
                db.backup(
                    copy,
                    pages=STEP_PAGES,
                    progress=lambda _, left, total: on_pages(total - left, total),
                )
                copy.execute("PRAGMA journal_mode = DELETE").fetchall()
                copy.execute("PRAGMA secure_delete = ON").fetchall()
                if _has_segments(copy):
                    copy.execute("DELETE FROM segments")
            except sqlite3.OperationalError as error:
                raise StoreUnavailable(f"cannot write {target}: {error}") from error
    return content


def _has_segments(db: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'segments' AND type = 'table'"
    return bool(db.execute(query).fetchone()[0])


def check_copy(path: str, expected: DatabaseContent, name: str) -> None:
    """Check that a copy is sound and contains what was copied.

    Args:
        name: its source in errors.

    Raises:
        StoreDamaged: it does not.
    """
    with closing(open_unchanged(path)) as db, sqlite_errors(name):
        rows = db.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})").fetchall()
        if rows != [("ok",)]:
            raise StoreDamaged(
                f"{name} is damaged ({shorten(str(rows[0][0]).splitlines()[-1])}); nothing was "
                "written"
            )
        content = read_content(db, name)
    if content != expected:
        raise StoreDamaged(f"the copy of {name} differs from it; nothing was written")


@contextlib.contextmanager
def temporary_file(path: str) -> Iterator[str]:
    """Create an empty file of mode 600 beside ``path``, and remove it unless it was renamed.

    Raises:
        StoreUnavailable: it cannot be created.
    """
    name = f"{path}.{os.getpid()}.part"
    try:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    try:
        yield name
    finally:
        for suffix in ("", *_SUFFIXES):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + suffix)


def sync_file(path: str) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
