"""History of one source or several, each event once, as a table or DataFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidEvent
from ..storage.columnar.arrow_schema import DICTIONARY, HISTORY_SCHEMA
from ..storage.query import HistoryQuery
from .arguments import LoadingBar
from .frame_builder import SOURCE_NAME, build_frame, dtype_of
from .sources import HistoryResult, Sources, list_sources, query_source

_IDENTITY = (
    *("seq", "timestamp", "agent_id", "event_type", "session_id", "tool_name", "tool_use_id"),
    *("host", "source"),
)
"""Columns that identify a row without ``event_id``: one database has one row of a seq, and two
databases do not have equal rows of one seq and microsecond unless one is a copy of the other."""
READ_ROWS = 131_072
"""Most rows of a batch that is read."""


def query_sources(
    source: Sources, token: str | None, query: HistoryQuery, batch_rows: int
) -> tuple[HistoryResult, str | list[str]]:
    """Run a query on the sources of ``load_history``, one after the other.

    Of several sources each event is there once: a row whose ``event_id`` came before is a
    duplicate; of rows without one, those whose identifying columns are all equal. The first one is
    kept, and SOURCE_NAME says where it is from.

    Args:
        source, token: as for ``load_history``.
        batch_rows: most rows of a batch, except from a server.

    Returns:
        The result, and ``attrs["source"]`` of its DataFrame. Of several sources the result is not
        limited, and also has the columns that identify rows, and SOURCE_NAME.

    Errors are those of ``list_sources`` and ``query_source``.
    """
    named, several = list_sources(source)
    if not several:
        [location] = named.values()
        result = query_source(location, token, query, batch_rows)
        # With name filters the bound is much too high.
        return replace(result, max_rows=None) if query.value_filters else result, location
    columns = tuple(dict.fromkeys((*query.columns, "event_id", *_IDENTITY)))
    query = replace(query, columns=columns, limit=None)
    batches = _query_several(named, token, query, batch_rows)
    result = HistoryResult(batches, (*columns, SOURCE_NAME), False, "timestamp")
    return result, [*named.values()]


def _query_several(
    named: Mapping[str, str], token: str | None, query: HistoryQuery, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    seen = np.empty(0, np.uint64)
    for name, location in named.items():
        for batch in query_source(location, token, query, batch_rows).batches:
            keys = _row_keys(batch)
            _, first = np.unique(keys, return_index=True)
            is_new = np.zeros(len(keys), bool)
            is_new[first] = True
            is_new &= ~np.isin(keys, seen)
            seen = np.concatenate([seen, keys[is_new]])
            rows = batch if is_new.all() else batch.filter(pa.array(is_new))
            if len(rows):
                codes = np.zeros(len(rows), np.int32)
                names = pa.DictionaryArray.from_arrays(codes, pa.array([name], pa.string()))
                yield rows.append_column(SOURCE_NAME, names)


def _row_keys(batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
    """Return a hash of each row's identity; at ten million rows two hashes are equal by chance with
    a probability of 3 in a million."""
    texts = batch.column("event_id")
    if texts.null_count:
        columns = [batch.column(name) for name in _IDENTITY]
        plain = [
            column.cast(pa.int64() if pa.types.is_timestamp(column.type) else pa.string())
            for column in columns
        ]
        parts = [pc.fill_null(column.cast(pa.string()), "\0") for column in plain]
        texts = pc.coalesce(texts, pc.binary_join_element_wise(*parts, "\x1f"))
    values = texts.to_numpy(zero_copy_only=False)
    keys: npt.NDArray[np.uint64] = pd.util.hash_array(values, categorize=False)
    return keys


def wanted_columns(result: HistoryResult, query: HistoryQuery) -> list[str]:
    """Return the columns of the query, and SOURCE_NAME if the result has it."""
    return [name for name in result.columns if name in query.columns or name == SOURCE_NAME]


def read_rows(
    result: HistoryResult, limit: int | None, progress: bool | None
) -> Iterator[pa.RecordBatch]:
    """Yield the first rows of a result as it has them, with a progress bar.

    Args:
        limit: most rows. None: all.
        progress: as for ``load_history``.
    """
    left = limit
    with LoadingBar(progress, " rows", result.max_rows, "history") as bar:
        for batch in result.batches:
            part = batch.slice(0, left)
            yield part
            bar.update(len(part))
            left = None if left is None else left - len(part)
            if left == 0:
                return


def load_table(result: HistoryResult, query: HistoryQuery, progress: bool | None) -> pa.Table:
    """Return the rows of ``query_sources`` as a table, sorted and limited as in the query.

    Args:
        progress: as for ``load_history``.

    Returns:
        A table of ``select_schema(query.columns)``; of several sources SOURCE_NAME follows.
    """
    is_sorted = result.order_by is None
    schema = pa.schema(
        pa.field(SOURCE_NAME, DICTIONARY) if name == SOURCE_NAME else HISTORY_SCHEMA.field(name)
        for name in result.columns
    )
    batches = read_rows(result, query.limit if is_sorted else None, progress)
    table = pa.Table.from_batches(batches, schema).unify_dictionaries()
    if not is_sorted:
        table = table.take(pc.sort_indices(table, [(result.order_by, "ascending")]))
    if query.limit is not None:
        table = table.slice(0, query.limit)
    return table.select(wanted_columns(result, query))


def load_frame(
    result: HistoryResult, query: HistoryQuery, zone: str | tzinfo, progress: bool | None
) -> pd.DataFrame:
    """Return the rows of ``query_sources`` as a DataFrame, sorted and limited as in the query.

    Args:
        zone: time zone of ``timestamp``.
        progress: as for ``load_history``.

    Returns:
        The columns of ``wanted_columns``, and that by which the rows were sorted.
    """
    order_by, limit = result.order_by, query.limit
    columns = wanted_columns(result, query)
    if order_by is not None and order_by not in columns:
        columns.append(order_by)
    batches = read_rows(result, limit if order_by is None else None, progress)
    frame = build_frame(batches, columns, result.max_rows or 0, zone)
    if order_by is not None and not frame[order_by].is_monotonic_increasing:
        frame = frame.sort_values(order_by, kind="stable", ignore_index=True)
    if limit is not None and len(frame) > limit:
        frame = frame.head(limit).copy()
        for name in frame.columns:
            if dtype_of(name) == "category":
                frame[name] = frame[name].cat.remove_unused_categories()
    return frame


def table_in_zone(table: pa.Table, zone: str | tzinfo) -> pa.Table:
    """Return the table with ``timestamp`` in a time zone."""
    if "timestamp" not in table.column_names:
        return table
    index = table.column_names.index("timestamp")
    times = table.column(index).cast(pa.timestamp("us", tz=zone))
    return table.set_column(index, "timestamp", times)


def polars_of_table(table: pa.Table) -> Any:
    """Return a table as a polars DataFrame.

    Raises:
        InvalidEvent: polars is not installed.
    """
    try:
        import polars
    except ImportError:
        raise InvalidEvent(
            'to: "polars" needs polars, which is not installed: pip install polars', "to"
        ) from None
    return polars.from_arrow(table)
