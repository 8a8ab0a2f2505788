"""History as an Arrow table, from one source or several, each event once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidEvent
from ..storage.columnar.arrow_schema import select_schema
from ..storage.query import HistoryQuery
from .arguments import LoadingBar
from .frame_builder import FrameBuilder
from .sources import query_source

SOURCE_NAME = "source_name"
"""Column of frames of several sources: which of them the row is from."""
_IDENTITY = (
    *("seq", "timestamp", "agent_id", "event_type", "session_id", "tool_name", "tool_use_id"),
    *("host", "source"),
)
"""Columns that identify a row without ``event_id``: one database has one row of a seq, and two
databases do not have equal rows of one seq and microsecond unless one is a copy of the other."""
READ_ROWS = 131_072
"""Most rows of a batch that is read."""


def query_several(
    named: Mapping[str, str], token: str | None, query: HistoryQuery, batch_rows: int
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of several sources with the name of their source, one source after the other.

    A row whose ``event_id`` came before is a duplicate; of rows without one, those whose
    identifying columns are all equal. The first one is kept. The limit of the query is ignored.
    Batches have the columns of the query and those that identify rows.

    Errors are those of ``query_source``.
    """
    columns = tuple(dict.fromkeys((*query.columns, "event_id", *_IDENTITY)))
    query = replace(query, columns=columns, limit=None)
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
                yield name, rows


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


def load_table(
    named: Mapping[str, str],
    several: bool,
    token: str | None,
    query: HistoryQuery,
    progress: bool | None,
) -> pa.Table:
    """Return the rows of a query as a table of ``select_schema(query.columns)``.

    Args:
        named: paths and URLs by name.
        several: whether to drop duplicates, sort by time and add SOURCE_NAME.
        token, progress: as for ``load_history``.

    Errors are those of ``query_source``.
    """
    sizes: list[tuple[str, int]] = []
    batches: list[pa.RecordBatch] = []
    order_by: str | None = "timestamp" if several else None
    columns = tuple(query.columns)
    with LoadingBar(progress, " rows", None, "history") as bar:
        if several:
            parts = query_several(named, token, query, READ_ROWS)
        else:
            [(name, location)] = named.items()
            result = query_source(location, token, query, READ_ROWS)
            order_by, columns = None if result.in_order else result.order_by, result.columns
            parts = ((name, batch) for batch in result.batches)
        for name, batch in parts:
            columns = tuple(batch.schema.names)
            batches.append(batch)
            sizes.append((name, len(batch)))
            bar.update(len(batch))
    table = pa.Table.from_batches(batches, select_schema(columns)).unify_dictionaries()
    if several:
        names = [name for name, _ in sizes]
        codes = np.repeat(np.arange(len(sizes), dtype=np.int32), [n for _, n in sizes])
        known = list(dict.fromkeys(names))
        place = np.array([known.index(name) for name in names], np.int32)
        codes = place[codes] if len(codes) else codes
        column = pa.DictionaryArray.from_arrays(codes, pa.array(known, pa.string()))
        table = table.append_column(SOURCE_NAME, column)
    if order_by is not None and order_by in table.column_names:
        table = table.take(pc.sort_indices(table, [(order_by, "ascending")]))
    if query.limit is not None:
        table = table.slice(0, query.limit)
    return table.select([*query.columns, *((SOURCE_NAME,) if several else ())])


def table_in_zone(table: pa.Table, zone: str | tzinfo) -> pa.Table:
    """Return the table with ``timestamp`` in a time zone."""
    if "timestamp" not in table.column_names:
        return table
    index = table.column_names.index("timestamp")
    times = table.column(index).cast(pa.timestamp("us", tz=zone))
    return table.set_column(index, "timestamp", times)


def frame_of_table(table: pa.Table, zone: str | tzinfo) -> pd.DataFrame:
    """Return a table of ``load_table`` as a DataFrame with the dtypes of ``load_history``."""
    names = [name for name in table.column_names if name != SOURCE_NAME]
    builder = FrameBuilder(names, len(table), zone)
    for batch in table.select(names).to_batches():
        builder.add(batch)
    frame = builder.frame()
    if SOURCE_NAME in table.column_names:
        column = table.column(SOURCE_NAME).combine_chunks()
        frame[SOURCE_NAME] = pd.Series(column.cast(pa.string()).to_numpy(False), dtype="category")
    return frame


def source_column(sizes: Sequence[tuple[str, int]]) -> Any:
    """Return SOURCE_NAME of consecutive rows, given the source and number of each run of rows."""
    names = np.repeat([name for name, _ in sizes] or [""], [n for _, n in sizes] or [0])
    return pd.Series(names, dtype="string").astype("category").array


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
