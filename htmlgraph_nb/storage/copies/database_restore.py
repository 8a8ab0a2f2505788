"""Put a backup in the place of a database that nobody uses.

The restored database gets a new epoch, so that dashboards with a position in another history get
the full state, and its numbers go on after those of the replaced one, so that no reader takes new
events for ones that it has.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from ...errors import ConfigError, HtmlgraphError, StoreUnavailable
from ...paths import make_private_folder
from ..columnar.segment_index import segment_folder
from ..database import sqlite_errors
from ..migrations import migrate
from ..schema import SEQ_FLOOR
from .database_copy import (
    DatabaseContent,
    OnPages,
    check_copy,
    copy_database,
    read_content,
    sync_file,
    temporary_file,
)

_LOGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """Result of ``restore_database``.

    Attributes:
        content: what the backup contains.
        replaced: name of the replaced database; "": there was none.
    """

    content: DatabaseContent
    replaced: str


def restore_database(
    source: str, path: str, *, now: datetime, on_pages: OnPages = lambda *_: None
) -> RestoreReport:
    """Replace a database by a copy of a backup; the replaced one is kept beside it.

    Args:
        source: the backup, or another database.
        path: the database; it need not exist.
        now: current time, for the name of the replaced database.
        on_pages: called with the number of copied pages and of all pages.

    Raises:
        ConfigError: both are the same file, or a program uses the database.
        StoreUnavailable: the backup cannot be read, or the database cannot be written.
        StoreDamaged: the backup is damaged, or no database of this program.
        StoreTooNew: a newer version wrote the backup.
    """
    path = os.path.realpath(path)
    if os.path.realpath(source) == path:
        raise ConfigError(f"expected another file than the database, got {source}")
    try:
        make_private_folder(os.path.dirname(path))
    except OSError as error:
        raise StoreUnavailable(f"cannot create the folder of {path}: {error.strerror}") from error
    with temporary_file(path) as temporary:
        content = copy_database(source, temporary, on_pages)
        check_copy(temporary, content, source)
        floor = _release(path)
        try:
            with sqlite_errors(path):
                _renew(temporary, path, floor)
            _keep_mode(path, temporary)
            sync_file(temporary)
            replaced = _replace(path, temporary, now)
        except OSError as error:
            raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    return RestoreReport(content, replaced)


def _release(path: str) -> int:
    """Move the log of an existing database into its file, and return its last seq.

    Raises:
        ConfigError: another program has it open.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as db:
            # Impossible as long as another connection exists.
            db.execute("PRAGMA journal_mode = DELETE").fetchall()
            db.execute("BEGIN EXCLUSIVE")
            return read_content(db, path).last_seq
    except sqlite3.OperationalError as error:
        if int(getattr(error, "sqlite_errorcode", 0)) & 0xFF != sqlite3.SQLITE_BUSY:
            # Damaged, which may be why it is replaced; its log stays with it.
            return 0
        raise ConfigError(
            f"a program uses {path}; close the notebooks and programs that have it open"
        ) from error
    except (sqlite3.Error, HtmlgraphError):
        return 0


def _renew(temporary: str, path: str, floor: int) -> None:
    with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
        migrate(db, path)
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(8),))
        db.execute(
            "INSERT INTO meta VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (SEQ_FLOOR, floor),
        )


def _keep_mode(path: str, temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))


def _replace(path: str, temporary: str, now: datetime) -> str:
    """Rename the database, its log and its segments, and put the new file in its place."""
    if not os.path.lexists(path):
        os.rename(temporary, path)
        return ""
    replaced = _free_name(f"{path}.replaced-{now:%Y%m%dT%H%M%SZ}")
    moved: list[tuple[str, str]] = []
    names = [(path + suffix, replaced + suffix) for suffix in _LOGS]
    names.append((segment_folder(path), segment_folder(replaced)))
    try:
        for old, new in [*names, (path, replaced)]:
            if os.path.lexists(old):
                os.rename(old, new)
                moved.append((old, new))
        os.rename(temporary, path)
    except OSError:
        for old, new in reversed(moved):
            os.rename(new, old)
        raise
    return replaced


def _free_name(name: str) -> str:
    candidate, number = name, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = f"{name}-{number}"
    return candidate
