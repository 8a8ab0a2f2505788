"""Reads the history concurrently with the writer: short queries in a few threads.

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

from htmlgraph_nb.errors import StoreClosed
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.query import HistoryQuery

from .text_formats import TextChunk, read_chunk, remaining_query

_THREADS = 2
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
        self._pool = ThreadPoolExecutor(_THREADS, "htmlgraph-history", _lower_priority)

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``query`` in a thread with a read-only connection and return its result.

        Raises:
            StoreClosed: the server is shutting down.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        if self._closed:
            raise StoreClosed("server shutting down")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, query)

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self.path)
            self._opened.append(db)
        with sqlite_errors(self.path):
            return query(db)

    async def chunk(self, query: HistoryQuery, format_: str) -> TextChunk:
        """Return the first rows of a query as text; see ``read_chunk`` and ``run``."""
        return await self.run(lambda db: read_chunk(db, query, format_))

    async def chunks(self, query: HistoryQuery, format_: str) -> AsyncIterator[TextChunk]:
        """Yield all rows of a query as text; each chunk is read on demand."""
        rest: HistoryQuery | None = query
        while rest is not None:
            chunk = await self.chunk(rest, format_)
            rest = remaining_query(rest, chunk)
            if chunk.n_rows:
                yield chunk

    def close(self) -> None:
        """Wait for running queries and close the connections."""
        self._closed = True
        self._pool.shutdown()
        for db in self._opened:
            db.close()


def _lower_priority() -> None:
    # Only Linux supports niceness per thread.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
