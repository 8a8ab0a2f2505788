"""Groups of rows by names and periods, counted and summed with numpy."""

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
    """Groups with at least one row, in the order of their keys.

    Attributes:
        keys: one row a group: its period's begin ``timestamp`` if there are periods, its names.
        ids: number of the group of each row.
    """

    keys: pd.DataFrame
    ids: IntArray

    def count(self, selection: Selection | None = None) -> IntArray:
        """Return how many rows, of all or of those selected, each group has."""
        ids = self.ids if selection is None else self.ids[selection]
        return np.bincount(ids, minlength=len(self.keys))

    def total(self, values: npt.NDArray[Any], selection: Selection | None = None) -> FloatArray:
        """Return the sum of ``values`` (one a selected row) in each group."""
        ids = self.ids if selection is None else self.ids[selection]
        return np.bincount(ids, weights=values, minlength=len(self.keys)).astype(np.float64)

    def total_count(self, values: npt.NDArray[Any], selection: Selection | None = None) -> IntArray:
        """Return the sum of integers in each group; exact up to 2^53."""
        return np.rint(self.total(values, selection)).astype(np.int64)

    def with_columns(self, **columns: Any) -> pd.DataFrame:
        """Return the keys and these columns beside them."""
        return self.keys.assign(**columns)


def group_rows(
    df: pd.DataFrame, by: Sequence[str], freq: str | None = None, rows: RowIndices | None = None
) -> Groups:
    """Group the rows of a frame, or those selected, by columns and by periods.

    Args:
        freq: length of a period as ``"15min"``, ``"1h"``, ``"D"``, ``"W-MON"`` or ``"MS"``, in the
            time zone of ``timestamp``; None: no periods.
        rows: positions of the rows; None: all.

    Raises:
        InvalidEvent: ``freq`` cannot be read.
    """
    keys = [encode_column(df, name) for name in by]
    codes = [key.codes if rows is None else key.codes[rows] for key in keys]
    if freq is not None:
        moments = timestamp_micros(df)
        numbers, begins = assign_periods(
            moments if rows is None else moments[rows], freq, time_zone(df)
        )
        keys.insert(0, CodedColumn(numbers, begins))
        codes.insert(0, numbers)
    n_rows = len(df) if rows is None else len(rows)
    cells = np.zeros(n_rows, np.int64)
    sizes = [len(key.values) + 1 for key in keys]
    for number, (part, size) in enumerate(zip(codes, sizes, strict=True)):
        cells = part.astype(np.int64) + 1 if not number else cells * size + part + 1
    ids, found = _numbered(cells, sizes)
    n_groups = len(found)
    columns: dict[str, Any] = {}
    ranks: list[Any] = []
    labels = [*(["timestamp"] if freq is not None else []), *by]
    for name, key, size in reversed(list(zip(labels, keys, sizes, strict=True))):
        found, place = np.divmod(found, size)
        columns[name] = _named(key, place - 1, None if name == "timestamp" else df[name])
        ranks.append(_ranks(key)[place - 1])
    keys_of = pd.DataFrame(dict(reversed(columns.items())), index=range(n_groups))
    return _ordered(keys_of, ids, ranks)


def _numbered(cells: IntArray, sizes: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Return the numbers 0, 1, … of the cells that occur, row by row, and these cells."""
    n_cells = 1
    for size in sizes:
        n_cells *= size
    if n_cells > _MAX_CELLS:
        raise InvalidEvent(
            f"{n_cells:.0e} groups are possible, expected at most {_MAX_CELLS:.0e}; "
            "group by fewer columns or by longer periods"
        )
    if n_cells > max(_MAX_DENSE, len(cells)):
        ids, found = pd.factorize(cells)
        return ids.astype(np.int64, copy=False), np.asarray(found, np.int64)
    occurs = np.bincount(cells, minlength=n_cells) > 0
    if occurs.all():
        return cells, np.arange(n_cells)
    return (np.cumsum(occurs) - 1)[cells], np.flatnonzero(occurs)


def _named(key: CodedColumn, codes: IntArray, like: pd.Series | None) -> Any:
    if like is None:
        return key.values.take(codes)
    if isinstance(like.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(codes, dtype=like.dtype)
    missing = key.values.take(codes, allow_fill=True, fill_value=None) if len(key.values) else None
    return pd.Series(missing, index=range(len(codes)), dtype=like.dtype)


def _ranks(key: CodedColumn) -> IntArray:
    """Return the place of each value in the order of the values; the last one is for -1."""
    ranks = np.arange(len(key.values) + 1)
    # Periods are in order, and may be millions, of which pandas would make an object each.
    if not key.values.is_monotonic_increasing:
        ranks[np.argsort(key.values.to_numpy(), kind="stable")] = np.arange(len(key.values))
    return ranks


def _ordered(keys: pd.DataFrame, ids: IntArray, ranks: Sequence[IntArray]) -> Groups:
    if len(keys) < 2 or not ranks:
        return Groups(keys, ids)
    order = np.lexsort(ranks)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    if (place == np.arange(len(order))).all():
        return Groups(keys, ids)
    return Groups(keys.iloc[order].reset_index(drop=True), place[ids])


def assign_periods(
    moments: IntArray, freq: str, zone: Any = "UTC"
) -> tuple[IntArray, pd.DatetimeIndex]:
    """Return the number of each moment's period, and when the periods begin.

    Periods without a moment have a number as well, as long as they are few.

    Args:
        moments: microseconds since 1970 UTC.
        freq: as for ``group_rows``.
    """
    offset = _offset(freq)
    if not len(moments):
        return np.empty(0, np.int64), to_datetimes(np.empty(0, np.int64), zone)
    first, last = int(moments.min()), int(moments.max())
    step = _fixed_step(offset, zone)
    if step:
        numbers = moments // step - first // step
        if last // step - first // step < max(_FEW_PERIODS, len(moments)):
            return numbers, _begins(first, last, offset, zone)
        numbers, found = pd.factorize(numbers, sort=True)
        begins = (first // step + np.asarray(found)) * step
        return numbers.astype(np.int64), to_datetimes(begins, zone)
    edges = _begins(first, last, offset, zone)
    at = edges.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[us]").view(np.int64)
    return np.searchsorted(at, moments, side="right") - 1, edges


def period_edges(first: int, last: int, freq: str, zone: Any = "UTC") -> pd.DatetimeIndex:
    """Return the begin of every period from one moment to another, and the end of the last.

    Raises:
        InvalidEvent: ``freq`` cannot be read, or there are more than millions of periods.
    """
    offset = _offset(freq)
    step = _fixed_step(offset, zone)
    if step and (last - first) // step > _MAX_DENSE:
        raise InvalidEvent(
            f"freq {shorten(freq)} gives {(last - first) // step} periods, expected at most "
            f"{_MAX_DENSE}; take longer ones",
            "freq",
        )
    begins = _begins(first, last, offset, zone)
    last_end = pd.DatetimeIndex([begins[-1] + offset])
    return pd.DatetimeIndex(begins.append(last_end)).as_unit("us")


def _begins(first: int, last: int, offset: Any, zone: Any) -> pd.DatetimeIndex:
    """Return the begin of every period from that of one moment to that of another."""
    step = _fixed_step(offset, zone)
    if step:
        return to_datetimes(np.arange(first // step * step, last + 1, step), zone)
    edges = to_datetimes(np.array([first, last]), zone)
    return pd.date_range(_floored(edges[0], offset), edges[1], freq=offset).as_unit("us")


def _offset(freq: str) -> Any:
    try:
        offset: Any = pd.tseries.frequencies.to_offset(freq)
    except (ValueError, TypeError):
        offset = None
    if offset is None or offset.n < 1 or isinstance(offset, pd.offsets.Nano):
        raise InvalidEvent(
            f"freq is {shorten(str(freq))}, "
            "expected the length of a period as 15min, 1h, D, W or MS",
            "freq",
        )
    return offset


def _fixed_step(offset: Any, zone: Any) -> int:
    """Return the microseconds of a period that is always as long; 0 where it is not."""
    if isinstance(offset, pd.offsets.Tick):
        nanos = int(offset.nanos)
        step = nanos // 1_000
        return step if str(zone) == "UTC" or 900_000_000 % step == 0 else 0
    day = isinstance(offset, pd.offsets.Day) and str(zone) == "UTC"
    return offset.n * 86_400_000_000 if day else 0


def _floored(first: pd.Timestamp, offset: Any) -> pd.Timestamp:
    midnight = first.normalize()
    if isinstance(offset, pd.offsets.Tick | pd.offsets.Day):
        return midnight
    begin: pd.Timestamp = offset.rollback(midnight)
    return begin
