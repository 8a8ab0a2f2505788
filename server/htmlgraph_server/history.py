"""Reading the history beside the writer: short queries in a few threads, never on the loop.

A long answer is read page by page, each its own query that begins after the last seq, so that no
slow reader holds a snapshot and lets the write-ahead log grow.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from htmlgraph_nb.errors import StoreClosed
from htmlgraph_nb.query import HistoryQuery, read_chunks
from htmlgraph_nb.store import open_reader, translated
from htmlgraph_nb.times import from_micros, to_rfc3339
from htmlgraph_nb.wire import dumps

PAGE_ROWS = 2_000
_THREADS = 2

Row = tuple[Any, ...]


class HistoryReader:
    """Answers history queries on one database file.

    Args:
        path: the file; it must exist when the first question comes.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._closed = False
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="htmlgraph-history")

    def _page(self, query: HistoryQuery) -> list[Row]:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self._path)
            self._opened.append(db)
        with translated(self._path):
            return [row for chunk in read_chunks(db, query) for row in chunk]

    async def pages(self, query: HistoryQuery) -> AsyncIterator[list[Row]]:
        """Yield lists of rows: seq, then the query's other columns; the next on demand.

        Raises:
            StoreClosed: the server stops.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        loop = asyncio.get_running_loop()
        left, after = query.limit, query.after_seq
        while left is None or left > 0:
            if self._closed:
                raise StoreClosed("the server stops")
            n_rows = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
            page = await loop.run_in_executor(
                self._pool, self._page, replace(query, after_seq=after, limit=n_rows)
            )
            if page:
                yield page
            if len(page) < n_rows:
                return
            after = page[-1][0]
            left = None if left is None else left - n_rows

    def close(self) -> None:
        """Wait for running queries and close the connections."""
        self._closed = True
        self._pool.shutdown()
        for db in self._opened:
            db.close()


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "timestamp":
        return to_rfc3339(from_micros(value))
    return json.loads(value) if name == "extra" else value


def to_objects(names: Sequence[str], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as JSON objects with RFC 3339 times."""
    return [
        {name: _value(name, value) for name, value in zip(names, row, strict=True)} for row in rows
    ]


def to_ndjson(names: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows as one JSON object a line."""
    return "".join(dumps(item) + "\n" for item in to_objects(names, rows))


def to_csv(names: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows as CSV (RFC 4180), without a header."""
    text = io.StringIO()
    writer = csv.writer(text)
    times = names.index("timestamp") if "timestamp" in names else None
    for row in rows:
        values = list(row)
        if times is not None:
            values[times] = to_rfc3339(from_micros(values[times]))
        writer.writerow(values)
    return text.getvalue()
