"""Write missing sealed segments of a database; ``python -m`` runs it as a background process.

A group of segments takes three short transactions, and none is open while rows are read, so a
writer never waits long: reserve the ranges in the index; read the rows and write ``.part`` files;
replace each reservation that still exists by its segment. If a row of a reserved range changes
meanwhile, the triggers that guard finished segments delete the reservation.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import repeat

import pyarrow as pa

from ...errors import HtmlgraphError, SegmentError, StoreUnavailable
from ..database import BUSY_TIMEOUT_S, open_reader, open_writer, sqlite_errors
from ..decision_fill import fill_decisions
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
    remove_segment_file,
    unsealed_ranges,
)
from .segments import finish_part, read_verified, write_part

logger = logging.getLogger(__name__)

_GROUP = 32
"""Most ranges that are reserved at once."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """Result of one ``seal``.

    Attributes:
        n_segments, n_rows, n_bytes: totals of the written segments.
        n_unusable: segments whose file was missing or damaged.
        n_removed: removed files that belonged to no segment.
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

    Store missing status decisions first. Write a segment for every ``segment_rows`` unsealed rows,
    replace segments whose file is missing or has another size, and remove files that are not in the
    index.

    Args:
        path: an existing database file.
        segment_rows: rows of a segment.
        verify: also read every file and compare its checksum.
        on_segment: called with each written segment.

    Raises:
        StoreUnavailable: the file is missing or locked, or its folder cannot be written.
        StoreDamaged: the file is not a valid database of this program.
        StoreTooNew: a newer version wrote the file.
    """
    open_reader(path).close()
    with closing(open_writer(os.path.abspath(path), "NORMAL", BUSY_TIMEOUT_S)) as db:
        # The writer of events checkpoints the log, or the last connection that closes.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            with sqlite_errors(path):
                fill_decisions(db)
                return _Sealing(db, path, segment_rows, on_segment).run(verify)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot write segments of {path}: {error.strerror or error}"
            ) from error


class _Sealing:
    """One run of ``seal``; arguments as there."""

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
            logger.warning("segment %s of %s: writing it again", segment.file, self._path)
            self._delete(segment)
        removed = orphans(self._path, self._db)
        for orphan in removed:
            remove_segment_file(self._path, os.path.basename(orphan))
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
        unusable = invalid_segments(self._path, segments)
        for segment in segments if verify else ():
            try:
                read_verified(self._path, self._epoch, segment)
            except SegmentError as error:
                logger.warning("segment %s: %s", segment.file, error)
                if segment not in unusable:
                    unusable.append(segment)
        return unusable

    def _delete(self, segment: Segment) -> None:
        self._db.execute(
            "DELETE FROM segments WHERE first_id = ? AND file = ?",
            (segment.first_id, segment.file),
        )
        remove_segment_file(self._path, segment.file)

    def _seal_group(self, ranges: Sequence[tuple[int, int]]) -> list[Segment]:
        sealed = []
        names = self._reserve(ranges)
        many = sum(last - first + 1 for first, last in ranges) >= PARALLEL_ROWS
        batches = (
            scan_ranges(self._path, HistoryQuery(), ranges) if many else repeat(None, len(ranges))
        )
        for seq_range, name, batch in zip(ranges, names, batches, strict=True):
            segment = self._write_part(seq_range, name, batch)
            if segment is not None and self._commit(name, segment):
                finish_part(self._path, name, segment)
                self._on_segment(segment)
                sealed.append(segment)
            else:
                # Its rows changed or were deleted meanwhile; the next run seals the rest.
                remove_segment_file(self._path, name)
        return sealed

    def _write_part(
        self, seq_range: tuple[int, int], name: str, raw_batch: pa.RecordBatch | None
    ) -> Segment | None:
        """Write the rows of a range to a ``.part`` file; None if there are no rows.

        Args:
            raw_batch: the rows, as ``scan_ranges`` yields them; None: read them from SQLite.
        """
        first, last = seq_range
        # A scanner per segment, so that its dictionaries hold no strings of other segments.
        scanner = Scanner(self._db, self._path, HISTORY_SCHEMA.names)
        if raw_batch is None:
            query = HistoryQuery(seq_range=seq_range)
            batch = next(scanner.batches(query, last - first + 1), None)
        else:
            batch = scanner.encode(raw_batch)
        if not batch:
            return None
        return write_part(self._path, name, self._epoch, seq_range, batch)

    def _reserve(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """Add reservations to the index, which the triggers guard from now on."""
        names = [f"{first:015d}-{secrets.token_hex(8)}{PART}" for first, _ in ranges]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for (first, last), name in zip(ranges, names, strict=True):
                # Reservations of another run, which detects that they are missing.
                self._db.execute(
                    "DELETE FROM segments WHERE first_id <= ? AND last_id >= ?", (last, first)
                )
                self._db.execute(
                    "INSERT INTO segments VALUES (?, ?, 0, 0, 0, 0, 0, ?)", (first, last, name)
                )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return names

    def _commit(self, name: str, segment: Segment) -> bool:
        """Replace a reservation by its segment; return whether the reservation still existed."""
        updated = self._db.execute(
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
        return updated.rowcount == 1


def main(argv: Sequence[str] | None = None) -> int:
    """Seal one database as a background process; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(description="Seal the history of a database.")
    parser.add_argument("path")
    parser.add_argument("--nice", type=int, default=0, help="added to the niceness")
    arguments = parser.parse_args(argv)
    if arguments.nice and hasattr(os, "nice"):
        os.nice(arguments.nice)
    logging.basicConfig(format="%(levelname)s sealing: %(message)s")
    try:
        seal(arguments.path)
    except HtmlgraphError as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
