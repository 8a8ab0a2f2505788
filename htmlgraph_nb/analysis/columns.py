"""Read columns of a history frame as numpy arrays, whatever their dtype.

The rules for tools and errors are those of ``core.reducer``, which the server uses.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ..core.ids import project_folder, project_labels, share_names
from ..core.model import TOKEN_FIELDS, Event
from ..core.reducer import counts_as_tool, is_error
from ..core.validation import shorten
from ..errors import InvalidEvent
from ..storage.schema import HISTORY_COLUMNS

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ColumnNames = str | Sequence[str]
_Scalar = TypeVar("_Scalar", bound=np.generic)

TOKEN_KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
"""Kinds of tokens: input (uncached), cache_read, cache_write_5m, cache_write_1h, output."""

_MAX_EXACT = 2**53
COST_FIELDS = (*TOKEN_FIELDS, "cost_tokens", "cost_usd")
"""Columns of which one has a value in each row with tokens or dollars."""


class CodedColumn(NamedTuple):
    """A column of names as ``values[codes]``; code -1 is a missing name."""

    codes: npt.NDArray[np.integer[Any]]
    values: pd.Index


def require_columns(df: object, function: str, *columns: str) -> pd.DataFrame:
    """Return ``df`` as ``plain_frame`` does, if it is a DataFrame with these columns.

    ``root_agent_id`` is added if it is one of them and missing in some rows or all. Projects are
    called as ``with_projects`` does.

    Args:
        function: name of the calling function, for the error message.

    Raises:
        InvalidEvent: another type, or a missing column.
    """
    if not isinstance(df, pd.DataFrame):
        raise InvalidEvent(
            f"{function}: expected a DataFrame from load_history(), got {type(df).__name__}"
        )
    df = with_projects(plain_frame(df))
    if "root_agent_id" in columns and "agent_id" in df.columns:
        df = with_roots(df)
    for column in columns:
        if column not in df.columns:
            raise _missing_column(df, function, column)
    if not df.columns.is_unique:
        for column in columns:
            if np.sum(df.columns == column) > 1:
                raise InvalidEvent(
                    f"{function}: the frame has the column {shorten(column)} more than once; keep "
                    "one of them",
                    column,
                )
    return df


def _missing_column(df: pd.DataFrame, function: str, column: str) -> InvalidEvent:
    """Return the error for a missing column, with the most similar name that exists."""
    names = [name for name in df.columns if isinstance(name, str)]
    similar = [name for name in names if column in name.split("_")]
    similar = similar or difflib.get_close_matches(column, names, n=1)
    hint = "load_history() without columns= returns all"
    if column not in HISTORY_COLUMNS:
        hint = f"did you mean {similar[0]!r}?" if similar else "add it with df.assign()"
    return InvalidEvent(f"{function}: the frame has no column {shorten(column)}; {hint}", column)


def plain_frame(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with categories for Arrow's dictionaries, and ``timestamp`` of numpy.

    ``dtype_backend="pyarrow"`` of pandas creates these; few functions of pandas support them.
    """
    columns: dict[str, Any] = {}
    for position, dtype in enumerate(df.dtypes):
        if isinstance(dtype, pd.ArrowDtype):
            kind, series = dtype.pyarrow_dtype, df.iloc[:, position]
            if pa.types.is_dictionary(kind):
                array = pa.chunked_array(pa.array(series.array))
                columns[df.columns[position]] = array.to_pandas().array
            elif pa.types.is_timestamp(kind) and df.columns[position] == "timestamp":
                unit: Any = f"datetime64[us, {kind.tz}]" if kind.tz else "datetime64[us]"
                columns["timestamp"] = series.astype(unit)
    return df.assign(**columns) if columns else df


def with_projects(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with names in ``project`` that tell folders of the same name apart.

    A row whose ``cwd`` is not in its project's folder is in that of the agent's rows around it.
    """
    if not {"project", "cwd", "agent_id"} <= set(df.columns):
        return df
    projects, folders = encode_column(df, "project"), encode_column(df, "cwd")
    texts_only = all(isinstance(name, str) for name in (*projects.values, *folders.values))
    if not texts_only or not share_names(projects.values, folders.values):
        return df
    n = len(folders.values) + 1
    pairs = projects.codes.astype(np.int64) * n + folders.codes + 1
    index, found = pd.factorize(np.where(projects.codes >= 0, pairs, -1))
    names = [None if pair < 0 else str(projects.values[pair // n]) for pair in found]
    places = [
        None if name is None or not pair % n else project_folder(name, folders.values[pair % n - 1])
        for name, pair in zip(names, found, strict=True)
    ]
    known = np.array([place is not None for place in places])[index]
    if not known[projects.codes >= 0].all():
        rows = pd.Series(index).where(known)
        by = [encode_column(df, "agent_id").codes, projects.codes]
        rows = rows.groupby(by).ffill().fillna(rows.groupby(by).bfill()).fillna(pd.Series(index))
        index = rows.to_numpy(np.int64)
    labels = project_labels(
        (name, place) for name, place in zip(names, places, strict=True) if name is not None
    )
    texts = [
        None if name is None else labels[name, place]
        for name, place in zip(names, places, strict=True)
    ]
    categories = sorted({text for text in texts if text is not None})
    codes = pd.Index(categories).get_indexer(pd.Index(texts, dtype=object))
    return df.assign(
        project=pd.Categorical.from_codes(codes[index], categories=pd.Index(categories))
    )


def with_roots(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with ``root_agent_id``, the topmost ancestor of each row's agent.

    Rows without one, such as those of older versions, get the topmost ancestor that
    ``parent_agent_id`` of any row names, else the agent itself.
    """
    stored = df["root_agent_id"] if "root_agent_id" in df.columns else None
    if stored is not None and stored.notna().all():
        return df
    roots = _derived_roots(df)
    if stored is not None:
        known = encode_column(df, "root_agent_id")
        names = pd.Index(roots.categories).union(pd.Index(known.values).astype(object))
        codes = names.get_indexer(roots.categories)[roots.codes]
        stored_codes = np.append(names.get_indexer(known.values), -1)[known.codes]
        codes = np.where(stored_codes >= 0, stored_codes, codes)
        roots = pd.Categorical.from_codes(codes, categories=names)
    return df.assign(root_agent_id=roots)


def _derived_roots(df: pd.DataFrame) -> pd.Categorical:
    """Return the topmost known ancestor of each row's agent, by the parents of all rows."""
    agents, parents = encode_column(df, "agent_id"), encode_column(df, "parent_agent_id")
    names = pd.Index(agents.values).astype(object)
    names = names.append(pd.Index(parents.values).astype(object).difference(names))
    parent_of = np.arange(len(names))
    named = np.flatnonzero((parents.codes >= 0) & (agents.codes >= 0))
    if len(named):
        # Of the parents of one agent, numpy keeps the one assigned last.
        parent_of[agents.codes[named]] = names.get_indexer(parents.values)[parents.codes[named]]
    roots = topmost(parent_of)
    ordered = pd.Index(sorted(names[np.unique(roots)]))
    codes = np.append(ordered.get_indexer(names[roots]), -1)[agents.codes]
    return pd.Categorical.from_codes(codes, categories=ordered).remove_unused_categories()


def topmost(parent_of: IntArray) -> IntArray:
    """Return the topmost ancestor of each agent, by the code of its parent or its own."""
    roots = parent_of
    for _ in range(len(parent_of).bit_length()):
        # Each step doubles the number of generations.
        roots = roots[roots]
    # In a circle of parents there is no topmost one.
    return np.where(parent_of[roots] == roots, roots, np.arange(len(parent_of)))


def as_tuple(by: ColumnNames | None) -> tuple[str, ...]:
    """Return one or several column names as a tuple; None: no column.

    Raises:
        InvalidEvent: another type, or a name twice.
    """
    if by is None or isinstance(by, str):
        return () if by is None else (by,)
    values: Any = by
    names = tuple(values) if isinstance(values, list | tuple | pd.Index | np.ndarray) else (values,)
    for name in names:
        if not isinstance(name, str):
            raise InvalidEvent(
                f"by: expected the name of a column or a list of names, got {type(name).__name__}; "
                "to group by something else, add it as a column: df.assign(key=…), by='key'",
                "by",
            )
    if len(set(names)) < len(names):
        raise InvalidEvent(f"by: expected different columns, got {', '.join(names)}", "by")
    return names


def encode_column(df: pd.DataFrame, column: str) -> CodedColumn:
    """Return the codes and names of a column; all codes are -1 if the frame does not have it.

    Raises:
        InvalidEvent: its values cannot be compared, such as lists.
    """
    if column not in df.columns:
        return CodedColumn(np.full(len(df), -1, np.int8), pd.Index([], dtype=object))
    series = df[column]
    if isinstance(series.dtype, pd.CategoricalDtype):
        return CodedColumn(series.cat.codes.to_numpy(), series.cat.categories)
    try:
        codes, values = pd.factorize(series)
    except TypeError as error:
        raise InvalidEvent(
            f"{column}: expected values such as names and numbers in the column ({error})", column
        ) from None
    return CodedColumn(codes, pd.Index(values))


def map_names(
    names: CodedColumn, value_of: Callable[[str | None], Any], dtype: type[_Scalar]
) -> npt.NDArray[_Scalar]:
    """Return ``value_of`` the name of each row; it is called once per distinct name."""
    # Index -1 is the last element: the value of a missing name.
    table = [value_of(str(name)) for name in names.values] + [value_of(None)]
    values: npt.NDArray[_Scalar] = np.array(table, dtype)[names.codes]
    return values


def column_isin(df: pd.DataFrame, column: str, *names: str) -> BoolArray:
    """Return a mask of the rows in which a column has one of these values."""
    return map_names(encode_column(df, column), lambda name: name in names, np.bool_)


def timestamp_micros(df: pd.DataFrame) -> IntArray:
    """Return ``timestamp`` as microseconds since 1970 UTC; naive times are UTC.

    Raises:
        InvalidEvent: a timestamp is missing, cannot be parsed, or is a number without a unit.
    """
    timestamps = _as_times(df["timestamp"]).to_numpy(dtype="datetime64[us]")
    if np.isnat(timestamps).any():
        n = int(np.isnat(timestamps).sum())
        raise InvalidEvent(
            f"timestamp: expected a time in each row, missing in {n}; drop these rows with "
            'df.dropna(subset="timestamp")',
            "timestamp",
        )
    return timestamps.view(np.int64)


def _as_times(series: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return series
    if pd.api.types.infer_dtype(series, skipna=True) in _NUMBER_TYPES:
        raise InvalidEvent(
            f"timestamp: expected times, got numbers{_unit_hint(series)}", "timestamp"
        )
    try:
        return pd.to_datetime(series, utc=True)
    except (ValueError, TypeError) as error:
        raise InvalidEvent(
            f"timestamp: expected times, got {series.dtype} ({error})", "timestamp"
        ) from None


_NUMBER_TYPES = {"integer", "floating", "mixed-integer-float", "decimal", "boolean", "complex"}


def _unit_hint(series: pd.Series) -> str:
    """Return how to convert numbers, if they are times since 1970 in some unit."""
    highest = pd.to_numeric(series, errors="coerce").abs().max()
    for unit, per_second in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        # From 2000 to 2200: no number fits two units.
        if 946_684_800 * per_second <= highest < 7_258_118_400 * per_second:
            return (
                f'; convert them: df.assign(timestamp=pd.to_datetime(df["timestamp"], '
                f'unit="{unit}", utc=True))'
            )
    return ""


def time_zone(df: pd.DataFrame) -> Any:
    """Return the time zone of ``timestamp``; UTC for naive times."""
    return getattr(df["timestamp"].dtype, "tz", None) or "UTC"


def to_datetimes(micros: IntArray, zone: Any = "UTC") -> pd.DatetimeIndex:
    """Return microseconds since 1970 as times in a time zone."""
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC").tz_convert(zone)


def to_timedeltas(micros: npt.ArrayLike) -> pd.Series:
    """Return microseconds as timedelta64[us]."""
    return pd.Series(np.asarray(micros).astype(np.int64).view("timedelta64[us]"))


def float_column(df: pd.DataFrame, column: str) -> FloatArray:
    """Return a column of numbers, with NaN for missing values; all NaN without the column."""
    if column not in df.columns:
        return np.full(len(df), np.nan)
    series = df[column]
    if series.dtype == object:
        series = pd.to_numeric(series)
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)


def count_column(df: pd.DataFrame, column: str) -> IntArray:
    """Return a column of counts, with 0 for missing values; all 0 without the column."""
    if column not in df.columns:
        return np.zeros(len(df), np.int64)
    series = df[column]
    if series.dtype.kind in "iu" and not series.hasnans:
        return np.asarray(series.to_numpy(dtype=np.int64, na_value=0), np.int64)
    return np.nan_to_num(float_column(df, column)).astype(np.int64)


def tool_mask(df: pd.DataFrame) -> BoolArray:
    """Return a mask of tool calls that ended, by ``core.reducer.counts_as_tool``."""
    types = encode_column(df, "event_type")
    named = encode_column(df, "tool_name").codes >= 0
    without_tool = map_names(types, lambda name: counts_as_tool(_event(name)), np.bool_)
    with_tool = map_names(types, lambda name: counts_as_tool(_event(name, "tool")), np.bool_)
    return without_tool | (named & with_tool)


def error_mask(df: pd.DataFrame) -> BoolArray:
    """Return a mask of calls and turns that ended in an error, by ``core.reducer.is_error``."""
    by_type = map_names(
        encode_column(df, "event_type"), lambda name: is_error(_event(name)), np.bool_
    )
    return by_type | column_isin(df, "status", "error")


def _event(event_type: str | None, tool_name: str | None = None) -> Event:
    return Event(agent_id="any", event_type=event_type or "activity", tool_name=tool_name)


def parse_extra(value: Any) -> dict[str, Any] | None:
    """Return a value of ``extra``, JSON or a dict; None if it has no fields.

    Raises:
        InvalidEvent: the text is not JSON.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InvalidEvent(
                f"extra: expected a JSON object, got {shorten(value)}", "extra"
            ) from None
    return dict(value) if isinstance(value, dict) else None


class TokenRows(NamedTuple):
    """The rows with tokens or dollars.

    Attributes:
        rows: positions in the frame.
        kinds: token counts, one row per kind in the order of TOKEN_KINDS.
        total: ``cost_tokens``, or the sum of the kinds if that is missing.
    """

    rows: npt.NDArray[np.intp]
    kinds: IntArray
    total: IntArray


def token_rows(df: pd.DataFrame) -> TokenRows:
    """Return the rows with tokens or dollars; stored rows have no duplicates."""
    filled = np.zeros(len(df), np.bool_)
    for name in COST_FIELDS:
        if name in df.columns:
            filled |= df[name].notna().to_numpy()
    rows = np.flatnonzero(filled)
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
