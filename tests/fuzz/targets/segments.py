"""The index of sealed segments, and the bytes of their files."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import zlib
from contextlib import closing
from functools import cache
from typing import Any

from htmlgraph_nb.errors import SegmentError
from htmlgraph_nb.storage.columnar.arrow_schema import select_schema
from htmlgraph_nb.storage.columnar.segment_index import (
    Segment,
    find_gaps,
    is_segment_name,
    list_segments,
    plan_pieces,
    segment_folder,
)
from htmlgraph_nb.storage.columnar.segments import read_segment
from htmlgraph_nb.storage.query import HistoryQuery
from tests.fuzz.oracle import NOW, require
from tests.fuzz.targets import split_variant

EPOCH = "5f3a9c0de1b24a68"
"""Epoch of the database that the segments of the inputs belong to."""
_COLUMNS = "first_id, last_id, n_rows, n_bytes, crc32, first_ts, last_ts, file"
_QUERIES = (
    HistoryQuery(),
    HistoryQuery(columns=("timestamp", "agent_id", "extra", "root_agent_id"), newest_first=True),
    HistoryQuery(agents=("agent-1",), tools=("Bash",), since=NOW, limit=3),
    HistoryQuery(after_seq=3, seq_range=(2, 9), columns=("seq",)),
    HistoryQuery(until=NOW, after_seq=7, newest_first=True),
)


def run(data: bytes) -> None:
    """Read an index of any rows, or a file of any bytes whose checksum is right."""
    variant, body = split_variant(data, ("index", "file"))
    if variant == "index":
        _check_index(body)
    else:
        _check_file(body)


def _check_index(body: bytes) -> None:
    """Check that what is listed can be segments, in order and apart from each other."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE TABLE segments ({_COLUMNS})")
        for line in body.split(b"\n")[:50]:
            values = _values(line)
            if values is not None:
                db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        segments = list_segments(db)
    for before, segment in zip([None, *segments], segments, strict=False):
        require(is_segment_name(segment.file), "a name that is none of a segment")
        require(os.path.basename(segment.file) == segment.file, "a name with a folder")
        require(0 < segment.n_rows <= segment.last_id - segment.first_id + 1, "false rows")
        require(before is None or before.last_id < segment.first_id, "two overlap")
    for query in _QUERIES:
        require(len(plan_pieces(segments, query, 1_000)) <= 2 * len(segments) + 2, "many pieces")
    covered = sum(gap.last_id - gap.first_id + 1 for gap in find_gaps(segments, 1, 1_000))
    require(0 <= covered <= 1_000, "the gaps are larger than the range")


def _values(line: bytes) -> tuple[Any, ...] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    cells = [_cell(value) for value in values[:8]]
    return tuple(cells + [None] * (8 - len(cells)))


def _cell(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)[:100] if abs(value) < 10**300 else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return json.dumps(value) if isinstance(value, dict | list) else value


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="htmlgraph-fuzz-")


def _check_file(body: bytes) -> None:
    """Check that a file gives the rows that its schema and its index say, or SegmentError."""
    path = os.path.join(_folder().name, "a.db")
    os.makedirs(segment_folder(path), exist_ok=True)
    segment = Segment(1, 12, 12, len(body), zlib.crc32(body), 1, 2**62, "x.arrow")
    with open(os.path.join(segment_folder(path), segment.file), "wb") as file:
        file.write(body)
    for query in _QUERIES:
        try:
            batch = read_segment(path, EPOCH, segment, query)
        except SegmentError:
            continue
        require(batch.schema.equals(select_schema(query.columns)), "another schema")
        require(len(batch) <= segment.n_rows, "too many rows")
        batch.validate(full=True)
        batch.to_pylist()
