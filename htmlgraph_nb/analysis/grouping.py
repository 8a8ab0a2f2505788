"""Group rows by columns and periods; count and sum them with numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.validation import shorten
from ..errors import InvalidEvent
from ..local_zone import Zone, resolve_zone
from .columns import (
    CodedColumn,
    FloatArray,
    IntArray,
    encode_column,
    time_zone,
    timestamp_micros,
)
from .periods import Length, assign_periods, parse_freq

RowIndices = npt.NDArray[np.intp]
Selection = npt.NDArray[np.bool_] | RowIndices
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

PART_ROWS = 1 << 19
"""Rows that ``map_parts`` handles at once, so that temporary arrays stay small."""
_MAX_DENSE = 1 << 22
_MAX_CELLS = 1 << 50


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups with at least one row, sorted by their keys.

    Attributes:
        keys: one row per group: ``timestamp``, the start of its period, if there are periods, and
            the columns it is grouped by.
        ids: index of the group of each row.
    """

    keys: pd.DataFrame
    ids: IntArray

    def count(self, selection: Selection | None = None) -> IntArray:
        """Return the number of rows in each group, of all rows or a selection."""
        ids = self.ids if selection is None else self.ids[selection]
        return np.bincount(ids, minlength=len(self.keys))

    def total(self, values: npt.NDArray[Any], selection: Selection | None = None) -> FloatArray:
        """Return the sum of ``values``, one per selected row, in each group."""
        ids = self.ids if selection is None else self.ids[selection]
        return np.bincount(ids, weights=values, minlength=len(self.keys)).astype(np.float64)

    def total_count(self, values: npt.NDArray[Any], selection: Selection | None = None) -> IntArray:
        """Return the sum of integers in each group; exact up to 2^53."""
        return np.rint(self.total(values, selection)).astype(np.int64)

    def with_columns(self, **columns: Any) -> pd.DataFrame:
        """Return the keys with more columns.

        Raises:
            InvalidEvent: a key has the name of one of them.
        """
        for name in self.keys.columns:
            if name in columns:
                raise InvalidEvent(
                    f"by: {shorten(name)} is also a column of the result; rename yours: "
                    f'df.rename(columns={{"{name}": "my_{name}"}})',
                    "by",
                )
        return self.keys.assign(**columns)


def group_rows(
    df: pd.DataFrame,
    by: Sequence[str],
    freq: str | None = None,
    rows: RowIndices | None = None,
    tz: Zone = None,
    offset: Length | None = None,
) -> Groups:
    """Group the rows of a frame by columns and periods.

    Args:
        freq, offset: as for ``parse_freq``. None: no periods.
        rows: positions of the rows. None: all.
        tz: time zone of the periods. None: that of ``timestamp``.

    Raises:
        InvalidEvent: ``freq``, ``tz`` or ``offset`` is invalid, ``by`` has the name of the periods,
            or too many groups are possible.
    """
    zone = period_zone(df, tz) if freq is not None or tz is not None else "UTC"
    if freq is None and offset is not None:
        raise InvalidEvent(
            "offset: it shifts the begin of periods, expected freq= with it", "offset"
        )
    if freq is not None and "timestamp" in by:
        raise InvalidEvent(
            "by: with freq= the result has a column timestamp, the start of the period; omit "
            "'timestamp' in by, or freq",
            "by",
        )
    keys = [encode_column(df, name) for name in by]
    codes = [key.codes if rows is None else key.codes[rows] for key in keys]
    if freq is not None:
        micros = timestamp_micros(df)
        micros = micros if rows is None else micros[rows]
        period_ids, starts = assign_periods(micros, parse_freq(freq, offset), zone)
        keys.insert(0, CodedColumn(period_ids, starts))
        codes.insert(0, period_ids)
    n_rows = len(df) if rows is None else len(rows)
    cells = np.zeros(n_rows, np.int64)
    sizes = [len(key.values) + 1 for key in keys]
    for part, size in zip(codes, sizes, strict=True):
        cells *= size
        cells += part
        cells += 1
    ids, occupied = _compact(cells, sizes)
    n_groups = len(occupied)
    columns: dict[str, Any] = {}
    ranks: list[Any] = []
    labels = [*(["timestamp"] if freq is not None else []), *by]
    for name, key, size in reversed(list(zip(labels, keys, sizes, strict=True))):
        occupied, index = np.divmod(occupied, size)
        is_period = freq is not None and name == "timestamp"
        if is_period:
            columns[name] = key.values.take(index - 1)
        else:
            columns[name] = _take_names(df[name], key, index - 1)
        ranks.append(name_ranks(key, None if is_period else df[name].dtype)[index - 1])
    key_columns = pd.DataFrame(dict(reversed(columns.items())), index=range(n_groups))
    return _sort_groups(key_columns, ids, ranks)


def period_zone(df: pd.DataFrame, tz: Zone = None) -> Any:
    """Return the time zone in which the timestamps of a frame are cut into periods.

    Raises:
        InvalidEvent: there is no such time zone.
    """
    return time_zone(df) if tz is None else resolve_zone(tz)


def name_ranks(names: CodedColumn, dtype: object) -> IntArray:
    """Return the rank of each name, and last that of a missing name.

    Args:
        dtype: dtype of the column; an ordered category has its own order.
    """
    values = names.values
    ranks = np.arange(len(values) + 1)
    if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
        return ranks
    # Periods are sorted already; sorting millions of them would create an object for each.
    if not values.is_monotonic_increasing:
        plain = values.to_numpy()
        try:
            order = np.argsort(plain, kind="stable")
        except TypeError:
            # Values of different types.
            order = np.argsort(np.array(list(map(str, plain))), kind="stable")
        ranks[order] = np.arange(len(values))
    return ranks


def distinct_codes(codes: npt.NDArray[np.integer[Any]], size: int) -> IntArray:
    """Return the different ones of these codes, which are from 0 to ``size`` - 1."""
    if size > max(_MAX_DENSE, len(codes)):
        return np.asarray(pd.unique(codes), np.int64)
    return np.flatnonzero(np.bincount(codes, minlength=size)).astype(np.int64, copy=False)


def _compact(cells: IntArray, sizes: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Return the group index of each row, and the cells that occur, in order of the groups."""
    n_cells = 1
    for size in sizes:
        n_cells *= size
    if n_cells > _MAX_CELLS:
        raise InvalidEvent(
            f"by: expected at most {_MAX_CELLS:.0e} possible groups, got {n_cells:.0e}; "
            "group by fewer columns or longer periods"
        )
    if n_cells > max(_MAX_DENSE, len(cells)):
        ids, occupied = pd.factorize(cells)
        return ids.astype(np.int64, copy=False), np.asarray(occupied, np.int64)
    occurs = np.bincount(cells, minlength=n_cells) > 0
    if occurs.all():
        return cells, np.arange(n_cells)
    return (np.cumsum(occurs) - 1)[cells], np.flatnonzero(occurs)


def _take_names(series: pd.Series, key: CodedColumn, codes: IntArray) -> Any:
    """Return names as they are in a column of the frame, with its dtype."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        names = pd.Categorical.from_codes(codes, dtype=dtype)
        return names if dtype.ordered else names.remove_unused_categories()
    # The first row of each name; the last element is that of a missing name.
    rows = np.zeros(len(key.values) + 1, np.intp)
    rows[key.codes[::-1]] = np.arange(len(series))[::-1]
    return series.take(rows[codes]).reset_index(drop=True)


def _sort_groups(keys: pd.DataFrame, ids: IntArray, ranks: Sequence[IntArray]) -> Groups:
    if len(keys) < 2 or not ranks:
        return Groups(keys, ids)
    order = np.lexsort(ranks)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    if (rank == np.arange(len(order))).all():
        return Groups(keys, ids)
    return Groups(keys.iloc[order].reset_index(drop=True), rank[ids])


def map_parts(function: Callable[[_Part], _Result], parts: Iterable[_Part]) -> list[_Result]:
    """Return the result of a function for each part of a frame, computed in threads."""
    # numpy runs without the interpreter's lock.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return [*pool.map(function, parts)]
