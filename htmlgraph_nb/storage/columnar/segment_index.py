"""The index of sealed segments: files with a columnar copy of a range of history.

The files are in the folder ``<database file>.segments``, and the table ``segments`` lists them.
Triggers delete a segment from the table in the transaction that changes one of its rows, so every
listed segment equals its rows. Files that are not listed are ignored. A row with a ``.part`` file
is a reservation: that range is being written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace

from ...core.timestamps import to_micros
from ..decision_fill import undecided_seq
from ..query import MAX_SEQ, HistoryQuery

SEGMENT_ROWS = 100_000
"""Rows of a segment."""
SUFFIX = ".arrow"
PART = ".part"
MAX_SEGMENT_BYTES = 2 << 30
"""Largest file that is read; Arrow's texts of one batch have the same limit."""

_COLUMNS = "first_id, last_id, n_rows, n_bytes, crc32, first_ts, last_ts, file"


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the table ``segments``.

    Attributes:
        first_id, last_id: the range of seq that it covers; some ids in it may be missing.
        n_rows: number of rows.
        n_bytes, crc32: size and checksum of the file.
        first_ts, last_ts: earliest and latest timestamp, microseconds since 1970.
        file: name of the file in its folder.
    """

    first_id: int
    last_id: int
    n_rows: int
    n_bytes: int
    crc32: int
    first_ts: int
    last_ts: int
    file: str


def segment_folder(path: str) -> str:
    """Return the folder of the segments of a database file."""
    return os.path.realpath(path) + ".segments"


def list_segments(db: sqlite3.Connection) -> list[Segment]:
    """Return the finished segments in order of their ranges, which do not overlap."""
    segments: list[Segment] = []
    rows = db.execute(f"SELECT {_COLUMNS} FROM segments ORDER BY first_id").fetchall()
    for row in rows:
        segment = Segment(*row)
        if _is_plausible(segment) and (not segments or segment.first_id > segments[-1].last_id):
            segments.append(segment)
    return segments


def _is_plausible(segment: Segment) -> bool:
    """Return whether a row can be that of a finished segment; SQLite stores any type."""
    *numbers, name = astuple(segment)
    return (
        all(type(number) is int for number in numbers)
        and 0 < segment.n_rows <= segment.last_id - segment.first_id + 1
        and 0 < segment.n_bytes <= MAX_SEGMENT_BYTES
        and segment.first_ts <= segment.last_ts
        and is_segment_name(name)
    )


def is_segment_name(name: object) -> bool:
    """Return whether this is the file name of a finished segment, without a folder."""
    return isinstance(name, str) and name.endswith(SUFFIX) and os.path.basename(name) == name


def is_current(db: sqlite3.Connection, segment: Segment) -> bool:
    """Return whether the segment is still listed, and so equals its rows."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM segments WHERE first_id = ?", (segment.first_id,)
    ).fetchone()
    return row is not None and Segment(*row) == segment


def read_epoch(db: sqlite3.Connection) -> str:
    """Return the epoch of the database; "" if it has none."""
    row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return "" if row is None else str(row[0])


def last_seq(db: sqlite3.Connection) -> int:
    """Return the largest seq; 0 if there are no events."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of seq without a segment, both ends included.

    Attributes:
        inner: whether it lies between two segments.
    """

    first_id: int
    last_id: int
    inner: bool


def find_gaps(segments: Sequence[Segment], first: int, last: int) -> Iterator[Gap]:
    """Yield the ranges from ``first`` to ``last`` that no segment covers, in order."""
    start, seen = first, False
    for segment in segments:
        if segment.first_id > start:
            yield Gap(start, min(segment.first_id - 1, last), seen and segment.first_id <= last)
        start, seen = max(start, segment.last_id + 1), True
    if start <= last:
        yield Gap(start, last, False)


def plan_pieces(
    segments: Sequence[Segment], query: HistoryQuery, last: int
) -> list[Segment | tuple[int, int]]:
    """Return the segments and the ranges of seq between them to read, in order of the query.

    Segments without a row in the time range of the query are left out.
    """
    pieces: list[Segment | tuple[int, int]] = []
    lowest, highest = query.clip(-MAX_SEQ, last)
    for gap in find_gaps(segments, lowest, highest):
        pieces.append((gap.first_id, gap.last_id))
    for segment in segments:
        if segment.last_id >= lowest and segment.first_id <= highest and _in_time(segment, query):
            pieces.append(segment)
    pieces.sort(key=lambda piece: piece.first_id if isinstance(piece, Segment) else piece[0])
    if query.newest_first:
        pieces.reverse()
    return pieces


def _in_time(segment: Segment, query: HistoryQuery) -> bool:
    """Return whether the time range of the segment overlaps that of the query."""
    return (query.since is None or to_micros(query.since) <= segment.last_ts) and (
        query.until is None or to_micros(query.until) > segment.first_ts
    )


def searched_range(db: sqlite3.Connection, query: HistoryQuery) -> tuple[int, int]:
    """Return the range of seq that can have rows of the query, both ends included.

    Segments know their times, so SQLite need not search every row for those of the last hour.
    """
    bounds = seq_bounds(db, -MAX_SEQ, MAX_SEQ)
    if bounds is None:
        return 1, 0
    first, last = query.clip(*bounds)
    clipped = replace(query, seq_range=(first, last))
    pieces = plan_pieces(list_segments(db), clipped, last)
    ends = [
        end
        for piece in pieces
        for end in ((piece.first_id, piece.last_id) if isinstance(piece, Segment) else piece)
    ]
    return (max(min(ends), first), min(max(ends), last)) if ends else (last + 1, last)


def narrow_query(db: sqlite3.Connection, query: HistoryQuery) -> HistoryQuery:
    """Return the query limited to its ``searched_range``, if it has a time."""
    if query.since is None and query.until is None:
        return query
    return replace(query, seq_range=searched_range(db, query))


def unsealed_ranges(
    db: sqlite3.Connection, segments: Sequence[Segment], segment_rows: int = SEGMENT_ROWS
) -> Iterator[tuple[int, int]]:
    """Yield the ranges of seq to seal, each of ``segment_rows`` rows.

    Fewer rows at the end wait for more, and at the beginning for retention to delete them. Between
    two segments they get a segment of their own.
    """
    first = db.execute("SELECT min(id) FROM events").fetchone()[0]
    if first is None:
        return
    for gap in find_gaps(segments, int(first), last_seq(db)):
        start = gap.first_id
        # The ids bound the number of rows, so most calls need no query.
        while gap.inner or gap.last_id - start + 1 >= segment_rows:
            end = _nth_seq(db, start, gap.last_id, segment_rows)
            if end is None:
                rest = seq_bounds(db, start, gap.last_id)
                if gap.inner and rest is not None:
                    yield rest
                break
            bounds = seq_bounds(db, start, end)
            yield (bounds or (start, end))[0], end
            start = end + 1


def _nth_seq(db: sqlite3.Connection, first: int, last: int, n: int) -> int | None:
    row = db.execute(
        "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?",
        (first, last, n - 1),
    ).fetchone()
    return None if row is None else int(row[0])


def seq_bounds(db: sqlite3.Connection, first: int, last: int) -> tuple[int, int] | None:
    """Return the smallest and largest seq from ``first`` to ``last``; None if there is none."""
    lowest, highest = (
        db.execute(
            f"SELECT {function}(id) FROM events WHERE id BETWEEN ? AND ?", (first, last)
        ).fetchone()[0]
        for function in ("min", "max")
    )
    return None if lowest is None else (int(lowest), int(highest))


def invalid_segments(path: str, segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments whose file is missing or has another size."""
    sizes = {entry.name: entry.stat().st_size for entry in _entries(path)}
    return [segment for segment in segments if sizes.get(segment.file) != segment.n_bytes]


def orphans(path: str, db: sqlite3.Connection) -> list[str]:
    """Return the paths of files in the folder that are not in the index."""
    # Read the folder first: a name is in the index before its file is in the folder.
    entries = [entry for entry in _entries(path) if entry.name.endswith((SUFFIX, PART))]
    listed = {row[0] for row in db.execute("SELECT file FROM segments")}
    return [entry.path for entry in entries if entry.name not in listed]


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(segment_folder(path)) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def needs_sealing(path: str, db: sqlite3.Connection) -> bool:
    """Return whether sealing would store decisions, or write or remove a file."""
    segments = list_segments(db)
    return (
        undecided_seq(db) > 0
        or next(unsealed_ranges(db, segments), None) is not None
        or bool(invalid_segments(path, segments))
        or bool(orphans(path, db))
    )


def remove_segment_file(path: str, name: str) -> None:
    """Remove a file from the folder of segments; errors are ignored."""
    if name.endswith((SUFFIX, PART)):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(segment_folder(path), name))
