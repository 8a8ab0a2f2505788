"""Which tools were used, how often they failed, how long they took, which follows which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import InvalidEvent
from .columns import (
    ColumnNames,
    IntArray,
    as_tuple,
    encode_column,
    error_mask,
    float_column,
    require_columns,
    timestamp_micros,
    tool_mask,
)
from .grouping import group_rows

_TOOL = ("event_type", "tool_name")


def tool_counts(
    df: pd.DataFrame,
    by: ColumnNames = ("agent_id",),
    freq: str | None = None,
    normalize: bool = False,
) -> pd.DataFrame:
    """Return how many tools were executed, by the same definition as the server's totals.

    Args:
        df: events; needs event_type, tool_name, the columns of ``by`` and, with ``freq``,
            timestamp.
        by: columns to group by; rows without a name form a group of their own.
        freq: length of a period as ``"15min"``, ``"1h"``, ``"D"`` or ``"W-MON"``; None: none.
        normalize: give the share of all tools, in the same period if there are periods, instead.

    Returns:
        One row a group with at least one tool, in the order of the keys: timestamp (begin of the
        period, in the time zone of ``df``) if ``freq`` is given, the columns of ``by`` (as in
        ``df``), count (int64) or share (float64).

    Raises:
        InvalidEvent: a column is missing, or ``freq`` cannot be read.

    >>> tool_counts(example(), by="tool_name")
      tool_name  count
    0      Bash      2
    1      Edit      1
    2      Read      2
    """
    by = as_tuple(by)
    require_columns(df, "tool_counts", *_TOOL, *by, *(["timestamp"] if freq else []))
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, freq, rows)
    n = groups.count()
    if not normalize:
        return groups.with_columns(count=n)
    whole = pd.Series(n)
    total = whole.groupby(groups.keys["timestamp"]).transform("sum") if freq else n.sum()
    return groups.with_columns(share=whole / total)


def tool_errors(
    df: pd.DataFrame, by: ColumnNames = ("tool_name",), freq: str | None = None
) -> pd.DataFrame:
    """Return how many executed tools failed.

    Args:
        df: events; needs event_type, tool_name, status, the columns of ``by`` and, with ``freq``,
            timestamp.
        by, freq: as for ``tool_counts``.

    Returns:
        One row a group with at least one tool, in the order of the keys: timestamp if ``freq`` is
        given, the columns of ``by``, count and errors (int64), error_rate (float64, errors by
        count).

    Raises:
        InvalidEvent: a column is missing, or ``freq`` cannot be read.

    >>> tool_errors(example())
      tool_name  count  errors  error_rate
    0      Bash      2       1         0.5
    1      Edit      1       0         0.0
    2      Read      2       0         0.0
    """
    by = as_tuple(by)
    require_columns(df, "tool_errors", *_TOOL, "status", *by, *(["timestamp"] if freq else []))
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, freq, rows)
    n, failed = groups.count(), groups.count(error_mask(df)[rows])
    return groups.with_columns(count=n, errors=failed, error_rate=failed / n)


def tool_durations(
    df: pd.DataFrame,
    by: ColumnNames = ("tool_name",),
    quantiles: Sequence[float] = (0.5, 0.9, 0.99),
) -> pd.DataFrame:
    """Return how long executed tools took, as far as their agents told.

    Args:
        df: events; needs event_type, tool_name, duration_ms and the columns of ``by``.
        by: as for ``tool_counts``.
        quantiles: from 0 to 1; between two durations they are interpolated.

    Returns:
        One row a group with at least one tool, in the order of the keys: the columns of ``by``,
        count (int64: tools), timed (int64: those with a duration), total_ms, mean_ms, min_ms,
        max_ms and one column a quantile, as p50_ms (float64; NaN where none has a duration).

    Raises:
        InvalidEvent: a column is missing, or a quantile lies outside 0 to 1.

    >>> tool_durations(example(), quantiles=[0.5])[["tool_name", "timed", "max_ms", "p50_ms"]]
      tool_name  timed   max_ms   p50_ms
    0      Bash      2  30000.0  20000.0
    1      Edit      1    400.0    400.0
    2      Read      1    200.0    200.0
    """
    by = as_tuple(by)
    require_columns(df, "tool_durations", *_TOOL, "duration_ms", *by)
    for q in quantiles:
        if not 0 <= q <= 1:
            raise InvalidEvent(f"a quantile is {q}, expected 0 to 1, as 0.9", "quantiles")
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, None, rows)
    took = float_column(df, "duration_ms")[rows]
    timed = ~np.isnan(took)
    n = groups.count(timed)
    ordered = _by_group(groups.ids[timed], took[timed])
    ends = np.cumsum(n)
    total = np.where(n, groups.total(took[timed], timed), np.nan)
    with np.errstate(invalid="ignore"):
        measures = {"total_ms": total, "mean_ms": total / np.maximum(n, 1)}
    wanted = {"min_ms": 0.0, "max_ms": 1.0, **{f"p{q * 100:g}_ms": q for q in quantiles}}
    for name, q in wanted.items():
        measures[name] = _quantile(ordered, ends - n, n, q)
    return groups.with_columns(count=groups.count(), timed=n, **measures)


def _by_group(ids: IntArray, values: np.ndarray) -> np.ndarray:
    """Return the values, ordered within their groups, one group after the other."""
    whole = values.astype(np.int64)
    span = int(whole.max(initial=0)) + 1
    if (whole == values).all() and span * (int(ids.max(initial=0)) + 1) < 2**62:
        # One sort of integers takes a fraction of the time of a sort by two keys.
        return np.sort(ids * span + whole) % span
    return values[np.lexsort((values, ids))]


def _quantile(ordered: np.ndarray, start: IntArray, n: IntArray, q: float) -> np.ndarray:
    if not len(ordered):
        return np.full(len(n), np.nan)
    place = start + q * np.maximum(n - 1, 0)
    below = np.floor(place).astype(np.int64)
    last = len(ordered) - 1
    low, high = ordered[np.minimum(below, last)], ordered[np.minimum(below + 1, last)]
    part = place - below
    # Where the place is exact, what comes after it is of no account, nor of this group perhaps.
    found = np.where(part > 0, low + (high - low) * part, low)
    return np.where(n > 0, found, np.nan)


def tool_transitions(df: pd.DataFrame) -> pd.DataFrame:
    """Return which tool followed which, within one session of one agent.

    Args:
        df: events; needs event_type, tool_name, agent_id and timestamp, and uses session_id and
            seq.

    Returns:
        One row a pair of tools, in the order of their names: tool_name and next_tool_name (as
        tool_name in ``df``), count (int64), share (float64: of all that followed the first).

    Raises:
        InvalidEvent: a column is missing.

    >>> tool_transitions(example())
      tool_name next_tool_name  count  share
    0      Bash           Edit      1    1.0
    1      Read           Bash      2    1.0
    """
    require_columns(df, "tool_transitions", *_TOOL, "agent_id", "timestamp")
    rows = np.flatnonzero(tool_mask(df))
    present = [name for name in ("agent_id", "session_id", "seq") if name in df.columns]
    tools = df[[*present, "tool_name", "timestamp"]].take(rows)
    agents, sessions = (
        encode_column(tools, "agent_id").codes,
        encode_column(tools, "session_id").codes,
    )
    arrival = [tools["seq"].to_numpy(dtype=np.int64)] if "seq" in present else []
    order = np.lexsort((*arrival, timestamp_micros(tools), sessions, agents))
    follows = (agents[order][1:] == agents[order][:-1]) & (
        sessions[order][1:] == sessions[order][:-1]
    )
    names = tools["tool_name"]
    pairs = pd.DataFrame(
        {
            "tool_name": names.take(order[:-1][follows]).reset_index(drop=True),
            "next_tool_name": names.take(order[1:][follows]).reset_index(drop=True),
        }
    )
    groups = group_rows(pairs, ("tool_name", "next_tool_name"))
    n = pd.Series(groups.count())
    first = groups.keys["tool_name"]
    total = n.groupby(first, observed=True, dropna=False).transform("sum")
    return groups.with_columns(count=n, share=n / total)
