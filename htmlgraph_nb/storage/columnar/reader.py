"""Read stored history as Arrow batches: from sealed segments, and from SQLite for other rows."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from ...errors import SegmentError
from ..database import open_reader, sqlite_errors
from ..postgres.location import is_postgres
from ..query import MAX_SEQ, HistoryQuery
from .parallel_scan import PARALLEL_ROWS, scan_ranges
from .postgres_scan import make_scanner
from .scan import Scanner
from .segment_index import (
    Segment,
    is_current,
    last_seq,
    list_segments,
    plan_pieces,
    read_epoch,
    remove_segment_file,
    seq_bounds,
)
from .segments import read_segment

logger = logging.getLogger(__name__)

BATCH_ROWS = 65_536
"""Most rows of a batch by default."""
_FEW_ROWS = 8_192
"""Rows that are read before the others are counted."""
_MAX_GAP_ROWS = 10_000_000
_READ_AHEAD = 2
"""Segments that are read while the caller uses the previous one."""


def read_batches(
    path: str, query: HistoryQuery, *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield stored events as Arrow batches in the order of the query.

    Memory holds a few segments, and no snapshot of the file is held between two batches. If the
    file of a segment is missing or damaged, this is logged and its rows are read from SQLite.

    Args:
        path: a database file.
        query: filters, columns, order and limit.
        batch_rows: most rows of a batch.

    Returns:
        Batches of ``select_schema(query.columns)``; none if there are no rows. Dictionaries can
        differ between batches.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be read.
    """
    left = query.limit
    with (
        closing(open_reader(path)) as db,
        closing(_read_pieces(db, path, query, batch_rows)) as batches,
    ):
        for batch in batches:
            for start in range(0, len(batch), batch_rows):
                if left is not None and left <= 0:
                    return
                part = batch.slice(start, batch_rows if left is None else min(batch_rows, left))
                left = None if left is None else left - len(part)
                yield part


def max_row_count(path: str, query: HistoryQuery) -> int:
    """Return an estimate of the most rows of a query, without reading them.

    It is much too high with name filters, and too low if ids outside segments are far apart.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be read.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        segments, bounds = list_segments(db), seq_bounds(db, -MAX_SEQ, MAX_SEQ)
        if bounds is None:
            return 0
        first, last = bounds
        count = 0
        for piece in plan_pieces(segments, query, last):
            if isinstance(piece, Segment):
                # The index may say anything; as for a gap, bounded.
                span = min(piece.last_id, last) - max(piece.first_id, first) + 1
                count += min(piece.n_rows, max(span, 0), _MAX_GAP_ROWS)
            else:
                span = piece[1] - max(piece[0], first) + 1
                count += min(max(span, 0), _MAX_GAP_ROWS)
    return count if query.limit is None else min(count, query.limit)


def _read_pieces(
    db: sqlite3.Connection, path: str, query: HistoryQuery, batch_rows: int
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of the query piece by piece; the last piece may exceed its limit."""
    with sqlite_errors(path):
        segments, epoch, last = list_segments(db), read_epoch(db), last_seq(db)
    scanner = make_scanner(db, path, query.columns)
    pieces = plan_pieces(segments, query, last)
    upcoming = (piece for piece in pieces if isinstance(piece, Segment))
    with ThreadPoolExecutor(_READ_AHEAD, "htmlgraph-segments") as pool:
        pending: deque[Future[pa.RecordBatch]] = deque()
        try:
            for piece in pieces:
                if not isinstance(piece, Segment):
                    first_id, last_id = piece
                    # Rows that are stored meanwhile may be read as well, if the query has them.
                    seq_range = query.clip(first_id, MAX_SEQ if last_id == last else last_id)
                    unsealed = replace(query, seq_range=seq_range)
                    yield from _scan(db, path, scanner, unsealed, batch_rows)
                    continue
                while len(pending) <= _READ_AHEAD and (segment := next(upcoming, None)):
                    pending.append(pool.submit(read_segment, path, epoch, segment, query))
                batch = _segment_rows(db, path, piece, pending.popleft())
                if batch is None:
                    seq_range = query.clip(piece.first_id, piece.last_id)
                    yield from scanner.batches(replace(query, seq_range=seq_range), batch_rows)
                elif len(batch):
                    yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def _scan(
    db: sqlite3.Connection, path: str, scanner: Scanner, query: HistoryQuery, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield unsealed rows; several processes read them from a file if there are many."""
    if query.is_filtered:
        # The first rows tell whether they are few: counting would search all rows once more.
        size = min(_FEW_ROWS, batch_rows)
        size = size if query.limit is None else min(size, query.limit)
        n_rows = 0
        for batch in scanner.batches(replace(query, limit=size), size):
            n_rows += len(batch)
            yield batch
        if n_rows < size or n_rows == query.limit:
            return
        limit = None if query.limit is None else query.limit - n_rows
        query = replace(query, after_seq=scanner.last_seq, limit=limit)
    bounds = _many_rows(db, path, query)
    if bounds is None:
        yield from scanner.batches(query, batch_rows)
        return
    first, last = bounds
    size = max(batch_rows, BATCH_ROWS)
    ranges = [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
    if query.newest_first:
        ranges.reverse()
    with closing(scan_ranges(path, query, ranges)) as batches:
        for seq_range, batch in zip(ranges, batches, strict=True):
            if batch is None:
                yield from scanner.batches(replace(query, seq_range=seq_range), batch_rows)
            elif len(batch):
                yield scanner.encode(batch)


def _many_rows(db: sqlite3.Connection, path: str, query: HistoryQuery) -> tuple[int, int] | None:
    """Return the range of seq of the rows, or None if they are fewer than PARALLEL_ROWS."""
    if is_postgres(path) or (query.limit is not None and query.limit < PARALLEL_ROWS):
        return None
    conditions, params = query.conditions()
    with sqlite_errors(path):
        bounds = seq_bounds(db, *query.clip(-MAX_SEQ, MAX_SEQ))
        if bounds is None or bounds[1] - bounds[0] + 1 < PARALLEL_ROWS:
            return None
        rows = f"SELECT 1 FROM events e {conditions} LIMIT {PARALLEL_ROWS}"
        count = db.execute(f"SELECT count(*) FROM ({rows})", params).fetchone()[0]
    return bounds if count == PARALLEL_ROWS else None


def _segment_rows(
    db: sqlite3.Connection, path: str, segment: Segment, future: Future[pa.RecordBatch]
) -> pa.RecordBatch | None:
    """Return the rows of a segment, or None to read them from SQLite."""
    try:
        batch = future.result()
    except SegmentError as error:
        with sqlite_errors(path):
            current = is_current(db, segment)
        if current:
            logger.warning(
                "segment %s of %s: %s; reading its rows from the database until it is sealed again",
                segment.file,
                path,
                error,
            )
        if error.damaged:
            # The next sealing replaces a segment whose file is missing.
            remove_segment_file(path, segment.file)
        return None
    with sqlite_errors(path):
        return batch if is_current(db, segment) else None
