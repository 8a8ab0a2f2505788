"""A history in one row, and two histories side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..errors import InvalidEvent
from ..pricing.prices import Prices
from .columns import (
    ColumnNames,
    as_tuple,
    encode_column,
    error_mask,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
    tool_mask,
)
from .costs import compute_spending, spending_columns
from .grouping import group_rows
from .intervals import REQUIRED_COLUMNS
from .status_intervals import TimelineStatus, status_intervals

MEASURES = ("events", "tools", "errors", "tokens", "usd")


def summary(df: pd.DataFrame, prices: Prices | None = None) -> pd.DataFrame:
    """Return a whole history in one row; ``summary(df).T`` is easier to read.

    Args:
        df, prices: as for ``sessions``.

    Returns:
        One row: start and end (datetime64[us], in the time zone of ``df``; NaT without events),
        agents, sessions, features (int64: how many), active, waiting (timedelta64[us], all agents
        together), events, tools, errors, tokens (int64), usd (float64; NaN where nothing has a
        price), unpriced_tokens (int64). ``attrs`` as of ``token_costs``.

    Raises:
        InvalidEvent: a column is missing.

    >>> summary(example())[["agents", "active", "waiting", "tools", "errors", "tokens", "usd"]]
       agents          active         waiting  tools  errors  tokens    usd
    0       2 0 days 00:05:00 0 days 00:02:00      5       1    5800  0.012
    """
    require_columns(df, "summary", *REQUIRED_COLUMNS)
    moments = timestamp_micros(df)
    ends = np.array([moments.min(), moments.max()] if len(df) else [_NAT, _NAT])
    bounds = to_datetimes(ends, time_zone(df))
    statuses = status_intervals(df)
    measures, attrs = _measures(df, (), prices)
    row = pd.DataFrame(
        {
            "start": bounds[:1],
            "end": bounds[1:],
            **{
                name: [len(np.unique(codes[codes >= 0]))]
                for name, column in _COUNTED.items()
                for codes in [encode_column(df, column).codes]
            },
            "active": to_timedeltas([statuses.durations(TimelineStatus.ACTIVE).sum()]),
            "waiting": to_timedeltas([statuses.durations(TimelineStatus.WAITING).sum()]),
        }
    )
    if measures.empty:
        zeros = dict.fromkeys((*MEASURES, "unpriced_tokens"), 0)
        measures = pd.DataFrame({**zeros, "usd": np.nan}, index=[0])
    table = pd.concat([row, measures], axis=1)
    table.attrs.update(attrs)
    return table


_NAT = np.iinfo(np.int64).min
_COUNTED = {"agents": "agent_id", "sessions": "session_id", "features": "feature_id"}


def compare(
    df_a: pd.DataFrame,
    df_b: pd.DataFrame,
    by: ColumnNames = (),
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Return two histories side by side, as this week's beside last week's.

    Args:
        df_a, df_b: events; need event_type and the columns of ``by``, and use all that
            ``token_costs`` does.
        by: columns to group by; (): none, one comparison of all.
        prices: as for ``token_costs``.

    Returns:
        One row a group of either and a measure (events, tools, errors, tokens, usd), in the order
        of the keys: the columns of ``by`` (categories of both), measure (category), a and b
        (float64; 0 where a history lacks the group, NaN for usd that is not known), change
        (float64: b - a), ratio (float64: b / a; NaN where a is 0).

    Raises:
        InvalidEvent: a column is missing.

    >>> week = example()
    >>> compare(week, week[week["agent_id"] == "codex-1"])[["measure", "a", "b", "change"]].head(3)
      measure     a    b  change
    0  events  13.0  5.0    -8.0
    1   tools   5.0  2.0    -3.0
    2  errors   1.0  1.0     0.0
    """
    by = as_tuple(by)
    for df in (df_a, df_b):
        require_columns(df, "compare", "event_type", "timestamp", *by)
    for column in by:
        if column == "measure":
            raise InvalidEvent("by has 'measure', which is a column of the result", "by")
    tables = [_measures(df, by, prices)[0] for df in (df_a, df_b)]
    dtypes = {name: _common(df_a[name], df_b[name]) for name in by}
    sides = [
        table.astype(dict.fromkeys(by, object)).melt(
            id_vars=list(by), value_vars=list(MEASURES), var_name="measure", value_name=side
        )
        for table, side in zip(tables, ("a", "b"), strict=True)
    ]
    found = sides[0].merge(sides[1], how="outer", on=[*by, "measure"])
    # A group that is not there did nothing and cost nothing.
    for side, table in zip(("a", "b"), sides, strict=True):
        there = found[[*by, "measure"]].merge(table, how="left", indicator=True)["_merge"] == "both"
        found[side] = found[side].astype("float64").where(there.to_numpy(), 0.0)
    found = found.astype({**dtypes, "measure": pd.CategoricalDtype(list(MEASURES), ordered=True)})
    found = found.sort_values([*by, "measure"], kind="stable", ignore_index=True)
    ratio = found["b"] / found["a"].where(found["a"] != 0)
    return found.assign(change=found["b"] - found["a"], ratio=ratio)


def _common(one: pd.Series, other: pd.Series) -> Any:
    """Return the dtype of a key: that of both frames, or one category of the names of both."""
    if one.dtype == other.dtype:
        return one.dtype
    if not isinstance(one.dtype, pd.CategoricalDtype | pd.StringDtype | np.dtypes.ObjectDType):
        return one.dtype
    return pd.CategoricalDtype(sorted({*one.dropna().unique(), *other.dropna().unique()}))


def _measures(
    df: pd.DataFrame, by: tuple[str, ...], prices: Prices | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    groups = group_rows(df, by)
    found = compute_spending(df, prices)
    table = groups.with_columns(
        events=groups.count(),
        tools=groups.count(tool_mask(df)),
        errors=groups.count(error_mask(df)),
        **spending_columns(found, groups),
    )
    nothing = (table["tokens"] == 0) & table["usd"].isna()
    return table.assign(usd=table["usd"].mask(nothing, 0.0)), found.attrs()
