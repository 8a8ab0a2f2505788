"""The SQLite database: append-only history and current state, with one writer and group commit.

Other processes may write to the same file: each transaction starts by loading what they committed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import StoreDamaged, StoreUnavailable
from .commit.damage import damage_monitor
from .commit.string_ids import StringIds
from .commit.wal_index import WalIndex
from .commit.write_queue import TransactionListener, WriteQueue, WriteRequest
from .database import BUSY_TIMEOUT_S, open_writer, sqlite_errors
from .dedup_table import TokenSourceCache
from .file_guard import FileGuard
from .schema import SEQ_FLOOR
from .transaction import Transaction

_T = TypeVar("_T")
Job = Callable[[Transaction], _T]


class Store(WriteQueue[Transaction]):
    """One database file, opened for writing.

    Args:
        path: the file. A missing folder is created.
        listener: called in every transaction.
        synchronous: SQLite's setting. NORMAL survives a crash of the process, FULL also one of the
            machine.
        busy_timeout_s: seconds that a transaction waits for the lock of another process.

    Raises:
        StoreUnavailable: the file cannot be opened or written.
        StoreDamaged: the file is not a valid database of this program.
        StoreTooNew: a newer version wrote the file.
    """

    def __init__(
        self,
        path: str,
        listener: TransactionListener[Transaction],
        *,
        synchronous: str = "NORMAL",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        if path == ":memory:":
            raise StoreUnavailable("in-memory databases are not supported; pass a file path")
        path = os.path.abspath(path)
        super().__init__(path, sqlite_errors(path))
        self._listener = listener
        self._db = open_writer(self.path, synchronous, busy_timeout_s)
        # One cursor for BEGIN, COMMIT and pragmas: creating one takes longer than the statement.
        self._cursor = self._db.cursor()
        try:
            with sqlite_errors(self.path):
                self.epoch = str(self._meta("epoch"))
                self.seq = _last_seq(self._db)
                self._guard = FileGuard(self.path, self._db, self.epoch)
            damage_monitor.opened(self.path, self._guard.problem_now)
        except BaseException:
            self._db.close()
            raise
        # None: the next transaction loads what other processes wrote.
        self._seen_version: int | None = None
        self._index = WalIndex(self.path)
        # The header of the index before that version was read: the same one, the same version.
        self._seen_header: bytes | None = None
        self._string_ids = StringIds()
        self._token_sources = TokenSourceCache()

    def _meta(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise StoreDamaged(f"{self.path} lacks its {key}; the file was not changed")
        return row[0]

    def _data_version(self) -> int:
        row: tuple[int] = self._cursor.execute("PRAGMA data_version").fetchone()
        return row[0]

    def sync_external(self) -> bool:
        """Load what other processes committed, and return whether there was anything."""
        self._check_open()
        with self._lock, sqlite_errors(self.path):
            if self._closed:
                return False
            self._guard.check()
            header = self._index.header()
            if header is not None and header == self._seen_header:
                return False
            if self._data_version() == self._seen_version:
                self._seen_header = header
                return False
            self._transact([], read_only=True)
            self._seen_header = header
            return True

    def sync_notified(self) -> bool:
        """As ``sync_external``, which is as cheap as a notification would be."""
        return self.sync_external()

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored at present, as the last transaction saw it; None: it can."""
        return damage_monitor.problem(self.path)

    def _transact(
        self, group: list[WriteRequest[Transaction, Any]], read_only: bool = False
    ) -> None:
        db, listener, before = self._db, self._listener, self.seq
        self._guard.check_before()
        if not read_only and (problem := self.problem) is not None:
            raise StoreDamaged(problem)
        self._cursor.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        try:
            version = self._data_version()
            external = version != self._seen_version
            if external:
                self._token_sources.clear()
            seq = _last_seq(db) if external else before
            tx = Transaction(db, self._string_ids, self._token_sources, seq, before)
            listener.begin(tx, external)
            for request in group:
                request.run(tx)
            listener.flush(tx)
            tx.flush()
            self._cursor.execute("COMMIT")
            # Before the commit is acknowledged: it may be in a file that nobody finds any more.
            self._guard.check()
            self._seen_version, self.seq = version, tx.seq
            listener.committed(tx)
        except BaseException:
            # An interrupt may arrive just after the commit. The next transaction then loads the
            # rows after ``before`` as if another process had written them.
            self._seen_version, self._seen_header, self.seq = None, None, before
            self._string_ids.clear()
            listener.rolled_back()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _close(self) -> None:
        damage_monitor.closed(self.path, self._guard.problem_now)
        self._guard.prepare_close()
        self._db.close()
        self._guard.close()
        self._index.close()


_LAST_SEQ = f"""
SELECT max(coalesce((SELECT max(id) FROM events), 0),
    coalesce((SELECT value FROM meta WHERE key = '{SEQ_FLOOR}'), 0))
"""


def _last_seq(db: sqlite3.Connection) -> int:
    """Return the largest seq that was ever used."""
    return int(db.execute(_LAST_SEQ).fetchone()[0])
