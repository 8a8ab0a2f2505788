"""Files of sealed segments: write one, and read the rows of a query from one.

A segment is an Arrow IPC file of one batch with zstd-compressed buffers
(https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format). Measured with a million rows,
all 24 columns, pyarrow 26: zstd takes 36 MB, 0.23 s to write and 0.11 s to read; lz4 71 MB, 0.26 s
and 0.04 s; uncompressed 170 MB; Parquet with zstd 37 MB, 0.8 s and 0.18 s. Building the DataFrame
takes much longer than decompression, so zstd halves the disk space at little cost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ...core.timestamps import to_micros
from ...errors import SegmentError
from ...paths import open_regular
from ..query import HistoryQuery
from ..schema import EARLIER_COLUMNS, HISTORY_COLUMNS, ROOT
from .arrow_schema import (
    DICTIONARY,
    HISTORY_SCHEMA,
    SOURCES_OF_ROOT,
    TIMESTAMP,
    missing_column,
    select_schema,
)
from .segment_index import SUFFIX, Segment, remove_segment_file, segment_folder

_EPOCH, _RANGE = b"htmlgraph.epoch", b"htmlgraph.range"
_SCHEMAS = [select_schema(columns) for columns in (HISTORY_COLUMNS, *EARLIER_COLUMNS)]
"""Schemas of segments, newest first; older ones lack the last columns."""
_UNREADABLE = (pa.ArrowException, OSError, LookupError, ValueError, MemoryError)
"""What pyarrow raises for a file whose metadata, lengths or texts are broken."""


def _metadata(epoch: str, first_id: int, last_id: int) -> dict[bytes, bytes]:
    return {_EPOCH: epoch.encode(), _RANGE: f"{first_id}-{last_id}".encode()}


def write_part(
    path: str, name: str, epoch: str, seq_range: tuple[int, int], batch: pa.RecordBatch
) -> Segment:
    """Write the rows of a range to a ``.part`` file and return its future segment.

    Args:
        path: the database file.
        name: name of the ``.part`` file.
        epoch: epoch of the database.
        seq_range: first and last seq of the range.
        batch: all rows of the range in order, of HISTORY_SCHEMA; at least one row.

    Raises:
        OSError: the file cannot be written.
    """
    table = pa.Table.from_batches([batch])
    for index, field in enumerate(table.schema):
        if field.type == DICTIONARY:
            # Keep only strings of these rows, so that strings of deleted rows do not survive here.
            column = table.column(index).cast(pa.string()).combine_chunks().dictionary_encode()
            table = table.set_column(index, field, column)
    schema = HISTORY_SCHEMA.with_metadata(_metadata(epoch, *seq_range))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        writer.write_batch(table.combine_chunks().cast(schema).to_batches()[0])
    body = sink.getvalue()
    times = pc.min_max(table["timestamp"].cast(pa.int64()))
    # The same permissions as the database.
    mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666
    folder = segment_folder(path)
    os.makedirs(folder, mode=mode | (mode & 0o444) >> 2, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    part = os.path.join(folder, name)
    try:
        with open(os.open(part, flags, mode), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        remove_segment_file(path, name)
        raise
    crc32 = zlib.crc32(body)
    first_id, last_id = seq_range
    return Segment(
        first_id,
        last_id,
        len(table),
        len(body),
        crc32,
        times["min"].as_py(),
        times["max"].as_py(),
        # Named by its checksum, so a name never refers to other content.
        f"{first_id:015d}-{last_id:015d}-{crc32:08x}{SUFFIX}",
    )


def finish_part(path: str, name: str, segment: Segment) -> None:
    """Rename a ``.part`` file to its final name, unless another process removed it."""
    folder = segment_folder(path)
    with contextlib.suppress(FileNotFoundError):
        os.replace(os.path.join(folder, name), os.path.join(folder, segment.file))


def read_segment(path: str, epoch: str, segment: Segment, query: HistoryQuery) -> pa.RecordBatch:
    """Return the rows of a segment that ``query`` selects, in its order; the limit is ignored.

    Raises:
        SegmentError: the file is missing, damaged, or of another range or database.
    """
    body = read_verified(path, epoch, segment)
    try:
        mask = _mask(body, segment, query)
        if mask is not None and not pc.any(mask).as_py():
            return _read_columns(body, segment, query.columns).slice(0, 0)
        batch = _read_columns(body, segment, query.columns)
        if mask is not None:
            batch = batch.filter(mask)
    except _UNREADABLE as error:
        # The checksum matches, so the file was written like this.
        raise SegmentError(f"not readable ({error})", damaged=True) from error
    if query.newest_first:
        batch = batch.take(pa.array(range(len(batch) - 1, -1, -1), pa.int64()))
    return batch


def read_verified(path: str, epoch: str, segment: Segment) -> pa.Buffer:
    """Return the content of a segment's file after checking it against the index.

    Raises:
        SegmentError: the file is missing, damaged, or of another range or database.
    """
    body = _read_file(os.path.join(segment_folder(path), segment.file), segment.n_bytes)
    if zlib.crc32(body) != segment.crc32:
        raise SegmentError("wrong checksum", damaged=True)
    buffer = pa.py_buffer(body)
    try:
        with pa.ipc.open_file(buffer) as reader:
            metadata = reader.schema.metadata or {}
            matches = any(reader.schema.equals(schema) for schema in _SCHEMAS)
            matches = matches and reader.num_record_batches == 1
    except _UNREADABLE as error:
        raise SegmentError(f"not an Arrow file ({error})", damaged=True) from error
    expected = _metadata(epoch, segment.first_id, segment.last_id)
    if not matches or any(metadata.get(key) != value for key, value in expected.items()):
        raise SegmentError("of another database, range or version", damaged=True)
    return buffer


def _read_file(path: str, n_bytes: int) -> bytes:
    """Return the content of a regular file of exactly this size."""
    try:
        # Not memory-mapped: truncating a mapped file crashes the process. A link in its place could
        # lead anywhere.
        with open_regular(path, follow=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size != n_bytes:
                raise SegmentError(f"expected {n_bytes} bytes, got {size}", damaged=True)
            body = file.read(n_bytes)
    except OSError as error:
        is_irregular = error.errno == errno.EINVAL
        raise SegmentError(error.strerror or str(error), damaged=is_irregular) from error
    if len(body) != n_bytes:
        raise SegmentError(f"expected {n_bytes} bytes, got {len(body)}", damaged=True)
    return body


def _read_columns(body: pa.Buffer, segment: Segment, columns: Sequence[str]) -> pa.RecordBatch:
    with pa.ipc.open_file(body) as reader:
        stored = reader.schema.names
    needed = {*columns, *(SOURCES_OF_ROOT if ROOT in columns and ROOT not in stored else ())}
    # One column at least: without any a batch has no rows.
    included = needed.intersection(stored) or {"seq"}
    options = pa.ipc.IpcReadOptions(included_fields=sorted(map(stored.index, included)))
    with pa.ipc.open_file(body, options=options) as reader:
        batch = reader.get_batch(0)
    # The checksum may be as false as the file, whose numbers may point beyond its buffers.
    batch.validate(full=True)
    if len(batch) != segment.n_rows:
        raise SegmentError(f"expected {segment.n_rows} rows, got {len(batch)}", damaged=True)
    schema = select_schema(columns)
    arrays = [
        batch.column(field.name) if field.name in stored else missing_column(field.name, batch)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _mask(body: pa.Buffer, segment: Segment, query: HistoryQuery) -> pa.Array | None:
    """Return which rows the query selects; None: all."""
    conditions: list[pa.Array] = []
    bounds, value_filters = _bounds(segment, query), query.value_filters
    names = [*bounds, *value_filters]
    if not names:
        return None
    batch = _read_columns(body, segment, names)
    for name, comparisons in bounds.items():
        column = batch.column(name)
        values = column.cast(pa.int64()) if column.type == TIMESTAMP else column
        for compare, bound in comparisons:
            conditions.append(pc.call_function(compare, [values, pa.scalar(bound, pa.int64())]))
    for name, strings in value_filters.items():
        column = batch.column(name)
        selected = pc.is_in(column.dictionary, value_set=pa.array(list(strings), pa.string()))
        conditions.append(pc.fill_null(pc.take(selected, column.indices), False))
    mask = conditions[0]
    for condition in conditions[1:]:
        mask = pc.and_(mask, condition)
    return mask


def _bounds(segment: Segment, query: HistoryQuery) -> Mapping[str, list[tuple[str, int]]]:
    """Return the comparisons that some rows of the segment may fail, by column."""
    bounds: dict[str, list[tuple[str, int]]] = {}
    if query.since is not None and to_micros(query.since) > segment.first_ts:
        bounds.setdefault("timestamp", []).append(("greater_equal", to_micros(query.since)))
    if query.until is not None and to_micros(query.until) <= segment.last_ts:
        bounds.setdefault("timestamp", []).append(("less", to_micros(query.until)))
    if query.newest_first and query.after_seq and query.after_seq <= segment.last_id:
        bounds.setdefault("seq", []).append(("less", query.after_seq))
    if not query.newest_first and query.after_seq >= segment.first_id:
        bounds.setdefault("seq", []).append(("greater", query.after_seq))
    if query.seq_range is not None:
        first, last = query.seq_range
        if first > segment.first_id:
            bounds.setdefault("seq", []).append(("greater_equal", first))
        if last < segment.last_id:
            bounds.setdefault("seq", []).append(("less_equal", last))
    return bounds
