"""Columns of a history frame as numpy arrays, whatever their dtype, and what its events are.

What is a tool, an error or a token is asked of the module that decides it for the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import TOKEN_FIELDS, Event
from ..core.reducer import counts_as_tool, is_error
from ..core.timestamps import to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ColumnNames = str | Sequence[str]
_Scalar = TypeVar("_Scalar", bound=np.generic)

TOKEN_KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
"""Kinds of tokens: input (not cached), cache_read, cache_write_5m, cache_write_1h, output."""

_MAX_EXACT = 2**53


class CodedColumn(NamedTuple):
    """A column of names: ``values[codes]``, -1 where there is none."""

    codes: npt.NDArray[np.integer[Any]]
    values: pd.Index


def require_columns(df: object, function: str, *columns: str) -> pd.DataFrame:
    """Return the frame, if it is one and has these columns.

    Raises:
        InvalidEvent: it is none, or it lacks one of them.
    """
    if not isinstance(df, pd.DataFrame):
        raise InvalidEvent(
            f"{function} was given {type(df).__name__}, expected a DataFrame as of load_history()"
        )
    for column in columns:
        if column not in df.columns:
            raise InvalidEvent(
                f"the frame has no column {shorten(column)}, which {function} needs; "
                "load_history() without columns= has all",
                column,
            )
    return df


def as_tuple(by: ColumnNames) -> tuple[str, ...]:
    """Return the columns to group by as a tuple."""
    return (by,) if isinstance(by, str) else tuple(by)


def encode_column(df: pd.DataFrame, column: str) -> CodedColumn:
    """Return the codes and the names of a column; nothing but -1 where the frame has no such."""
    if column not in df.columns:
        return CodedColumn(np.full(len(df), -1, np.int8), pd.Index([], dtype=object))
    series = df[column]
    if isinstance(series.dtype, pd.CategoricalDtype):
        return CodedColumn(series.cat.codes.to_numpy(), series.cat.categories)
    codes, values = pd.factorize(series)
    return CodedColumn(codes, pd.Index(values))


def map_names(
    names: CodedColumn, value_of: Callable[[str | None], Any], dtype: type[_Scalar]
) -> npt.NDArray[_Scalar]:
    """Return ``value_of`` of the name in each row; it is called once a name."""
    # The last place is that of -1.
    table = [value_of(str(name)) for name in names.values] + [value_of(None)]
    found: npt.NDArray[_Scalar] = np.array(table, dtype)[names.codes]
    return found


def column_isin(df: pd.DataFrame, column: str, *texts: str) -> BoolArray:
    """Return in which rows a column has one of these texts."""
    return map_names(encode_column(df, column), lambda name: name in texts, np.bool_)


def timestamp_micros(df: pd.DataFrame) -> IntArray:
    """Return ``timestamp`` as microseconds since 1970 UTC; naive times count as UTC.

    Raises:
        InvalidEvent: a row has no time, or one that cannot be read.
    """
    series = df["timestamp"]
    if not pd.api.types.is_datetime64_any_dtype(series.dtype):
        try:
            series = pd.to_datetime(series, utc=True)
        except (ValueError, TypeError) as error:
            raise InvalidEvent(
                f"the column timestamp cannot be read as times: {error}", "timestamp"
            ) from None
    found = series.to_numpy(dtype="datetime64[us]")
    if np.isnat(found).any():
        n = int(np.isnat(found).sum())
        raise InvalidEvent(
            f"{n} rows have no timestamp, expected one in each; leave them out with "
            'df.dropna(subset="timestamp")',
            "timestamp",
        )
    return found.view(np.int64)


def time_zone(df: pd.DataFrame) -> Any:
    """Return the time zone in which the frame shows its times; UTC where it shows none."""
    dtype: Any = df["timestamp"].dtype
    return getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None) or "UTC"


def to_datetimes(micros: IntArray, zone: Any = "UTC") -> pd.DatetimeIndex:
    """Return microseconds since 1970 as times in a zone."""
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC").tz_convert(zone)


def to_timedeltas(micros: npt.ArrayLike) -> pd.Series:
    """Return microseconds as timedelta64[us]."""
    return pd.Series(np.asarray(micros).astype(np.int64).view("timedelta64[us]"))


def float_column(df: pd.DataFrame, column: str) -> FloatArray:
    """Return a column of numbers; NaN where there is none."""
    if column not in df.columns:
        return np.full(len(df), np.nan)
    series = df[column]
    if series.dtype == object:
        series = pd.to_numeric(series)
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)


def count_column(df: pd.DataFrame, column: str) -> IntArray:
    """Return a column of counts; 0 where there is none."""
    if column not in df.columns:
        return np.zeros(len(df), np.int64)
    series = df[column]
    if series.dtype.kind in "iu" and not series.hasnans:
        return np.asarray(series.to_numpy(dtype=np.int64, na_value=0), np.int64)
    return np.nan_to_num(float_column(df, column)).astype(np.int64)


def tool_mask(df: pd.DataFrame) -> BoolArray:
    """Return which rows are one executed tool each, by ``evidence.counts_as_tool``."""
    types = encode_column(df, "event_type")
    named = encode_column(df, "tool_name").codes >= 0
    alone = map_names(types, lambda name: counts_as_tool(_event(name)), np.bool_)
    with_tool = map_names(types, lambda name: counts_as_tool(_event(name, "tool")), np.bool_)
    return alone | (named & with_tool)


def error_mask(df: pd.DataFrame) -> BoolArray:
    """Return which rows are a tool or a turn that ended in an error, by ``evidence.is_error``."""
    by_type = map_names(
        encode_column(df, "event_type"), lambda name: is_error(_event(name)), np.bool_
    )
    return by_type | column_isin(df, "status", "error")


def _event(event_type: str | None, tool_name: str | None = None) -> Event:
    return Event(agent_id="any", event_type=event_type or "activity", tool_name=tool_name)


class TokenRows(NamedTuple):
    """The rows that carry tokens or dollars, and what they carry.

    Attributes:
        rows: positions in the frame.
        kinds: counts, one row a kind in the order of TOKEN_KINDS.
        total: ``cost_tokens``, else the sum of the kinds.
    """

    rows: npt.NDArray[np.intp]
    kinds: IntArray
    total: IntArray


def token_rows(df: pd.DataFrame) -> TokenRows:
    """Return the tokens of a frame as they are stored: each row counts once."""
    given = [df[name].notna().to_numpy() for name in _SPENT if name in df.columns]
    rows = np.flatnonzero(np.logical_or.reduce(given)) if given else np.empty(0, np.intp)
    present = [name for name in (*TOKEN_FIELDS, "cost_tokens") if name in df.columns]
    part = df[present].take(rows)
    kinds = np.stack([count_column(part, name) for name in TOKEN_FIELDS])
    total = kinds.sum(axis=0)
    if "cost_tokens" in present:
        stored = part["cost_tokens"].notna().to_numpy()
        total = np.where(
            stored, count_column(part, "cost_tokens"), np.minimum(total, _MAX_EXACT - 1)
        )
    return TokenRows(rows, kinds, total)


_SPENT = (*TOKEN_FIELDS, "cost_tokens", "cost_usd")


def parse_micros(value: object, name: str) -> int:
    """Return an ISO text or a datetime as microseconds since 1970; naive ones are local.

    Raises:
        InvalidEvent: it cannot be read.
    """
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, datetime) or pd.isna(found):
        raise InvalidEvent(
            f"{name} is {shorten(str(value))}, "
            "expected an ISO time as 2025-01-14T14:50 or a datetime",
            name,
        )
    plain = found.to_pydatetime(warn=False) if isinstance(found, pd.Timestamp) else found
    return to_micros(plain.astimezone(UTC))
