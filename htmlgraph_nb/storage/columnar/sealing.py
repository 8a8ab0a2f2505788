"""Writes what is missing of the sealed segments of a database; ``python -m`` runs it.

Three short transactions a group of segments and none while rows are read, so that a writer never
waits: the ranges are promised in the catalogue; the rows are read and written into ``.part`` files;
the promises that still stand are kept. A promise is gone where a row of its range was changed
meanwhile, because the triggers that guard finished segments guard it too.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import pyarrow as pa

from ...errors import HtmlgraphError, ScanFailed, StoreUnavailable, UnusableSegment
from ..database import BUSY_TIMEOUT_S, open_reader, open_writer, sqlite_errors
from ..query import HistoryQuery
from .arrow_schema import HISTORY_SCHEMA
from .parallel_scan import PARALLEL_ROWS, scan_ranges
from .scan import Scanner
from .segment_index import (
    PART,
    SEGMENT_ROWS,
    Segment,
    invalid_segments,
    list_segments,
    orphans,
    read_epoch,
    unsealed_ranges,
)
from .segments import finish_part, read_verified, remove_segment_file, write_part

logger = logging.getLogger("htmlgraph.sealing")

_GROUP = 32
"""Most ranges that are promised at once."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """What one sealing did.

    Attributes:
        n_segments, n_rows, n_bytes: of the segments that it wrote.
        n_unusable: segments whose file was missing or damaged.
        n_removed: files that belonged to no segment any more.
    """

    n_segments: int = 0
    n_rows: int = 0
    n_bytes: int = 0
    n_unusable: int = 0
    n_removed: int = 0


def seal(
    path: str,
    *,
    segment_rows: int = SEGMENT_ROWS,
    verify: bool = False,
    on_segment: Callable[[Segment], object] = lambda _: None,
) -> SealReport:
    """Bring the sealed segments of a database up to date.

    Segments are written of every ``segment_rows`` rows that have none; files that the catalogue
    does not name are removed; a segment whose file is missing or of another size is written anew.

    Args:
        path: an existing database file.
        segment_rows: rows of a segment.
        verify: read every file and compare its checksum too.
        on_segment: called with each segment once it is written.

    Raises:
        StoreUnavailable: the file is missing or locked, or its folder cannot be written.
        StoreDamaged, StoreTooNew: the file cannot be used.
    """
    open_reader(path).close()
    with closing(open_writer(os.path.abspath(path), "NORMAL", BUSY_TIMEOUT_S)) as db:
        # The log is moved into the file by who writes events, or when the file is closed.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            with sqlite_errors(path):
                return _Sealing(db, path, segment_rows, on_segment).run(verify)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot write sealed segments of {path}: {error.strerror or error}"
            ) from error


class _Sealing:
    def __init__(
        self,
        db: sqlite3.Connection,
        path: str,
        segment_rows: int,
        on_segment: Callable[[Segment], object],
    ) -> None:
        self._db = db
        self._path = path
        self._segment_rows = segment_rows
        self._on_segment = on_segment
        self._epoch = read_epoch(db)

    def run(self, verify: bool) -> SealReport:
        unusable = self._unusable(verify)
        for segment in unusable:
            logger.warning("sealed segment %s of %s is written anew", segment.file, self._path)
            self._forget(segment)
        removed = orphans(self._path, self._db)
        for stray in removed:
            remove_segment_file(self._path, os.path.basename(stray))
        done = SealReport(n_unusable=len(unusable), n_removed=len(removed))
        ranges = list(unsealed_ranges(self._db, list_segments(self._db), self._segment_rows))
        for start in range(0, len(ranges), _GROUP):
            for segment in self._seal_group(ranges[start : start + _GROUP]):
                done = replace(
                    done,
                    n_segments=done.n_segments + 1,
                    n_rows=done.n_rows + segment.n_rows,
                    n_bytes=done.n_bytes + segment.n_bytes,
                )
        return done

    def _unusable(self, verify: bool) -> list[Segment]:
        segments = list_segments(self._db)
        found = invalid_segments(self._path, segments)
        for segment in segments if verify else ():
            try:
                read_verified(self._path, self._epoch, segment)
            except UnusableSegment as error:
                logger.warning("sealed segment %s: %s", segment.file, error)
                if segment not in found:
                    found.append(segment)
        return found

    def _forget(self, segment: Segment) -> None:
        self._db.execute(
            "DELETE FROM segments WHERE first_id = ? AND file = ?",
            (segment.first_id, segment.file),
        )
        remove_segment_file(self._path, segment.file)

    def _seal_group(self, ranges: Sequence[tuple[int, int]]) -> list[Segment]:
        names = self._promise(ranges)
        done = []
        read = self._rows_of(ranges)
        for seq_range, name, batch in zip(ranges, names, read, strict=True):
            segment = None
            if batch is not None and len(batch):
                segment = write_part(self._path, name, self._epoch, seq_range, batch)
            if segment is not None and self._keep(name, segment):
                finish_part(self._path, name, segment)
                self._on_segment(segment)
                done.append(segment)
            else:
                # Its rows were changed or deleted meanwhile: the next sealing sees to it.
                remove_segment_file(self._path, name)
        return done

    def _rows_of(self, ranges: Sequence[tuple[int, int]]) -> Iterator[pa.RecordBatch | None]:
        """Yield the rows of each range; None where there are none."""
        place, query = 0, HistoryQuery()
        if sum(last - first + 1 for first, last in ranges) >= PARALLEL_ROWS:
            try:
                for batch in scan_ranges(self._path, query, ranges):
                    yield batch
                    place += 1
                return
            except ScanFailed as error:
                logger.warning("%s is read by one process: %s", self._path, error)
        for first, last in ranges[place:]:
            scanner = Scanner(self._db, self._path, HISTORY_SCHEMA.names)
            seq_range = (first, last)
            yield next(scanner.batches(replace(query, seq_range=seq_range), last - first + 1), None)

    def _promise(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """Name ranges in the catalogue, so that the triggers see to them from now on."""
        names = [f"{first:015d}-{secrets.token_hex(8)}{PART}" for first, _ in ranges]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for (first, last), name in zip(ranges, names, strict=True):
                # What another sealing left behind; one that still runs will find its promise gone.
                self._db.execute(
                    "DELETE FROM segments WHERE first_id <= ? AND last_id >= ?", (last, first)
                )
                self._db.execute(
                    "INSERT INTO segments VALUES (?, ?, 0, 0, 0, 0, 0, ?)", (first, last, name)
                )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return names

    def _keep(self, name: str, segment: Segment) -> bool:
        """Name a segment in place of its promise; return whether that still stood."""
        kept = self._db.execute(
            "UPDATE segments SET n_rows = ?, n_bytes = ?, crc32 = ?, first_ts = ?, last_ts = ?, "
            "file = ? WHERE first_id = ? AND last_id = ? AND file = ?",
            (
                segment.n_rows,
                segment.n_bytes,
                segment.crc32,
                segment.first_ts,
                segment.last_ts,
                segment.file,
                segment.first_id,
                segment.last_id,
                name,
            ),
        )
        return kept.rowcount == 1


def main(argv: Sequence[str] | None = None) -> int:
    """Seal one database as a background process; return 0, or 1 where it could not."""
    parser = argparse.ArgumentParser(description="Seal the history of a database.")
    parser.add_argument("path")
    parser.add_argument("--nice", type=int, default=0, help="added to the niceness")
    arguments = parser.parse_args(argv)
    if arguments.nice and hasattr(os, "nice"):
        os.nice(arguments.nice)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        seal(arguments.path)
    except HtmlgraphError as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
