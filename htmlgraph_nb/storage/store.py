"""The SQLite file: append-only history and present state, with one writer and group commit.

One process-wide rule keeps order: whoever holds the write lock commits everything that is queued,
in one transaction. A thread that writes synchronously is that somebody itself (no hand-over to
another thread); ``submit`` leaves it to a writer thread. Other processes may write to the same
file: each transaction begins with what they committed.
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
from .transaction import StringIds, Transaction

T = TypeVar("T")
Job = Callable[[Transaction], T]

MAX_GROUP = 1_000
"""Rows at which a transaction takes no further job."""
MAX_QUEUED = 100_000
"""Most rows that wait for their commit; more are refused."""


class TransactionListener(Protocol):
    """Who takes part in every transaction: the keeper of the state that the file mirrors."""

    def begin(self, tx: Transaction, foreign: bool) -> None:
        """The transaction holds the lock; ``foreign``: others committed since the last one."""

    def flush(self, tx: Transaction) -> None:
        """All jobs ran; write what they left to be written."""

    def committed(self, tx: Transaction) -> None:
        """The transaction is durable."""

    def rolled_back(self) -> None:
        """Nothing of the transaction happened."""


class _WriteRequest(Generic[T]):
    """One queued job and its outcome."""

    __slots__ = ("done", "error", "future", "job", "result", "rows")

    def __init__(self, job: Job[T], rows: int = 1, future: Future[T] | None = None) -> None:
        self.job = job
        self.rows = rows
        self.future = future
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self, tx: Transaction) -> None:
        self.error = None
        try:
            self.result = self.job(tx)
        except HtmlgraphError as error:
            # A refusal: the job raised it before it touched anything, the others go on.
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
        path: the file; its folder is made where it is missing.
        participant: see Participant.
        synchronous: SQLite's setting: NORMAL survives the death of the process, FULL that of the
            machine.
        busy_timeout_s: seconds that a transaction waits for another process's.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be used.
    """

    def __init__(
        self,
        path: str,
        participant: TransactionListener,
        *,
        synchronous: str = "NORMAL",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        if path == ":memory:":
            raise StoreUnavailable("a database in memory can be shared with nobody; name a file")
        self.path = os.path.abspath(path)
        self._participant = participant
        self._pid = os.getpid()
        # Held by whoever commits; ``_gate`` only while the queue is changed.
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self._queue: deque[_WriteRequest[Any]] = deque()
        self._rows_queued = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._db = open_writer(self.path, synchronous, busy_timeout_s)
        # One cursor for all that frames a transaction: making one takes longer than the statement.
        self._cursor = self._db.cursor()
        try:
            with sqlite_errors(self.path):
                self.epoch = str(self._meta("epoch"))
                self.seq = _last_seq(self._db)
        except BaseException:
            self._db.close()
            raise
        # Not known: the first transaction looks at the file for what others wrote meanwhile.
        self._version: int | None = None
        self.names = StringIds()
        self.claims = TokenSourceCache()

    def _meta(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise StoreDamaged(f"{self.path} has lost its {key}; it is left as it is")
        return row[0]

    def _data_version(self) -> int:
        row: tuple[int] = self._cursor.execute("PRAGMA data_version").fetchone()
        return row[0]

    def write(self, job: Job[T]) -> T:
        """Run ``job`` in a transaction and return its result once that is committed.

        Raises:
            StoreClosed: the store is closed, or this process is a fork of the one that opened it.
            StoreUnavailable, StoreDamaged: the transaction failed; nothing of it happened.
            HtmlgraphError: what the job itself raised.
        """
        ticket = self._enqueue(_WriteRequest(job))
        with self._lock:
            while not ticket.done:
                self._commit_group()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value]

    def submit(self, job: Job[T], rows: int = 1) -> Future[T]:
        """Queue ``job`` for the writer thread and return the Future of its committed result.

        Args:
            rows: how many rows it will write, about.

        Raises:
            CapacityError: MAX_QUEUED rows wait already.
            StoreClosed: as ``write``.
        """
        future: Future[T] = Future()
        self._enqueue(_WriteRequest(job, rows, future))
        self._wake.set()
        return future

    def _enqueue(self, ticket: _WriteRequest[T]) -> _WriteRequest[T]:
        self._check_open()
        with self._gate:
            # Asked again: what is queued before ``close`` is committed, nothing comes after it.
            if self._closed:
                raise StoreClosed(f"{self.path} was closed")
            if ticket.future is not None:
                if self._rows_queued + ticket.rows > MAX_QUEUED:
                    raise CapacityError(
                        f"{self._rows_queued} rows wait for their commit; send again later",
                        "ingest_backlog",
                    )
                self._start_writer()
            self._rows_queued += ticket.rows
            self._queue.append(ticket)
        return ticket

    @property
    def n_queued(self) -> int:
        """Jobs that wait for their commit."""
        return len(self._queue)

    def sync_external(self) -> bool:
        """Take in what other processes committed, if they did, and return whether they did."""
        self._check_open()
        with self._lock, sqlite_errors(self.path):
            if self._closed or self._data_version() == self._version:
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
                f"{self.path} was opened before this process was forked; open it again in here"
            )

    def _next_group(self) -> list[_WriteRequest[Any]]:
        group: list[_WriteRequest[Any]] = []
        rows = 0
        with self._gate:
            while self._queue and rows < MAX_GROUP:
                group.append(self._queue.popleft())
                rows += group[-1].rows
            self._rows_queued -= rows
        return group

    def _commit_group(self) -> None:
        """Run what is queued in one transaction; the caller holds the lock."""
        group = self._next_group()
        try:
            self._commit(group)
        finally:
            for ticket in group:
                if not ticket.done:
                    ticket.error = StoreUnavailable(
                        f"{self.path}: the write was interrupted; it may have happened or not"
                    )
                    ticket.settle()

    def _commit(self, group: list[_WriteRequest[Any]]) -> None:
        try:
            with sqlite_errors(self.path):
                self._transact(group)
        except Exception as error:  # noqa: BLE001 - it is raised to whom it concerns
            if len(group) > 1 and not isinstance(error, StoreError):
                # The fault of one job: the others shall not pay for it.
                for ticket in group:
                    self._commit([ticket])
                return
            for ticket in group:
                ticket.error = error
        for ticket in group:
            ticket.settle()

    def _transact(self, group: list[_WriteRequest[Any]], read_only: bool = False) -> None:
        db, participant, before = self._db, self._participant, self.seq
        self._cursor.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        try:
            version = self._data_version()
            foreign = version != self._version
            if foreign:
                self.claims.clear()
            seq = _last_seq(db) if foreign else before
            tx = Transaction(db, self.names, self.claims, seq, before)
            participant.begin(tx, foreign)
            for ticket in group:
                ticket.run(tx)
            participant.flush(tx)
            tx.flush()
            self._cursor.execute("COMMIT")
            self._version, self.seq = version, tx.seq
            participant.committed(tx)
        except BaseException:
            # An interrupt may strike just after the commit. What the file then has beyond
            # ``before`` is taken in by the next transaction, as if others had written it.
            self._version, self.seq = None, before
            self.names.clear()
            participant.rolled_back()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Commit what is queued, checkpoint and close the file; a second call does nothing."""
        if self._pid != os.getpid():
            return
        with self._gate:
            if self._closed:
                return
            self._closed = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            while self._queue:
                self._commit_group()
            self._db.close()


def _last_seq(db: sqlite3.Connection) -> int:
    """The largest number given so far: history never loses its newest row (see retention)."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
