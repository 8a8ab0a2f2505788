"""Group rows by columns and periods; count and sum them with numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.validation import shorten
from ..errors import InvalidEvent
from .columns import (
    CodedColumn,
    FloatArray,
    IntArray,
    encode_column,
    time_zone,
    timestamp_micros,
    to_datetimes,
)

RowIndices = npt.NDArray[np.intp]
Selection = npt.NDArray[np.bool_] | RowIndices
_MAX_DENSE = 1 << 22
_FEW_PERIODS = 1 << 16
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
        """Return the keys with more columns."""
        return self.keys.assign(**columns)


def group_rows(
    df: pd.DataFrame, by: Sequence[str], freq: str | None = None, rows: RowIndices | None = None
) -> Groups:
    """Group the rows of a frame by columns and periods.

    Args:
        freq: length of a period as ``"15min"``, ``"1h"``, ``"D"``, ``"W-MON"`` or ``"MS"``, in the
            time zone of ``timestamp``. None: no periods.
        rows: positions of the rows. None: all.

    Raises:
        InvalidEvent: ``freq`` is invalid, or too many groups are possible.
    """
    keys = [encode_column(df, name) for name in by]
    codes = [key.codes if rows is None else key.codes[rows] for key in keys]
    if freq is not None:
        micros = timestamp_micros(df)
        micros = micros if rows is None else micros[rows]
        period_ids, starts = assign_periods(micros, freq, time_zone(df))
        keys.insert(0, CodedColumn(period_ids, starts))
        codes.insert(0, period_ids)
    n_rows = len(df) if rows is None else len(rows)
    cells = np.zeros(n_rows, np.int64)
    sizes = [len(key.values) + 1 for key in keys]
    for number, (part, size) in enumerate(zip(codes, sizes, strict=True)):
        cells = part.astype(np.int64) + 1 if not number else cells * size + part + 1
    ids, occupied = _compact(cells, sizes)
    n_groups = len(occupied)
    columns: dict[str, Any] = {}
    ranks: list[Any] = []
    labels = [*(["timestamp"] if freq is not None else []), *by]
    for name, key, size in reversed(list(zip(labels, keys, sizes, strict=True))):
        occupied, index = np.divmod(occupied, size)
        columns[name] = _take_names(key, index - 1, None if name == "timestamp" else df[name])
        ranks.append(_ranks(key)[index - 1])
    key_columns = pd.DataFrame(dict(reversed(columns.items())), index=range(n_groups))
    return _sort_groups(key_columns, ids, ranks)


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


def _take_names(key: CodedColumn, codes: IntArray, like: pd.Series | None) -> Any:
    if like is None:
        return key.values.take(codes)
    if isinstance(like.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(codes, dtype=like.dtype)
    names = key.values.take(codes, allow_fill=True, fill_value=None) if len(key.values) else None
    return pd.Series(names, index=range(len(codes)), dtype=like.dtype)


def _ranks(key: CodedColumn) -> IntArray:
    """Return the rank of each value, and last that of a missing value."""
    ranks = np.arange(len(key.values) + 1)
    # Periods are sorted already; sorting millions of them would create an object for each.
    if not key.values.is_monotonic_increasing:
        ranks[np.argsort(key.values.to_numpy(), kind="stable")] = np.arange(len(key.values))
    return ranks


def _sort_groups(keys: pd.DataFrame, ids: IntArray, ranks: Sequence[IntArray]) -> Groups:
    if len(keys) < 2 or not ranks:
        return Groups(keys, ids)
    order = np.lexsort(ranks)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    if (rank == np.arange(len(order))).all():
        return Groups(keys, ids)
    return Groups(keys.iloc[order].reset_index(drop=True), rank[ids])


def assign_periods(
    micros: IntArray, freq: str, zone: Any = "UTC"
) -> tuple[IntArray, pd.DatetimeIndex]:
    """Return the period index of each timestamp, and the start of each period.

    Periods without a timestamp are included unless there are too many.

    Args:
        micros: microseconds since 1970 UTC.
        freq: as for ``group_rows``.
    """
    offset = _offset(freq)
    if not len(micros):
        return np.empty(0, np.int64), to_datetimes(np.empty(0, np.int64), zone)
    first, last = int(micros.min()), int(micros.max())
    step = _fixed_step(offset, zone)
    if step:
        period_ids = micros // step - first // step
        if last // step - first // step < max(_FEW_PERIODS, len(micros)):
            return period_ids, _period_starts(first, last, offset, zone)
        period_ids, occupied = pd.factorize(period_ids, sort=True)
        starts = (first // step + np.asarray(occupied)) * step
        return period_ids.astype(np.int64), to_datetimes(starts, zone)
    edges = _period_starts(first, last, offset, zone)
    utc = edges.tz_convert("UTC").tz_localize(None)
    edge_micros = utc.to_numpy(dtype="datetime64[us]").view(np.int64)
    return np.searchsorted(edge_micros, micros, side="right") - 1, edges


def period_edges(first: int, last: int, freq: str, zone: Any = "UTC") -> pd.DatetimeIndex:
    """Return the start of every period from ``first`` to ``last``, and the end of the last one.

    Args:
        first, last: microseconds since 1970 UTC.

    Raises:
        InvalidEvent: ``freq`` is invalid, or there are millions of periods.
    """
    offset = _offset(freq)
    step = _fixed_step(offset, zone)
    if step and (last - first) // step > _MAX_DENSE:
        raise InvalidEvent(
            f"freq: expected at most {_MAX_DENSE} periods, got {(last - first) // step} of "
            f"{shorten(freq)}; use longer ones",
            "freq",
        )
    starts = _period_starts(first, last, offset, zone)
    last_end = pd.DatetimeIndex([starts[-1] + offset])
    return pd.DatetimeIndex(starts.append(last_end)).as_unit("us")


def _period_starts(first: int, last: int, offset: Any, zone: Any) -> pd.DatetimeIndex:
    """Return the start of every period from that of ``first`` to that of ``last``."""
    step = _fixed_step(offset, zone)
    if step:
        return to_datetimes(np.arange(first // step * step, last + 1, step), zone)
    edges = to_datetimes(np.array([first, last]), zone)
    return pd.date_range(_floor(edges[0], offset), edges[1], freq=offset).as_unit("us")


def _offset(freq: str) -> Any:
    try:
        offset: Any = pd.tseries.frequencies.to_offset(freq)
    except (ValueError, TypeError):
        offset = None
    if offset is None or offset.n < 1 or isinstance(offset, pd.offsets.Nano):
        raise InvalidEvent(
            "freq: expected the length of a period such as 15min, 1h, D, W or MS, "
            f"got {shorten(str(freq))}",
            "freq",
        )
    return offset


def _fixed_step(offset: Any, zone: Any) -> int:
    """Return the length of a period in microseconds; 0 if it varies."""
    if isinstance(offset, pd.offsets.Tick):
        nanos = int(offset.nanos)
        step = nanos // 1_000
        return step if str(zone) == "UTC" or 900_000_000 % step == 0 else 0
    day = isinstance(offset, pd.offsets.Day) and str(zone) == "UTC"
    return offset.n * 86_400_000_000 if day else 0


def _floor(first: pd.Timestamp, offset: Any) -> pd.Timestamp:
    midnight = first.normalize()
    if isinstance(offset, pd.offsets.Tick | pd.offsets.Day):
        return midnight
    start: pd.Timestamp = offset.rollback(midnight)
    return start
