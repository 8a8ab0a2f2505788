"""Which sealed segments a database has: files with a columnar copy of a range of its history.

The files lie in the folder ``<database file>.segments``. The table ``segments`` names them;
triggers take a segment out of it in the very transaction that changes one of its rows, so what is
named equals the rows. A file that is not named means nothing, and a row that names a ``.part`` is
a promise: that range is being written.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SEGMENT_ROWS = 100_000
"""Rows of a segment."""
SUFFIX = ".arrow"
PART = ".part"

_COLUMNS = "first_id, last_id, n_rows, n_bytes, crc32, first_ts, last_ts, file"


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the table ``segments``.

    Attributes:
        first_id, last_id: the range of seq that it covers; ids may be missing inside.
        n_rows: how many rows it holds.
        n_bytes, crc32: size and checksum of the file.
        first_ts, last_ts: the earliest and the latest time in it, microseconds since 1970.
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
    found: list[Segment] = []
    rows = db.execute(f"SELECT {_COLUMNS} FROM segments ORDER BY first_id").fetchall()
    for row in rows:
        one = Segment(*row)
        behind = not found or one.first_id > found[-1].last_id
        if behind and one.last_id >= one.first_id and is_segment_name(one.file):
            found.append(one)
    return found


def is_segment_name(name: object) -> bool:
    """Return whether this is the name of a segment's file: no path, and not a part of one."""
    return isinstance(name, str) and name.endswith(SUFFIX) and os.path.basename(name) == name


def is_current(db: sqlite3.Connection, segment: Segment) -> bool:
    """Return whether the segment still equals its rows."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM segments WHERE first_id = ?", (segment.first_id,)
    ).fetchone()
    return found is not None and Segment(*found) == segment


def read_epoch(db: sqlite3.Connection) -> str:
    """Return the epoch of the database; "" where it lost it."""
    row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return "" if row is None else str(row[0])


def last_seq(db: sqlite3.Connection) -> int:
    """Return the largest seq; 0 where there is none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of seq without a segment, both ends included.

    Attributes:
        inner: whether a segment precedes it and another one follows.
    """

    first_id: int
    last_id: int
    inner: bool


def find_gaps(segments: Sequence[Segment], first: int, last: int) -> Iterator[Gap]:
    """Yield the ranges from ``first`` to ``last`` that no segment covers, in order."""
    after, seen = first, False
    for segment in segments:
        if segment.first_id > after:
            yield Gap(after, min(segment.first_id - 1, last), seen and segment.first_id <= last)
        after, seen = max(after, segment.last_id + 1), True
    if after <= last:
        yield Gap(after, last, False)


def unsealed_ranges(
    db: sqlite3.Connection, segments: Sequence[Segment], segment_rows: int = SEGMENT_ROWS
) -> Iterator[tuple[int, int]]:
    """Yield the ranges of seq of which segments should be written, each of ``segment_rows`` rows.

    What is less than that waits at the end, until more is appended, and at the beginning, where
    retention will delete it; between two segments it is worth one of its own.
    """
    first = db.execute("SELECT min(id) FROM events").fetchone()[0]
    if first is None:
        return
    for gap in find_gaps(segments, int(first), last_seq(db)):
        start = gap.first_id
        # Ids count the rows from above: most often there is nothing to do.
        while gap.inner or gap.last_id - start + 1 >= segment_rows:
            end = _nth(db, start, gap.last_id, segment_rows)
            if end is None:
                rest = seq_bounds(db, start, gap.last_id)
                if gap.inner and rest is not None:
                    yield rest
                break
            begin = seq_bounds(db, start, end)
            yield (begin or (start, end))[0], end
            start = end + 1


def _nth(db: sqlite3.Connection, first: int, last: int, n: int) -> int | None:
    row = db.execute(
        "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?",
        (first, last, n - 1),
    ).fetchone()
    return None if row is None else int(row[0])


def seq_bounds(db: sqlite3.Connection, first: int, last: int) -> tuple[int, int] | None:
    """Return the smallest and the largest seq between these two; None where there is none."""
    lowest, highest = (
        db.execute(
            f"SELECT {end}(id) FROM events WHERE id BETWEEN ? AND ?", (first, last)
        ).fetchone()[0]
        for end in ("min", "max")
    )
    return None if lowest is None else (int(lowest), int(highest))


def invalid_segments(path: str, segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments whose file is missing or of another size."""
    sizes = {entry.name: entry.stat().st_size for entry in _entries(path)}
    return [one for one in segments if sizes.get(one.file) != one.n_bytes]


def orphans(path: str, db: sqlite3.Connection) -> list[str]:
    """Return the paths of files in the folder that no row of the catalogue names."""
    # The folder first: a name is in the catalogue before its file is in the folder.
    entries = [entry for entry in _entries(path) if entry.name.endswith((SUFFIX, PART))]
    named = {row[0] for row in db.execute("SELECT file FROM segments")}
    return [entry.path for entry in entries if entry.name not in named]


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(segment_folder(path)) as found:
            return [entry for entry in found if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def needs_sealing(path: str, db: sqlite3.Connection) -> bool:
    """Return whether sealing would write or remove a file."""
    segments = list_segments(db)
    return (
        next(unsealed_ranges(db, segments), None) is not None
        or bool(invalid_segments(path, segments))
        or bool(orphans(path, db))
    )
