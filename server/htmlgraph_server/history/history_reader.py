"""Reading the history beside the writer: short queries in a few threads, never on the loop.

A long answer is read piece by piece, each its own query that begins after the last seq, so that no
slow reader holds a snapshot and lets the write-ahead log grow.
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

from .text_formats import Chunk, after_chunk, read_chunk

_THREADS = 2
_NICENESS = 10

T = TypeVar("T")


class HistoryReader:
    """Asks one database file, in threads that give way to the loop.

    Args:
        path: the file; it must exist when the first question comes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._closed = False
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(_THREADS, "htmlgraph-history", _give_way)

    async def run(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``question`` returns, called in a thread with a connection that only reads.

        Raises:
            StoreClosed: the server stops.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        if self._closed:
            raise StoreClosed("the server stops")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, question)

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self.path)
            self._opened.append(db)
        with sqlite_errors(self.path):
            return question(db)

    async def chunk(self, query: HistoryQuery, kind: str) -> Chunk:
        """Return the first rows of a query as text; arguments as ``read_chunk``, errors as run."""
        return await self.run(lambda db: read_chunk(db, query, kind))

    async def chunks(self, query: HistoryQuery, kind: str) -> AsyncIterator[Chunk]:
        """Yield all rows of a query as text; the next on demand."""
        rest: HistoryQuery | None = query
        while rest is not None:
            chunk = await self.chunk(rest, kind)
            rest = after_chunk(rest, chunk)
            if chunk.n_rows:
                yield chunk

    def close(self) -> None:
        """Wait for running queries and close the connections."""
        self._closed = True
        self._pool.shutdown()
        for db in self._opened:
            db.close()


def _give_way() -> None:
    # Only Linux knows a niceness of one thread.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
