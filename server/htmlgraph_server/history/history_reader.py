"""Reads the history concurrently with the writer: queries in a few low-priority threads.

Searches of many rows have threads and a queue of their own, so that they delay no other query.

A long result is read in chunks. Each chunk is a query of its own that starts after the last seq, so
that a slow client does not hold a snapshot and make the write-ahead log grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from htmlgraph_nb.errors import CapacityError, StoreClosed
from htmlgraph_nb.storage.columnar.segment_index import searched_range
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.file_guard import check_guarded
from htmlgraph_nb.storage.query import HistoryQuery

from .text_formats import TextChunk, read_chunk, remaining_query, text_chunks

SMALL_ROWS = 5_000
"""Most rows of a result that the server's own process makes as columns."""
_SMALL_BYTES = 8_000_000
_MAX_SCANNED_ROWS = 2_000_000
_THREADS = 2
_SEARCH_THREADS = 2
QUICK_ROWS = 100_000
"""Most rows that a query may have to search without being a search."""
MAX_SEARCHES = 32
"""Most searches that run or wait."""
_NICENESS = 10

T = TypeVar("T")


class HistoryReader:
    """Queries one database file in low-priority threads.

    Args:
        path: the file; it must exist when the first query runs.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._closed = False
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._pool = _start_threads(_THREADS, "htmlgraph-history")
        self._searches = _start_threads(_SEARCH_THREADS, "htmlgraph-search")
        self._n_searches = 0

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``query`` in a thread with a read-only connection and return its result.

        Raises:
            StoreClosed: the server is shutting down.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        if self._closed:
            raise StoreClosed("server shutting down")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, query)

    async def _search(self, query: Callable[[sqlite3.Connection], T], *, limited: bool) -> T:
        """Call ``query`` as ``run`` does, but among the searches."""
        if self._closed:
            raise StoreClosed("server shutting down")
        if limited and self._n_searches >= MAX_SEARCHES:
            raise CapacityError("too many searches of the history; retry later", "history_busy")
        self._n_searches += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._searches, self._run, query)
        finally:
            self._n_searches -= 1

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        check_guarded(self.path)
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self.path)
            self._opened.append(db)
        with sqlite_errors(self.path):
            return query(db)

    async def chunk(self, query: HistoryQuery, format_: str, *, is_first: bool = True) -> TextChunk:
        """Return the first rows of a query as text; see ``read_chunk`` and ``run``.

        Args:
            is_first: whether the response can still be an error.

        Raises:
            CapacityError: too many searches run or wait.
        """
        if query.is_filtered and await self.run(lambda db: _n_searched(db, query)) > QUICK_ROWS:
            return await self._search(lambda db: read_chunk(db, query, format_), limited=is_first)
        return await self.run(lambda db: read_chunk(db, query, format_))

    async def chunks(self, query: HistoryQuery, format_: str) -> AsyncIterator[TextChunk]:
        """Yield all rows of a query as text; each chunk is read on demand."""
        rest: HistoryQuery | None = query
        while rest is not None:
            chunk = await self.chunk(rest, format_, is_first=rest is query)
            rest = remaining_query(rest, chunk)
            if chunk.n_rows:
                yield chunk

    async def small_result(self, query: HistoryQuery) -> bytes | None:
        """Return all rows of a query in the format ``columns`` of ``read_chunk``; see ``run``.

        Returns:
            None if they are more than SMALL_ROWS, or if too many rows would have to be searched.

        Raises:
            CapacityError: too many searches run or wait.
        """
        n_searched = await self.run(lambda db: _n_searched(db, query))
        if n_searched > _MAX_SCANNED_ROWS:
            return None
        if not query.is_filtered and min(n_searched, query.limit or n_searched) > SMALL_ROWS:
            return None
        if query.is_filtered and n_searched > QUICK_ROWS:
            return await self._search(lambda db: _small_result(db, query), limited=True)
        return await self.run(lambda db: _small_result(db, query))

    def close(self) -> None:
        """Wait for running queries and close the connections."""
        self._closed = True
        self._pool.shutdown()
        self._searches.shutdown()
        for db in self._opened:
            db.close()


def _n_searched(db: sqlite3.Connection, query: HistoryQuery) -> int:
    first, last = searched_range(db, query)
    return last - first + 1


def _small_result(db: sqlite3.Connection, query: HistoryQuery) -> bytes | None:
    bodies: list[bytes] = []
    n_rows = n_bytes = 0
    for chunk in text_chunks(db, query, "columns"):
        n_rows, n_bytes = n_rows + chunk.n_rows, n_bytes + len(chunk.body)
        if n_rows > SMALL_ROWS or n_bytes > _SMALL_BYTES:
            return None
        bodies.append(chunk.body)
    return b"".join(bodies)


def _start_threads(n_threads: int, name: str) -> ThreadPoolExecutor:
    """Return an executor whose threads run.

    Started later, by the event loop, a thread for which there is no memory would hang the loop.
    """
    pool = ThreadPoolExecutor(n_threads, name, _lower_priority)
    barrier = threading.Barrier(n_threads + 1)
    for _ in range(n_threads):
        pool.submit(barrier.wait)
    barrier.wait()
    return pool


def _lower_priority() -> None:
    # Only Linux supports niceness per thread.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
