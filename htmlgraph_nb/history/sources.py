"""Sources of history: a database, a server, and Parquet or Arrow files, all as Arrow batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..client.discovery import candidates
from ..client.rest import Rest
from ..errors import StoreDamaged, StoreUnavailable
from ..paths import default_db, running_server
from ..storage.columnar.arrow_schema import (
    DICTIONARY,
    SOURCES_OF_ROOT,
    missing_column,
    select_schema,
)
from ..storage.columnar.reader import max_row_count, read_batches
from ..storage.query import HistoryQuery
from ..storage.schema import HISTORY_COLUMNS, OPTIONAL_COLUMNS, ROOT

URL_SCHEMES = ("http://", "https://", "ws://", "wss://")
"""Prefixes of sources that are servers; all others are paths."""
_FORMATS = {b"PAR1": "parquet", b"ARRO": "feather"}
_SUFFIXES = {".parquet": "parquet", ".arrow": "feather", ".feather": "feather"}


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """The rows of one query.

    Attributes:
        batches: batches of ``select_schema(columns)``.
        columns: the columns of the query, and ``seq`` if ``in_order`` is false.
        in_order: whether the rows are sorted and limited as in the query; otherwise the caller has
            to do so.
        max_rows: upper bound of the number of rows; None: unknown.
    """

    batches: Iterator[pa.RecordBatch]
    columns: tuple[str, ...]
    in_order: bool = True
    max_rows: int | None = None


def resolve_source(source: str | os.PathLike[str] | None) -> str:
    """Return the path or URL of a source.

    Args:
        source: a path or URL. None: ``HTMLGRAPH_URL``, else the database of the server running on
            this machine, else the default database.
    """
    if source is not None:
        return os.fspath(source)
    if os.environ.get("HTMLGRAPH_URL"):
        return os.environ["HTMLGRAPH_URL"]
    path = running_server().get("db", "")
    return path if path and os.path.exists(path) else default_db()


def query_source(
    location: str, token: str | None, query: HistoryQuery, batch_rows: int
) -> HistoryResult:
    """Run a query on a source; no row is read before the first batch is requested.

    Args:
        location: path or URL of the source.
        token: secret of the server; None: look it up.
        batch_rows: most rows of a batch, except from a server.

    Raises:
        StoreUnavailable: the file does not exist or cannot be read.
        StoreDamaged, StoreTooNew: the file has no history, or a newer version wrote it.
    """
    if location.startswith(URL_SCHEMES):
        rest = Rest(lambda: candidates(location, token))
        return HistoryResult(_server_batches(rest, query), tuple(query.columns))
    kind = _columnar_format(location)
    if kind is not None:
        return _query_files(location, kind, query, batch_rows)
    max_rows = max_row_count(location, query)
    batches = read_batches(location, query, batch_rows=batch_rows)
    return HistoryResult(batches, tuple(query.columns), max_rows=max_rows)


def _server_batches(rest: Rest, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
    """Yield the rows from a server; it does not support ``after_seq``, which is applied here."""
    if not query.after_seq:
        yield from rest.history_batches(query)
        return
    left = query.limit
    for batch in rest.history_batches(replace(query, after_seq=0, limit=None)):
        rows = batch.filter(pc.greater(batch.column("seq"), query.after_seq))
        part = rows if left is None else rows.slice(0, left)
        left = None if left is None else left - len(part)
        if len(part):
            yield part
        if left == 0:
            return


def _columnar_format(path: str) -> str | None:
    """Return the format of a file or of the files in a folder; None: a database or no file."""
    if os.path.isdir(path):
        for _, _, names in os.walk(path):
            for name in names:
                if os.path.splitext(name)[1] in _SUFFIXES:
                    return _SUFFIXES[os.path.splitext(name)[1]]
        raise StoreUnavailable(
            f"{path} is a folder without .parquet or .arrow files; pass a database file, or a "
            "folder written by htmlgraph-nb export"
        )
    try:
        with open(path, "rb") as file:
            return _FORMATS.get(file.read(4))
    except OSError:
        # Opening it as a database reports the error.
        return None


def _query_files(path: str, kind: str, query: HistoryQuery, batch_rows: int) -> HistoryResult:
    # Imported here because it is slow to load.
    import pyarrow.dataset as ds

    try:
        files = ds.dataset(path, format=kind, partitioning="hive")
    except (pa.ArrowException, OSError) as error:
        raise _not_history(path, error) from error
    columns = (*query.columns, *(("seq",) if "seq" not in query.columns else ()))
    needed = {*columns, *query.value_filters, "timestamp"}
    missing = [
        name
        for name in HISTORY_COLUMNS
        if name in needed - {*files.schema.names} and name not in OPTIONAL_COLUMNS
    ]
    if missing:
        raise StoreDamaged(
            f"{path}: expected the columns of history, missing {', '.join(missing)}; it has "
            f"{', '.join(files.schema.names)[:200]}"
        )
    batches = _file_batches(path, files, replace(query, columns=columns), batch_rows)
    return HistoryResult(batches, columns, in_order=False)


def _file_batches(
    path: str, files: Any, query: HistoryQuery, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    stored = files.schema.names
    needed = dict.fromkeys(query.columns)
    if ROOT in needed and ROOT not in stored:
        needed |= dict.fromkeys(SOURCES_OF_ROOT)
    try:
        batches = files.to_batches(
            columns=[name for name in needed if name in stored],
            filter=_expression(query, files.schema),
            batch_size=batch_rows,
            batch_readahead=2,
            fragment_readahead=1,
            # Each thread keeps the memory that it allocated; one thread bounds the use.
            use_threads=False,
        )
        for batch in batches:
            if len(batch):
                yield conform_batch(batch, query.columns)
    except (pa.ArrowException, OSError) as error:
        raise _not_history(path, error) from error


def _not_history(path: str, error: Exception) -> StoreDamaged:
    return StoreDamaged(f"{path}: cannot read it as Parquet or Arrow files of history: {error}")


def _expression(query: HistoryQuery, schema: pa.Schema) -> Any:
    """Return the filters of a query as an expression of Arrow datasets; None: all rows."""
    parts = []
    time = pc.field("timestamp")
    if query.since is not None:
        parts.append(time >= pa.scalar(query.since, schema.field("timestamp").type))
    if query.until is not None:
        parts.append(time < pa.scalar(query.until, schema.field("timestamp").type))
    for name, values in query.value_filters.items():
        kind, field = schema.field(name).type, pc.field(name)
        if pa.types.is_dictionary(kind):
            kind, field = kind.value_type, field.cast(kind.value_type)
        parts.append(field.isin(pa.array(list(values), kind)))
    return reduce(and_, parts) if parts else None


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
