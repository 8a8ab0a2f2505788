"""Writers of one file of history each: Parquet, Arrow IPC, CSV and CSV compressed by gzip."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ..storage.columnar.arrow_schema import DICTIONARY, TIMESTAMP

Writer = Callable[[str, pa.Schema, Iterator[pa.RecordBatch]], None]

_GROUP_ROWS = 262_144
"""Rows of a row group, which is what readers of Parquet skip by its statistics."""


def _write_parquet(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting).unify_dictionaries())
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting).unify_dictionaries())


def _write_arrow(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    # A file of Arrow IPC has one dictionary a column from its beginning, and not every reader knows
    # those that grow: plain text, which compression makes as small.
    flat = _flat(schema, {DICTIONARY: pa.string()})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, flat, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(flat))


def _write_csv(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with open(path, "wb") as file:
        _write_rows(file, schema, batches)


def _write_csv_gz(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with gzip.open(path, "wb", 6) as file:
        _write_rows(file, schema, batches)


def _write_rows(file: Any, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    flat = _flat(schema, {DICTIONARY: pa.string(), TIMESTAMP: pa.string()})
    with pacsv.CSVWriter(file, flat) as writer:
        for batch in batches:
            columns = [
                pc.strftime(one, format="%Y-%m-%dT%H:%M:%SZ") if one.type == TIMESTAMP else one
                for one in batch.columns
            ]
            columns = [one.cast(field.type) for one, field in zip(columns, flat, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


def _flat(schema: pa.Schema, kinds: dict[pa.DataType, pa.DataType]) -> pa.Schema:
    """Return the schema with other types in place of some."""
    return pa.schema(field.with_type(kinds.get(field.type, field.type)) for field in schema)


WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
    ".csv": _write_csv,
    ".csv.gz": _write_csv_gz,
}
"""What writes a file of a name with this end."""
