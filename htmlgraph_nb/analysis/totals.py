"""What each session, feature and agent took: time, tools, tokens, dollars, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..pricing.prices import Prices
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
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
from .grouping import Groups, group_rows
from .intervals import REQUIRED_COLUMNS
from .status_intervals import StatusIntervals, TimelineStatus, status_intervals


def sessions(df: pd.DataFrame, prices: Prices | None = None) -> pd.DataFrame:
    """Return what each session of each agent took.

    An event that names no session belongs to the one that its agent was in, as for the server.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses all other columns but host
            and project.
        prices: as for ``token_costs``.

    Returns:
        One row a session of an agent, in the order of their begins: agent_id and session_id (as in
        ``df``; a row without a session holds what came before the first), start and end
        (datetime64[us]: first and last sign), wall (timedelta64[us]: from start to end), active,
        waiting and idle (timedelta64[us], as in ``timeline``, up to the newest timestamp of
        ``df``), tools, errors (tools and turns that ended in an error), features (how many were
        worked on), tokens (int64), usd (float64; NaN where nothing has a price), unpriced_tokens
        (int64). ``attrs`` as of ``token_costs``.

    Raises:
        InvalidEvent: a column is missing.

    >>> sessions(example())[["agent_id", "session_id", "wall", "tools", "errors", "tokens"]]
       agent_id session_id            wall  tools  errors  tokens
    0  claude-1        s-1 0 days 00:05:00      3       0    5200
    1   codex-1        s-2 0 days 00:03:00      2       1     600
    """
    require_columns(df, "sessions", *REQUIRED_COLUMNS)
    named = df.assign(session_id=_present(df, "session_id"))
    table = _took(df, named, named, ("agent_id", "session_id"), ("feature_id",), prices)
    return table.sort_values("start", kind="stable", ignore_index=True)


def features(df: pd.DataFrame, prices: Prices | None = None) -> pd.DataFrame:
    """Return what the work on each feature took.

    Tools and tokens are those of the events that name the feature, times those in which it was the
    last that an agent named.

    Args:
        df, prices: as for ``sessions``.

    Returns:
        One row a feature, in the order of their names, the last one without a name for work on
        none: feature_id (as in ``df``), agents, sessions (int64: how many worked on it), and start
        to unpriced_tokens as in ``sessions`` without features.

    Raises:
        InvalidEvent: a column is missing, feature_id too.

    >>> features(example())[["feature_id", "agents", "active", "tools"]]
      feature_id  agents          active  tools
    0     feat-1       2 0 days 00:05:00      5
    """
    require_columns(df, "features", *REQUIRED_COLUMNS, "feature_id")
    lived = df.assign(feature_id=_present(df, "feature_id"))
    return _took(df, df, lived, ("feature_id",), ("agent_id", "session_id"), prices)


def agents(df: pd.DataFrame, prices: Prices | None = None) -> pd.DataFrame:
    """Return what each agent did.

    Args:
        df, prices: as for ``sessions``.

    Returns:
        One row an agent, in the order of their ids: agent_id (as in ``df``), sessions, features
        (int64: how many), and start to unpriced_tokens as in ``sessions``.

    Raises:
        InvalidEvent: a column is missing.

    >>> agents(example())[["agent_id", "active", "waiting", "tools", "tokens"]]
       agent_id          active         waiting  tools  tokens
    0  claude-1 0 days 00:02:00 0 days 00:02:00      3    5200
    1   codex-1 0 days 00:03:00 0 days 00:00:00      2     600
    """
    require_columns(df, "agents", *REQUIRED_COLUMNS)
    return _took(df, df, df, ("agent_id",), ("session_id", "feature_id"), prices)


def _present(df: pd.DataFrame, column: str) -> pd.Series:
    """Return for each row the last value of a column that its agent named up to then."""
    if column not in df.columns:
        return pd.Series(np.full(len(df), None, object), index=df.index)
    codes, who = encode_column(df, column).codes, encode_column(df, "agent_id").codes
    arrival = [df["seq"].to_numpy(dtype=np.int64)] if "seq" in df.columns else []
    order = np.lexsort((*arrival, timestamp_micros(df), who))
    here = np.arange(len(order))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = who[order][1:] != who[order][:-1]
    start = np.maximum.accumulate(np.where(begins, here, -1))
    last = np.maximum.accumulate(np.where((codes[order] >= 0) | begins, here, -1))
    source = np.empty(len(order), np.int64)
    source[order] = order[np.maximum(last, start)]
    return df[column].take(source).set_axis(df.index)


def _took(
    df: pd.DataFrame,
    named: pd.DataFrame,
    lived: pd.DataFrame,
    keys: Sequence[str],
    others: Sequence[str],
    prices: Prices | None,
) -> pd.DataFrame:
    """Return the table of one row a group of ``keys``.

    Args:
        named: has the keys under which the events count.
        lived: has the keys under which the time after them counts.
        others: columns of which the distinct values are counted.
    """
    groups = group_rows(pd.concat([named[list(keys)], lived[list(keys)]]), keys)
    own = Groups(groups.keys, groups.ids[: len(df)])
    clocked = column_isin(df, "source", "timer") | column_isin(
        df, "event_type", "offline", "forget"
    )
    found = compute_spending(df, prices)
    start, end = _ends(timestamp_micros(df), own, ~clocked)
    zone = time_zone(df)
    table = own.with_columns(
        **{_COUNTED[name]: _distinct(df, name, own) for name in others},
        start=to_datetimes(start, zone),
        end=to_datetimes(end, zone),
        wall=to_timedeltas(np.where(end == _NAT, _NAT, end - start)),
        **_times(status_intervals(df), Groups(groups.keys, groups.ids[len(df) :])),
        tools=own.count(tool_mask(df)),
        errors=own.count(error_mask(df)),
        **spending_columns(found, own),
    )
    lasted = (table[["active", "waiting", "idle"]] > pd.Timedelta(0)).any(axis=1)
    did = (table[["tools", "errors", "tokens"]] > 0).any(axis=1)
    table = table[table["start"].notna() | lasted | did].reset_index(drop=True)
    table.attrs.update(found.attrs())
    return table


_COUNTED = {"agent_id": "agents", "session_id": "sessions", "feature_id": "features"}
_NAT = np.iinfo(np.int64).min


def _ends(moments: IntArray, groups: Groups, rows: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the first and the last moment of each group's selected rows; NaT where none is."""
    first = np.full(len(groups.keys), np.iinfo(np.int64).max)
    last = np.full(len(groups.keys), _NAT)
    np.minimum.at(first, groups.ids[rows], moments[rows])
    np.maximum.at(last, groups.ids[rows], moments[rows])
    return np.where(last == _NAT, _NAT, first), last


def _distinct(df: pd.DataFrame, column: str, groups: Groups) -> IntArray:
    """Return how many different names each group has in a column."""
    codes, values = encode_column(df, column)
    here = codes >= 0
    size = max(len(values), 1)
    pairs = pd.unique(groups.ids[here] * size + codes[here])
    return np.bincount(pairs // size, minlength=len(groups.keys))


def _times(found: StatusIntervals, groups: Groups) -> dict[str, Any]:
    """Return the columns of the time that was spent in each status."""
    ids, n = groups.ids[found.rows], len(groups.keys)
    took = found.end - found.start
    columns = {}
    for name, status in (
        ("active", TimelineStatus.ACTIVE),
        ("waiting", TimelineStatus.WAITING),
        ("idle", TimelineStatus.IDLE),
    ):
        these = found.status == status
        # Weights are floats, and exact up to centuries of microseconds.
        columns[name] = to_timedeltas(np.bincount(ids[these], weights=took[these], minlength=n))
    return columns
