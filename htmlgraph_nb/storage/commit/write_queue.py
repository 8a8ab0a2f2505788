"""The write queue of a store: group commit on whichever thread holds the lock.

The thread that holds the write lock commits all queued jobs in one transaction. ``write`` commits
on the calling thread, without a hand-over to another one; ``submit`` uses a writer thread. What a
transaction is, is up to the store.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

from ...errors import CapacityError, HtmlgraphError, StoreClosed, StoreError, StoreUnavailable

_T = TypeVar("_T")
_Tx = TypeVar("_Tx")
_TxContra = TypeVar("_TxContra", contravariant=True)

MAX_GROUP_ROWS = 1_000
"""Rows at which a transaction accepts no further job."""
MAX_QUEUED_ROWS = 100_000
"""Most rows that wait for a commit; more are rejected."""


class TransactionListener(Protocol[_TxContra]):
    """Called in every transaction; keeps the state that the database mirrors."""

    def begin(self, tx: _TxContra, external: bool) -> None:
        """The transaction holds the lock. ``external``: other processes committed before it."""

    def flush(self, tx: _TxContra) -> None:
        """All jobs ran; write the remaining rows."""

    def committed(self, tx: _TxContra) -> None:
        """The transaction is durable."""

    def rolled_back(self) -> None:
        """The transaction was undone."""


class WriteRequest(Generic[_Tx, _T]):
    """A queued job and its result."""

    __slots__ = ("done", "error", "future", "job", "result", "rows")

    def __init__(
        self, job: Callable[[_Tx], _T], rows: int = 1, future: Future[_T] | None = None
    ) -> None:
        self.job = job
        self.rows = rows
        self.future = future
        self.done = False
        self.result: _T | None = None
        self.error: BaseException | None = None

    def run(self, tx: _Tx) -> None:
        """Run the job in a transaction, and keep its result or refusal."""
        self.error = None
        try:
            self.result = self.job(tx)
        except HtmlgraphError as error:
            # The job was rejected before it changed anything; the others continue.
            self.error = error

    def settle(self) -> None:
        """Report the result, or the error, to the waiting caller."""
        self.done = True
        if self.future is None or not self.future.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class WriteQueue(ABC, Generic[_Tx]):
    """Jobs that are committed in groups; the base of the stores.

    Args:
        path: the file or address, for error messages.
        errors: translates errors of the database inside a ``with`` block.

    Attributes:
        on_problem: called, in any thread, when the database cannot be used any more, or again.
    """

    def __init__(self, path: str, errors: AbstractContextManager[None]) -> None:
        self.path = path
        self.on_problem: Callable[[], object] = lambda: None
        self._errors = errors
        self._pid = os.getpid()
        # ``_lock`` is held during a commit, ``_queue_lock`` only while the queue is changed.
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: deque[WriteRequest[_Tx, Any]] = deque()
        self._rows_queued = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    @abstractmethod
    def _transact(self, group: list[WriteRequest[_Tx, Any]]) -> object:
        """Run the jobs of the group in one transaction; the caller holds the lock."""

    @abstractmethod
    def _close(self) -> None:
        """Close the database; the caller holds the lock."""

    def write(self, job: Callable[[_Tx], _T]) -> _T:
        """Run ``job`` in a transaction and return its result after the commit.

        Raises:
            StoreClosed: the store is closed, or this process is a fork of the one that opened it.
            StoreUnavailable, StoreDamaged: the transaction failed and was rolled back.
            HtmlgraphError: raised by the job itself.
        """
        request = self._enqueue(WriteRequest(job))
        with self._lock:
            while not request.done:
                self._commit_group()
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[return-value]

    def submit(self, job: Callable[[_Tx], _T], rows: int = 1) -> Future[_T]:
        """Queue ``job`` for the writer thread and return the Future of its committed result.

        Args:
            rows: roughly how many rows it will write.

        Raises:
            CapacityError: MAX_QUEUED_ROWS rows are queued already.
            StoreClosed: as for ``write``.
        """
        future: Future[_T] = Future()
        self._enqueue(WriteRequest(job, rows, future))
        self._wake.set()
        return future

    def _enqueue(self, request: WriteRequest[_Tx, _T]) -> WriteRequest[_Tx, _T]:
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

    def _next_group(self) -> list[WriteRequest[_Tx, Any]]:
        group: list[WriteRequest[_Tx, Any]] = []
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

    def _commit(self, group: list[WriteRequest[_Tx, Any]]) -> None:
        try:
            with self._errors:
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

    def close(self) -> None:
        """Commit the queued jobs and close the database. Idempotent."""
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
            self._close()
