"""Parquet, Arrow and CSV files of history, as Arrow batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import StoreDamaged, StoreUnavailable
from ..storage.columnar.arrow_schema import (
    DICTIONARY,
    HISTORY_SCHEMA,
    SOURCES_OF_ROOT,
    missing_column,
    select_schema,
)
from ..storage.query import HistoryQuery
from ..storage.schema import HISTORY_COLUMNS, OPTIONAL_COLUMNS, ROOT

_MAGIC = {b"PAR1": "parquet", b"ARRO": "feather"}
_SUFFIXES = {
    ".parquet": "parquet",
    ".arrow": "feather",
    ".feather": "feather",
    ".csv": "csv",
    ".csv.gz": "csv",
}
_DATABASE_MAGIC = b"SQLi"
_DATABASE_SUFFIXES = ("", ".db", ".db3", ".sqlite", ".sqlite3")
_READABLE = "a database, or a file that ends in .parquet, .arrow, .feather, .csv or .csv.gz"


def file_format(path: str) -> str | None:
    """Return the format of a file or of the files in a folder; None: a database or no file.

    Raises:
        StoreUnavailable: a folder without such files.
        StoreDamaged: a file of another format.
    """
    if os.path.isdir(path):
        names = [name for _, _, names in os.walk(path) for name in names]
        formats = [kind for name in names if (kind := _format_of_name(name)) is not None]
        if formats:
            return formats[0]
        raise StoreUnavailable(
            f"{path} is a folder without .parquet, .arrow or .csv files; pass a database file, or "
            "a folder written by htmlgraph-nb export"
        )
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError:
        # Opening it as a database reports the error.
        return None
    kind = _MAGIC.get(magic) or _format_of_name(path)
    suffix = os.path.splitext(path)[1].lower()
    if kind is None and magic not in (b"", _DATABASE_MAGIC) and suffix not in _DATABASE_SUFFIXES:
        raise StoreDamaged(
            f"{path}: expected {_READABLE}; for a session file of a coding agent use "
            "load_transcripts"
        )
    # A database keeps its format, whatever its name.
    return None if magic == _DATABASE_MAGIC else kind


def _files_below(folder: str) -> list[str]:
    paths = (os.path.join(part, name) for part, _, names in os.walk(folder) for name in names)
    return sorted(path for path in paths if _format_of_name(path) is not None)


def _format_of_name(name: str) -> str | None:
    kinds = (kind for suffix, kind in _SUFFIXES.items() if name.lower().endswith(suffix))
    return next(kinds, None)


class HistoryFiles:
    """A file, or the files in a folder, opened for one query.

    Args:
        path: the file or folder.
        kind: as ``file_format`` returns it.
        query: filters and columns; the order and limit are left to the caller.

    Raises:
        StoreDamaged: a column is missing, or the files cannot be read.
    """

    def __init__(self, path: str, kind: str, query: HistoryQuery) -> None:
        # Imported here because it is slow to load.
        import pyarrow.dataset as ds

        self._path, self._is_csv = path, kind == "csv"
        try:
            format_ = _csv_format() if kind == "csv" else kind
            self._files = ds.dataset(path, format=format_, partitioning="hive")
            if not self._files.schema.names and os.path.isdir(path):
                # Datasets ignore names that begin with _, such as that of an export without rows.
                self._files = ds.dataset(_files_below(path), format=format_)
            stored = self._files.schema.names
            order = next((name for name in ("seq", "timestamp") if name in stored), None)
            is_sorted = order is None or (kind == "parquet" and self._are_sorted_by(order))
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        self.order_by = None if is_sorted else order
        """The column by which rows are to be sorted; None: they are, or the files have no order."""
        added = () if self.order_by is None else (self.order_by,)
        self.columns = tuple(dict.fromkeys((*query.columns, *added)))
        """The columns of the query, and ``order_by``."""
        self._query = replace(query, columns=self.columns)
        self._check_columns(stored)

    def _are_sorted_by(self, column: str) -> bool:
        """Return whether the metadata of Parquet files says that all rows are sorted by a column.

        ``sorting_columns`` is the order in each row group, and the statistics that of the groups
        (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
        """
        last = None
        for fragment in self._files.get_fragments():
            names = fragment.metadata.schema.names
            for number in range(fragment.metadata.num_row_groups):
                group = fragment.metadata.row_group(number)
                first_order = next(iter(group.sorting_columns), None)
                if first_order is None or names[first_order.column_index] != column:
                    return False
                bounds = group.column(first_order.column_index).statistics
                if first_order.descending or bounds is None or not bounds.has_min_max:
                    return False
                if last is not None and bounds.min < last:
                    return False
                last = bounds.max
        return True

    def _check_columns(self, stored: Sequence[str]) -> None:
        query = self._query
        times = ("timestamp",) if query.since is not None or query.until is not None else ()
        needed = {*query.columns, *query.value_filters, *times}
        missing = [
            name
            for name in HISTORY_COLUMNS
            if name in needed - {*stored} and name not in OPTIONAL_COLUMNS
        ]
        if missing:
            known = [name for name in stored if name in HISTORY_COLUMNS]
            hint = f"; select those that it has with columns={known}" if known else ""
            raise StoreDamaged(
                f"{self._path}: expected the columns of history, missing {', '.join(missing)}; it "
                f"has {', '.join(stored)[:200]}{hint}"
            )

    @property
    def max_rows(self) -> int | None:
        """Number of rows; None: only reading tells."""
        return None if self._query.is_filtered else int(self._files.count_rows())

    def batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the query, at most ``batch_rows`` at a time, in order of the files.

        Raises:
            StoreDamaged: the files cannot be read.
        """
        stored = self._files.schema.names
        needed = dict.fromkeys(self.columns)
        if ROOT in needed and ROOT not in stored:
            needed |= dict.fromkeys(SOURCES_OF_ROOT)
        try:
            batches = self._files.to_batches(
                columns=[name for name in needed if name in stored],
                filter=filter_of(self._query, self._files.schema, is_csv=self._is_csv),
                batch_size=batch_rows,
                # Threads decode these while the caller uses the previous one.
                batch_readahead=2,
                fragment_readahead=1,
            )
            for batch in batches:
                if len(batch):
                    rows = _without_quotes(batch) if self._is_csv else batch
                    yield conform_batch(rows, self.columns)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StoreDamaged:
        return StoreDamaged(
            f"{self._path}: cannot read it as Parquet, Arrow or CSV files of history: {error}"
        )


def filter_of(
    query: HistoryQuery, schema: pa.Schema, *, is_csv: bool = False
) -> pc.Expression | None:
    """Return the times and names of a query as a filter of rows of a schema; None: all rows.

    Args:
        is_csv: the rows are those of ``quote_formulas``.
    """
    parts = []
    time = pc.field("timestamp")
    if query.since is not None:
        parts.append(time >= pa.scalar(query.since, schema.field("timestamp").type))
    if query.until is not None:
        parts.append(time < pa.scalar(query.until, schema.field("timestamp").type))
    for name, values in query.value_filters.items():
        if name not in schema.names:
            # A column that files of older versions do not have is null in all rows.
            parts.append(pc.scalar(False))
            continue
        kind, field = schema.field(name).type, pc.field(name)
        if pa.types.is_dictionary(kind):
            kind, field = kind.value_type, field.cast(kind.value_type)
        wanted = pa.array(list(values), kind)
        parts.append(field.isin(quote_formulas(wanted) if is_csv else wanted))
    return reduce(and_, parts) if parts else None


CSV_TEXTS = frozenset(
    field.name for field in HISTORY_SCHEMA if field.type in (DICTIONARY, pa.string())
)
"""Columns of text in CSV."""


def quote_formulas(texts: pa.Array) -> pa.Array:
    """Return texts in which those that begin as a formula begin with an apostrophe.

    Programs for spreadsheets compute such cells. Texts that begin with an apostrophe get another
    one, so that ``load_history`` can undo it.
    """
    return pc.replace_substring_regex(texts, r"^(['=+\-@\t\r])", r"'\1")


def _without_quotes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch as it was before ``quote_formulas``."""
    columns = [
        pc.replace_substring_regex(column, r"^'(['=+\-@\t\r])", r"\1")
        if name in CSV_TEXTS
        else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _csv_format() -> Any:
    """Return the format of CSV as ``export_history`` and pandas write it."""
    import pyarrow.csv as pacsv
    import pyarrow.dataset as ds

    types = {
        field.name: pa.string() if field.type == DICTIONARY else field.type
        for field in HISTORY_SCHEMA
    }
    return ds.CsvFileFormat(
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def conform_batch(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return the columns of a batch, cast to the types of HISTORY_SCHEMA.

    Raises:
        pyarrow.ArrowException: a value cannot be cast to the type of its column.
    """
    schema = select_schema(columns)
    arrays = []
    for name in columns:
        kind = schema.field(name).type
        if name in OPTIONAL_COLUMNS and name not in batch.schema.names:
            arrays.append(missing_column(name, batch))
            continue
        array = batch.column(name)
        if kind == DICTIONARY and not pa.types.is_dictionary(array.type):
            array = array.cast(pa.string()).dictionary_encode()
        arrays.append(array if array.type == kind else array.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
