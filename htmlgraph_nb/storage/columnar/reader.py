"""Stored history as Arrow columns: sealed segments where they are known, SQLite for the rest."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from ...core.timestamps import to_micros
from ...errors import ScanFailed, UnusableSegment
from ..database import open_reader, sqlite_errors
from ..query import HistoryQuery
from .parallel_scan import PARALLEL_ROWS, scan_ranges
from .scan import Scanner
from .segment_index import (
    Segment,
    find_gaps,
    is_current,
    last_seq,
    list_segments,
    read_epoch,
    seq_bounds,
)
from .segments import read_segment, remove_segment_file

logger = logging.getLogger("htmlgraph.history")

BATCH_ROWS = 65_536
"""Most rows of a batch where nothing else is asked for."""
_MOST_GUESSED = 10_000_000
_AHEAD = 2
"""Segments that are read while the one before is made use of."""


def read_batches(
    path: str, query: HistoryQuery, *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield stored events as Arrow batches, in the order of seq, or descending if newest first.

    Memory is bounded by a few segments, and no snapshot of the file is held between two batches. A
    segment whose file is missing or damaged is logged, and its rows are read from SQLite.

    Args:
        path: a database file.
        query: which rows, and which columns in which order.
        batch_rows: most rows of a batch.

    Returns:
        Batches of ``select_schema(query.columns)``; none where there are no rows. Dictionaries of
        different batches can differ.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be read.
    """
    left = query.limit
    with closing(open_reader(path)) as db, closing(_batches(db, path, query, batch_rows)) as found:
        for batch in found:
            for start in range(0, len(batch), batch_rows):
                if left is not None and left <= 0:
                    return
                part = batch.slice(start, batch_rows if left is None else min(batch_rows, left))
                left = None if left is None else left - len(part)
                yield part


def max_row_count(path: str, query: HistoryQuery) -> int:
    """Return about how many rows a query can have at most, without a look at them.

    Where names are asked for it is far too many, and it is too few where ids outside segments are
    far apart.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: as ``read_batches``.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        segments, ends = list_segments(db), seq_bounds(db, -(2**63), 2**63 - 1)
        if ends is None:
            return 0
        first, last = ends
        bound = 0
        for piece in _pieces(segments, query, last):
            if isinstance(piece, Segment):
                bound += piece.n_rows
            else:
                span = piece[1] - max(piece[0], first) + 1
                bound += min(max(span, 0), _MOST_GUESSED)
    return bound if query.limit is None else min(bound, query.limit)


def _batches(
    db: sqlite3.Connection, path: str, query: HistoryQuery, batch_rows: int
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of the query piece by piece; more than its limit where that ends inside."""
    with sqlite_errors(path):
        segments, epoch, last = list_segments(db), read_epoch(db), last_seq(db)
    scanner = Scanner(db, path, query.columns)
    pieces = _pieces(segments, query, last)
    n_segments = sum(isinstance(piece, Segment) for piece in pieces)
    with ThreadPoolExecutor(_AHEAD, "htmlgraph-segments") as pool:
        ahead: deque[tuple[Segment, Future[pa.RecordBatch]]] = deque()
        coming = (piece for piece in pieces if isinstance(piece, Segment))
        try:
            for piece in pieces:
                if not isinstance(piece, Segment):
                    yield from _scan(db, path, scanner, replace(query, seq_range=piece), batch_rows)
                    continue
                while len(ahead) <= min(_AHEAD, n_segments):
                    one = next(coming, None)
                    if one is None:
                        break
                    ahead.append((one, pool.submit(read_segment, path, epoch, one, query)))
                _, future = ahead.popleft()
                batch = _settled(db, path, piece, future)
                if batch is None:
                    inside = replace(
                        query, seq_range=_within((piece.first_id, piece.last_id), query)
                    )
                    yield from scanner.batches(inside, batch_rows)
                elif len(batch):
                    yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def _scan(
    db: sqlite3.Connection, path: str, scanner: Scanner, query: HistoryQuery, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a range of seq from SQLite; many of them by processes of their own."""
    ends = _worth_processes(db, path, query)
    if ends is not None:
        ranges = _cut(ends, max(batch_rows, BATCH_ROWS), query.newest_first)
        try:
            yield from (batch for batch in scan_ranges(path, query, ranges) if len(batch))
            return
        except ScanFailed as error:
            logger.warning("%s is read by one process: %s", path, error)
            rest = ranges[error.position :]
            query = replace(query, seq_range=(min(rest)[0], max(rest)[1]))
    yield from scanner.batches(query, batch_rows)


def _cut(seq_range: tuple[int, int], size: int, newest_first: bool) -> list[tuple[int, int]]:
    first, last = seq_range
    ranges = [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
    return ranges[::-1] if newest_first else ranges


def _worth_processes(
    db: sqlite3.Connection, path: str, query: HistoryQuery
) -> tuple[int, int] | None:
    """Return the range of seq that the rows lie in, if they are worth the start of processes."""
    if query.limit is not None and query.limit < PARALLEL_ROWS:
        return None
    where, params = query.conditions()
    with sqlite_errors(path):
        ends = seq_bounds(db, *(query.seq_range or (-(2**63), 2**63 - 1)))
        if ends is None or ends[1] - ends[0] + 1 < PARALLEL_ROWS:
            return None
        found = f"SELECT 1 FROM events e {where} LIMIT {PARALLEL_ROWS}"
        counted = db.execute(f"SELECT count(*) FROM ({found})", params).fetchone()[0]
    return ends if counted == PARALLEL_ROWS else None


def _settled(
    db: sqlite3.Connection, path: str, segment: Segment, future: Future[pa.RecordBatch]
) -> pa.RecordBatch | None:
    """Return the rows of a segment; None where they are to be read from SQLite."""
    try:
        batch = future.result()
    except UnusableSegment as error:
        with sqlite_errors(path):
            named = is_current(db, segment)
        if named:
            logger.warning(
                "sealed segment %s of %s is not used: %s; its rows are read from the database "
                "until it is sealed again",
                segment.file,
                path,
                error,
            )
        if error.damaged:
            # Missing is what the next sealing notices and mends.
            remove_segment_file(path, segment.file)
        return None
    with sqlite_errors(path):
        return batch if is_current(db, segment) else None


def _pieces(
    segments: Sequence[Segment], query: HistoryQuery, last: int
) -> list[Segment | tuple[int, int]]:
    """Return the segments and the ranges of seq between them that the query needs, in its order."""
    pieces: list[Segment | tuple[int, int]] = []
    lowest, highest = _within((-(2**63), last), query)
    for gap in find_gaps(segments, lowest, highest):
        pieces.append((gap.first_id, gap.last_id))
    for segment in segments:
        if segment.last_id >= lowest and segment.first_id <= highest and _in_time(segment, query):
            pieces.append(segment)
    pieces.sort(key=lambda piece: piece.first_id if isinstance(piece, Segment) else piece[0])
    if query.newest_first:
        pieces.reverse()
    return pieces


def _within(seq_range: tuple[int, int], query: HistoryQuery) -> tuple[int, int]:
    """Return the part of a range of seq that the query can ask for."""
    first, last = seq_range
    if not query.newest_first:
        first = max(first, query.after_seq + 1)
    elif query.after_seq:
        last = min(last, query.after_seq - 1)
    if query.seq_range is not None:
        first, last = max(first, query.seq_range[0]), min(last, query.seq_range[1])
    return first, last


def _in_time(segment: Segment, query: HistoryQuery) -> bool:
    """Return whether a row of the segment can lie in the query's time."""
    return (query.since is None or to_micros(query.since) <= segment.last_ts) and (
        query.until is None or to_micros(query.until) > segment.first_ts
    )
