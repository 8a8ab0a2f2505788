"""Write history to one file: Parquet, Arrow IPC, CSV or gzipped CSV."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ..storage.columnar.arrow_schema import DICTIONARY, TIMESTAMP, select_schema
from ..storage.query import HistoryQuery
from .file_sources import CSV_TEXTS, quote_formulas

Writer = Callable[[str, HistoryQuery, Iterator[pa.RecordBatch]], None]

_GROUP_ROWS = 262_144
"""Rows of a row group, the unit that readers of Parquet skip by its statistics."""


def group_batches(batches: Iterator[pa.RecordBatch], n_rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Yield lists of consecutive batches with at least ``n_rows`` rows, except the last list."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= n_rows:
            yield group
            group = []
    if group:
        yield group


def parquet_options(query: HistoryQuery) -> dict[str, Any]:
    """Return the options of a Parquet writer for the rows of a query.

    The files declare their order (``sorting_columns``), so that a reader need not sort the rows.
    """
    schema, order = (
        select_schema(query.columns),
        "descending" if query.newest_first else "ascending",
    )
    by_seq = [("seq", order)] if "seq" in query.columns else []
    sorting = pq.SortingColumn.from_ordering(schema, by_seq)
    return {"compression": "zstd", "sorting_columns": sorting or None}


def _write_parquet(path: str, query: HistoryQuery, batches: Iterator[pa.RecordBatch]) -> None:
    schema = select_schema(query.columns)
    with pq.ParquetWriter(path, schema, **parquet_options(query)) as writer:
        for group in group_batches(batches, _GROUP_ROWS):
            writer.write_table(pa.Table.from_batches(group).unify_dictionaries())


def _write_arrow(path: str, query: HistoryQuery, batches: Iterator[pa.RecordBatch]) -> None:
    # An Arrow IPC file has one dictionary per column, and not all readers support deltas. Plain
    # strings are as small after compression.
    flat = _replace_types(select_schema(query.columns), {DICTIONARY: pa.string()})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, flat, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(flat))


def _write_csv(path: str, query: HistoryQuery, batches: Iterator[pa.RecordBatch]) -> None:
    with open(path, "wb") as file:
        _write_rows(file, query, batches)


def _write_csv_gz(path: str, query: HistoryQuery, batches: Iterator[pa.RecordBatch]) -> None:
    with gzip.open(path, "wb", 6) as file:
        _write_rows(file, query, batches)


def _write_rows(file: Any, query: HistoryQuery, batches: Iterator[pa.RecordBatch]) -> None:
    flat = _replace_types(
        select_schema(query.columns), {DICTIONARY: pa.string(), TIMESTAMP: pa.string()}
    )
    with pacsv.CSVWriter(file, flat) as writer:
        for batch in batches:
            columns = [
                pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
                if column.type == TIMESTAMP
                else column
                for column in batch.columns
            ]
            columns = [column.cast(field.type) for column, field in zip(columns, flat, strict=True)]
            columns = [
                quote_formulas(column) if name in CSV_TEXTS else column
                for name, column in zip(query.columns, columns, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


def _replace_types(schema: pa.Schema, types: dict[pa.DataType, pa.DataType]) -> pa.Schema:
    """Return the schema with some types replaced."""
    return pa.schema(field.with_type(types.get(field.type, field.type)) for field in schema)


WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
    ".csv": _write_csv,
    ".csv.gz": _write_csv_gz,
}
"""Writers by the suffix of the file name."""
