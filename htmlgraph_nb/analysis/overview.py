"""Totals of a whole history in one row, and the comparison of two histories."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from ..core.roster import Limits
from ..core.validation import shorten
from ..errors import InvalidEvent
from ..pricing.prices import Prices
from .columns import (
    CodedColumn,
    ColumnNames,
    as_tuple,
    column_isin,
    encode_column,
    error_mask,
    float_column,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
    tool_mask,
)
from .costs import Spending, compute_spending, price_rows, spending_columns, with_warnings
from .grouping import Groups, distinct_codes, group_rows
from .intervals import REQUIRED_COLUMNS
from .status_intervals import TimelineStatus, status_intervals

_SERVER_SOURCES = ("timer", "family")
"""Sources of the events that the server adds: timers, and ends that follow from a parent's."""
MEASURES = ("events", "tools", "errors", "tokens", "usd", "unpriced_tokens")


def summary(
    df: pd.DataFrame, prices: Prices | None = None, limits: Limits | None = None
) -> pd.DataFrame:
    """Return the totals of a history in one row; ``summary(df).T`` is easier to read.

    Args:
        df, prices, limits: as for ``sessions``.

    Returns:
        One row: start and end (datetime64[us], in the time zone of ``df``; NaT without events),
        agents, sessions, features, projects, branches (int64: their numbers; a branch counts in
        each project), active, waiting (timedelta64[us]: sums over all agents), events (without
        those that the server adds: timers, and ends that follow from a parent's), tools (calls of
        tools), errors, tokens (int64), usd (float64; NaN if nothing has a price), unpriced_tokens
        (int64: tokens whose price is unknown, not in usd), peak_context_tokens (Int64: highest
        number of tokens in the context of a model; missing if not reported).
        ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing.

    >>> summary(example())[["agents", "active", "waiting", "tools", "errors", "tokens", "usd"]]
       agents          active         waiting  tools  errors  tokens    usd
    0       2 0 days 00:05:00 0 days 00:02:00      5       1    5800  0.012
    """
    df = require_columns(df, "summary", *REQUIRED_COLUMNS)
    micros = timestamp_micros(df)
    ends = np.array([micros.min(), micros.max()] if len(df) else [_NAT, _NAT])
    bounds = to_datetimes(ends, time_zone(df))
    # Prices and statuses are independent of each other, and numpy uses one core.
    with ThreadPoolExecutor(1) as pool:
        priced = pool.submit(price_rows, df, prices)
        statuses = status_intervals(df, limits)
        spending = with_warnings(priced.result())
    measures = _measures(df, group_rows(df, ()), spending)
    row = pd.DataFrame(
        {
            "start": bounds[:1],
            "end": bounds[1:],
            **{
                name: [_count_names(encode_column(df, column))] for name, column in _COUNTED.items()
            },
            "branches": [_count_branches(df)],
            "active": to_timedeltas([statuses.durations(TimelineStatus.ACTIVE).sum()]),
            "waiting": to_timedeltas([statuses.durations(TimelineStatus.WAITING).sum()]),
        }
    )
    if measures.empty:
        zeros = dict.fromkeys(MEASURES, 0)
        measures = pd.DataFrame({**zeros, "usd": np.nan}, index=[0])
    table = pd.concat([row, measures], axis=1)
    peak = np.fmax.reduce(float_column(df, "context_tokens"), initial=np.nan)
    table["peak_context_tokens"] = pd.array([peak], dtype="Int64")
    table.attrs.update(spending.attrs())
    return table


_NAT = np.iinfo(np.int64).min
_COUNTED = {
    "agents": "agent_id",
    "sessions": "session_id",
    "features": "feature_id",
    "projects": "project",
}


def _count_names(names: CodedColumn) -> int:
    """Return the number of names that occur."""
    return len(distinct_codes(names.codes[names.codes >= 0], len(names.values)))


def _count_branches(df: pd.DataFrame) -> int:
    """Return the number of different pairs of a project and a branch."""
    branches, projects = encode_column(df, "branch"), encode_column(df, "project")
    named = branches.codes >= 0
    size = len(projects.values) + 1
    pairs = branches.codes[named].astype(np.int64) * size + projects.codes[named] + 1
    return len(distinct_codes(pairs, len(branches.values) * size))


def compare(
    df_a: pd.DataFrame,
    df_b: pd.DataFrame,
    by: ColumnNames = (),
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Compare two histories, such as those of this week and last week.

    Args:
        df_a, df_b: events; need event_type, timestamp and the columns of ``by``, and use all
            columns that ``token_costs`` uses.
        by: columns to group by; (): compare the whole histories.
        prices: as for ``token_costs``.

    Returns:
        One row per group of either history and measure (events, tools, errors, tokens, usd and
        unpriced_tokens, as in ``summary``), sorted by the keys: the columns
        of ``by`` (with the categories of both), measure (category), a and b (float64; 0 if the
        history lacks the group, NaN for unknown usd), change (float64: b - a), ratio (float64:
        b / a; NaN if a is 0).

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
    df_a, df_b = (
        require_columns(df, "compare", "event_type", "timestamp", *by) for df in (df_a, df_b)
    )
    for column in by:
        if column in _COMPARED:
            raise InvalidEvent(
                f"by: {shorten(column)} is also a column of the result; rename yours: "
                f'df.rename(columns={{"{column}": "my_{column}"}})',
                "by",
            )
    dtypes = {name: _common_dtype(df_a[name], df_b[name]) for name in by}
    keys = pd.concat([df[list(by)].astype(dtypes) for df in (df_a, df_b)], ignore_index=True)
    groups = group_rows(keys, by)
    table = groups.keys
    sides = {}
    for side, df, ids in (
        ("a", df_a, groups.ids[: len(df_a)]),
        ("b", df_b, groups.ids[len(df_a) :]),
    ):
        own = Groups(table, ids)
        spending = compute_spending(df, prices)
        measures = _measures(df, own, spending)[list(MEASURES)].to_numpy(np.float64)
        # A missing group counts as 0.
        measures[own.count() == 0] = 0.0
        sides[side] = measures.ravel()
    rows = np.repeat(np.arange(len(table)), len(MEASURES))
    measure_dtype = pd.CategoricalDtype(list(MEASURES), ordered=True)
    measure = pd.Categorical.from_codes(
        np.tile(np.arange(len(MEASURES)), len(table)), dtype=measure_dtype
    )
    change = sides["b"] - sides["a"]
    ratio = np.divide(sides["b"], sides["a"], out=np.full(len(rows), np.nan), where=sides["a"] != 0)
    compared = table.take(rows).reset_index(drop=True)
    return compared.assign(measure=measure, **sides, change=change, ratio=ratio)


_COMPARED = ("measure", "a", "b", "change", "ratio")


def _common_dtype(a: pd.Series, b: pd.Series) -> Any:
    """Return the dtype of a key: that of both frames, or a category with the names of both."""
    if a.dtype == b.dtype:
        return a.dtype
    if not isinstance(a.dtype, pd.CategoricalDtype | pd.StringDtype | np.dtypes.ObjectDType):
        return a.dtype
    return pd.CategoricalDtype(sorted({*a.dropna().unique(), *b.dropna().unique()}, key=str))


def _measures(df: pd.DataFrame, groups: Groups, spending: Spending) -> pd.DataFrame:
    # Timers and implied ends are no events of agents.
    by_server = column_isin(df, "source", *_SERVER_SOURCES)
    table = groups.with_columns(
        events=groups.count(~by_server),
        tools=groups.count(tool_mask(df)),
        errors=groups.count(error_mask(df)),
        **spending_columns(spending, groups),
    )
    without_tokens = (table["tokens"] == 0) & table["usd"].isna()
    return table.assign(usd=table["usd"].mask(without_tokens, 0.0))
