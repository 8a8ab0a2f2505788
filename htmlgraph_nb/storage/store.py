"""The SQLite database: append-only history and current state, with one writer and group commit.

The thread that holds the write lock commits all queued jobs in one transaction. ``write`` commits
on the calling thread, without a hand-over to another one; ``submit`` uses a writer thread. Other
processes may write to the same file: each transaction starts by loading what they committed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from ..errors import (
    CapacityError,
    HtmlgraphError,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from .database import BUSY_TIMEOUT_S, open_writer, sqlite_errors
from .dedup_table import TokenSourceCache
from .file_guard import FileGuard
from .schema import SEQ_FLOOR
from .transaction import StringIds, Transaction

_T = TypeVar("_T")
Job = Callable[[Transaction], _T]

MAX_GROUP_ROWS = 1_000
"""Rows at which a transaction accepts no further job."""
MAX_QUEUED_ROWS = 100_000
"""Most rows that wait for a commit; more are rejected."""


class TransactionListener(Protocol):
    """Called in every transaction; keeps the state that the database mirrors."""

    def begin(self, tx: Transaction, external: bool) -> None:
        """The transaction holds the lock. ``external``: other processes committed before it."""

    def flush(self, tx: Transaction) -> None:
        """All jobs ran; write the remaining rows."""

    def committed(self, tx: Transaction) -> None:
        """The transaction is durable."""

    def rolled_back(self) -> None:
        """The transaction was undone."""


class _WriteRequest(Generic[_T]):
    """A queued job and its result."""

    __slots__ = ("done", "error", "future", "job", "result", "rows")

    def __init__(self, job: Job[_T], rows: int = 1, future: Future[_T] | None = None) -> None:
        self.job = job
        self.rows = rows
        self.future = future
        self.done = False
        self.result: _T | None = None
        self.error: BaseException | None = None

    def run(self, tx: Transaction) -> None:
        self.error = None
        try:
            self.result = self.job(tx)
        except HtmlgraphError as error:
            # The job was rejected before it changed anything; the others continue.
            self.error = error

    def settle(self) -> None:
        self.done = True
        if self.future is None or not self.future.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Store:
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
        listener: TransactionListener,
        *,
        synchronous: str = "NORMAL",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        if path == ":memory:":
            raise StoreUnavailable("in-memory databases are not supported; pass a file path")
        self.path = os.path.abspath(path)
        self._listener = listener
        self._pid = os.getpid()
        # ``_lock`` is held during a commit, ``_queue_lock`` only while the queue is changed.
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: deque[_WriteRequest[Any]] = deque()
        self._rows_queued = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._db = open_writer(self.path, synchronous, busy_timeout_s)
        # One cursor for BEGIN, COMMIT and pragmas: creating one takes longer than the statement.
        self._cursor = self._db.cursor()
        try:
            with sqlite_errors(self.path):
                self.epoch = str(self._meta("epoch"))
                self.seq = _last_seq(self._db)
                self._guard = FileGuard(self.path, self._db, self.epoch)
        except BaseException:
            self._db.close()
            raise
        # None: the next transaction loads what other processes wrote.
        self._seen_version: int | None = None
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

    def write(self, job: Job[_T]) -> _T:
        """Run ``job`` in a transaction and return its result after the commit.

        Raises:
            StoreClosed: the store is closed, or this process is a fork of the one that opened it.
            StoreUnavailable, StoreDamaged: the transaction failed and was rolled back.
            HtmlgraphError: raised by the job itself.
        """
        request = self._enqueue(_WriteRequest(job))
        with self._lock:
            while not request.done:
                self._commit_group()
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[return-value]

    def submit(self, job: Job[_T], rows: int = 1) -> Future[_T]:
        """Queue ``job`` for the writer thread and return the Future of its committed result.

        Args:
            rows: roughly how many rows it will write.

        Raises:
            CapacityError: MAX_QUEUED_ROWS rows are queued already.
            StoreClosed: as for ``write``.
        """
        future: Future[_T] = Future()
        self._enqueue(_WriteRequest(job, rows, future))
        self._wake.set()
        return future

    def _enqueue(self, request: _WriteRequest[_T]) -> _WriteRequest[_T]:
        self._check_open()
        with self._queue_lock:
            # Check again under the lock: ``close`` commits jobs that are queued before it.
            if self._closed:
                raise StoreClosed(f"{self.path} was closed")
            if request.future is not None:
                if self._rows_queued + request.rows > MAX_QUEUED_ROWS:
                    raise CapacityError(
                        f"write queue full ({self._rows_queued} rows); retry later",
                        "ingest_backlog",
                    )
                self._start_writer()
            self._rows_queued += request.rows
            self._queue.append(request)
        return request

    @property
    def n_queued(self) -> int:
        """Number of jobs that wait for a commit."""
        return len(self._queue)

    def sync_external(self) -> bool:
        """Load what other processes committed, and return whether there was anything."""
        self._check_open()
        with self._lock, sqlite_errors(self.path):
            if self._closed:
                return False
            self._guard.check()
            if self._data_version() == self._seen_version:
                return False
            self._transact([], read_only=True)
            return True

    def _start_writer(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="htmlgraph-store", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                with self._lock:
                    if self._queue:
                        self._commit_group()
            if self._closed:
                return

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.path} was closed")
        if self._pid != os.getpid():
            raise StoreClosed(
                f"{self.path} was opened before this process was forked; open it again in this one"
            )

    def _next_group(self) -> list[_WriteRequest[Any]]:
        group: list[_WriteRequest[Any]] = []
        rows = 0
        with self._queue_lock:
            while self._queue and rows < MAX_GROUP_ROWS:
                group.append(self._queue.popleft())
                rows += group[-1].rows
            self._rows_queued -= rows
        return group

    def _commit_group(self) -> None:
        """Run the queued jobs in one transaction; the caller holds the lock."""
        group = self._next_group()
        try:
            self._commit(group)
        finally:
            for request in group:
                if not request.done:
                    request.error = StoreUnavailable(
                        f"{self.path}: the write was interrupted; it may or may not be committed"
                    )
                    request.settle()

    def _commit(self, group: list[_WriteRequest[Any]]) -> None:
        try:
            with sqlite_errors(self.path):
                self._transact(group)
        except Exception as error:  # noqa: BLE001 - re-raised to the submitting caller
            if len(group) > 1 and not isinstance(error, StoreError):
                # One job failed: run the others in their own transactions.
                for request in group:
                    self._commit([request])
                return
            for request in group:
                request.error = error
        for request in group:
            request.settle()

    def _transact(self, group: list[_WriteRequest[Any]], read_only: bool = False) -> None:
        db, listener, before = self._db, self._listener, self.seq
        self._guard.check_before()
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
            self._seen_version, self.seq = None, before
            self._string_ids.clear()
            listener.rolled_back()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Commit the queued jobs, checkpoint and close the file. Idempotent."""
        if self._pid != os.getpid():
            return
        with self._queue_lock:
            if self._closed:
                return
            self._closed = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            while self._queue:
                self._commit_group()
            self._guard.prepare_close()
            self._db.close()
            self._guard.close()


_LAST_SEQ = f"""
SELECT max(coalesce((SELECT max(id) FROM events), 0),
    coalesce((SELECT value FROM meta WHERE key = '{SEQ_FLOOR}'), 0))
"""


def _last_seq(db: sqlite3.Connection) -> int:
    """Return the largest seq that was ever used."""
    return int(db.execute(_LAST_SEQ).fetchone()[0])
