"""Where history comes from: a database, a server, Parquet or Arrow files. Each as Arrow batches."""

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
from ..storage.columnar.arrow_schema import DICTIONARY, select_schema
from ..storage.columnar.reader import max_row_count, read_batches
from ..storage.query import HistoryQuery
from ..storage.schema import DECISION, HISTORY_COLUMNS
from .place import SCHEMES

_FORMATS = {b"PAR1": "parquet", b"ARRO": "feather"}
_SUFFIXES = {".parquet": "parquet", ".arrow": "feather", ".feather": "feather"}


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """The rows of one query.

    Attributes:
        batches: of ``select_schema(columns)``; a query with ``after_seq`` has ``seq`` among them.
        columns: those of the query, and ``seq`` where they are not in order.
        in_order: whether they come in the query's order and up to its limit; else both are left to
            the reader.
        most_rows: no more rows than this; None: not known.
    """

    batches: Iterator[pa.RecordBatch]
    columns: tuple[str, ...]
    in_order: bool = True
    most_rows: int | None = None


def query_source(
    place: str, token: str | None, query: HistoryQuery, batch_rows: int
) -> HistoryResult:
    """Return what a source answers to a query; nothing is read before its first batch.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: a file that is missing, or is none of history.
    """
    if place.startswith(SCHEMES):
        rest = Rest(lambda: candidates(place, token))
        return HistoryResult(_batches_of_server(rest, query), tuple(query.columns))
    kind = _columnar_format(place)
    if kind is not None:
        return _answer_of_files(place, kind, query, batch_rows)
    most = max_row_count(place, query)
    batches = read_batches(place, query, batch_rows=batch_rows)
    return HistoryResult(batches, tuple(query.columns), most_rows=most)


def _batches_of_server(rest: Rest, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
    """Yield a server's answer; rows up to ``after_seq``, of which it knows nothing, are dropped."""
    if not query.after_seq:
        yield from rest.history_batches(query)
        return
    left = query.limit
    for batch in rest.history_batches(replace(query, after_seq=0, limit=None)):
        beyond = batch.filter(pc.greater(batch.column("seq"), query.after_seq))
        part = beyond if left is None else beyond.slice(0, left)
        left = None if left is None else left - len(part)
        if len(part):
            yield part
        if left == 0:
            return


def _columnar_format(path: str) -> str | None:
    """Return the format of a file or of the files of a folder; None: a database, or nothing yet."""
    if os.path.isdir(path):
        for _, _, names in os.walk(path):
            for name in names:
                if os.path.splitext(name)[1] in _SUFFIXES:
                    return _SUFFIXES[os.path.splitext(name)[1]]
        raise StoreUnavailable(
            f"{path} is a folder without .parquet or .arrow files; name a database file, or a "
            "folder that htmlgraph-nb export made"
        )
    try:
        with open(path, "rb") as file:
            return _FORMATS.get(file.read(4))
    except OSError:
        # The opening proper says why.
        return None


def _answer_of_files(path: str, kind: str, query: HistoryQuery, batch_rows: int) -> HistoryResult:
    # Loads pandas where it is installed, and takes a while.
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
        if name in needed - {*files.schema.names} and name not in DECISION
    ]
    if missing:
        raise StoreDamaged(
            f"{path} lacks the columns {', '.join(missing)} of history; it has "
            f"{', '.join(files.schema.names)[:200]}"
        )
    asked = replace(query, columns=columns)
    return HistoryResult(_batches_of_files(path, files, asked, batch_rows), columns, in_order=False)


def _batches_of_files(
    path: str, files: Any, query: HistoryQuery, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    try:
        found = files.to_batches(
            columns=[name for name in query.columns if name in files.schema.names],
            filter=_expression(query, files.schema),
            batch_size=batch_rows,
            batch_readahead=2,
            fragment_readahead=1,
            # Each thread keeps memory that it once had: of bounded use is one.
            use_threads=False,
        )
        for batch in found:
            if len(batch):
                yield conform_batch(batch, query.columns)
    except (pa.ArrowException, OSError) as error:
        raise _not_history(path, error) from error


def _not_history(path: str, error: Exception) -> StoreDamaged:
    return StoreDamaged(f"{path} cannot be read as Parquet or Arrow files of history: {error}")


def _expression(query: HistoryQuery, schema: pa.Schema) -> Any:
    """Return a query's conditions as an expression of Arrow datasets; None: all rows."""
    parts = []
    time = pc.field("timestamp")
    if query.since is not None:
        parts.append(time >= pa.scalar(query.since, schema.field("timestamp").type))
    if query.until is not None:
        parts.append(time < pa.scalar(query.until, schema.field("timestamp").type))
    for name, texts in query.value_filters.items():
        kind = schema.field(name).type
        text = kind.value_type if pa.types.is_dictionary(kind) else kind
        field = pc.field(name).cast(text) if pa.types.is_dictionary(kind) else pc.field(name)
        parts.append(field.isin(pa.array(list(texts), text)))
    return reduce(and_, parts) if parts else None


def conform_batch(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return a batch with the types of HISTORY_SCHEMA, whichever program wrote it.

    Raises:
        pyarrow.ArrowException: a value has no place in the type of its column.
    """
    schema = select_schema(columns)
    arrays = []
    for name in columns:
        kind = schema.field(name).type
        if name in DECISION and name not in batch.schema.names:
            arrays.append(pa.nulls(len(batch), kind))
            continue
        array = batch.column(name)
        if kind == DICTIONARY and not pa.types.is_dictionary(array.type):
            array = array.cast(pa.string()).dictionary_encode()
        arrays.append(array if array.type == kind else array.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
