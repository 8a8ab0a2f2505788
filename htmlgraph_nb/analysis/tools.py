"""Tool usage: counts, errors, durations and transitions."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from ..core.validation import format_value
from ..errors import InvalidEvent
from ..local_zone import Zone
from .agent_labels import fill_forward
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
from .periods import Length

_TOOL = ("event_type", "tool_name")


def tool_counts(
    df: pd.DataFrame,
    by: ColumnNames = ("agent_id",),
    freq: str | None = None,
    normalize: bool = False,
    tz: Zone = None,
    offset: Length | None = None,
) -> pd.DataFrame:
    """Return the number of tool calls, counted like the totals of the server.

    Args:
        df: events; needs event_type, tool_name, the columns of ``by`` and, with ``freq``,
            timestamp.
        by: columns to group by, such as ``"branch"`` or ``("agent_kind", "project")``; rows with a
            missing name form a group of their own. ``()`` or None: no columns.
        freq: length of a period: ``"15min"``, ``"5h"``, ``"D"``; ``"W-MON"`` for weeks that begin
            on Monday, ``"W"`` on Sunday; ``"MS"``, ``"QS"``, ``"YS"`` for calendar months, quarters
            and years. Multiples such as ``"5h"`` or ``"2D"`` are counted from 1970-01-01 00:00 of
            the time zone. A day without midnight begins when the clock changes, one with two
            midnights with the first. None: no periods.
        normalize: return the share of all calls, within each period if there are periods.
        tz: time zone of the periods, such as ``"Europe/Paris"``. None: that of ``timestamp``, UTC
            if it has none.
        offset: what to shift the begin of periods by, as ``"17h"`` or a timedelta: weeks that begin
            Thursday 17:00 are ``freq="W-THU", offset="17h"``.

    Returns:
        One row per group with at least one call, sorted by the keys: timestamp (start of the
        period, datetime64[us] in the time zone of the periods) if ``freq`` is given, the columns of
        ``by`` (as in ``df``; categories only those that occur), count (int64) or share (float64).

    Raises:
        InvalidEvent: a column is missing, or is also a column of the result; or ``freq``, ``tz`` or
            ``offset`` is invalid.

    >>> tool_counts(example(), by="tool_name")
      tool_name  count
    0      Bash      2
    1      Edit      1
    2      Read      2
    """
    by = as_tuple(by)
    df = require_columns(df, "tool_counts", *_TOOL, *by, *(["timestamp"] if freq else []))
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, freq, rows, tz, offset)
    n = groups.count()
    if not normalize:
        return groups.with_columns(count=n)
    integers = pd.Series(n)
    total = integers.groupby(groups.keys["timestamp"]).transform("sum") if freq else n.sum()
    return groups.with_columns(share=integers / total)


def tool_errors(
    df: pd.DataFrame,
    by: ColumnNames = ("tool_name",),
    freq: str | None = None,
    tz: Zone = None,
    offset: Length | None = None,
) -> pd.DataFrame:
    """Return the number of tool calls that failed.

    Args:
        df: events; needs event_type, tool_name, status, the columns of ``by`` and, with ``freq``,
            timestamp.
        by, freq, tz, offset: as for ``tool_counts``.

    Returns:
        One row per group with at least one call, sorted by the keys: timestamp if ``freq`` is
        given, the columns of ``by``, count and errors (int64), error_rate and success_rate
        (float64: the shares of calls that failed and that did not).

    Raises:
        InvalidEvent: as for ``tool_counts``.

    >>> tool_errors(example())
      tool_name  count  errors  error_rate  success_rate
    0      Bash      2       1         0.5           0.5
    1      Edit      1       0         0.0           1.0
    2      Read      2       0         0.0           1.0
    """
    by = as_tuple(by)
    df = require_columns(df, "tool_errors", *_TOOL, "status", *by, *(["timestamp"] if freq else []))
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, freq, rows, tz, offset)
    n, failed = groups.count(), groups.count(error_mask(df)[rows])
    return groups.with_columns(
        count=n, errors=failed, error_rate=failed / n, success_rate=(n - failed) / n
    )


def tool_durations(
    df: pd.DataFrame,
    by: ColumnNames = ("tool_name",),
    quantiles: float | Sequence[float] = (0.5, 0.9, 0.99),
) -> pd.DataFrame:
    """Return statistics of the durations of tool calls, where agents report them.

    Args:
        df: events; needs event_type, tool_name, duration_ms and the columns of ``by``.
        by: as for ``tool_counts``.
        quantiles: one or several from 0 to 1, interpolated linearly.

    Returns:
        One row per group with at least one call, sorted by the keys: the columns of ``by``, count
        (int64: calls), timed (int64: calls with a duration), total_ms, mean_ms, min_ms, max_ms and
        one column per quantile, as p50_ms (float64; NaN if there are no durations).

    Raises:
        InvalidEvent: a column is missing, or a quantile lies outside 0 to 1.

    >>> tool_durations(example(), quantiles=[0.5])[["tool_name", "timed", "max_ms", "p50_ms"]]
      tool_name  timed   max_ms   p50_ms
    0      Bash      2  30000.0  20000.0
    1      Edit      1    400.0    400.0
    2      Read      1    200.0    200.0
    """
    by = as_tuple(by)
    df = require_columns(df, "tool_durations", *_TOOL, "duration_ms", *by)
    levels = _check_quantiles(quantiles)
    rows = np.flatnonzero(tool_mask(df))
    groups = group_rows(df, by, None, rows)
    durations = float_column(df, "duration_ms")[rows]
    timed = ~np.isnan(durations)
    n = groups.count(timed)
    ordered = _sort_in_groups(groups.ids[timed], durations[timed])
    ends = np.cumsum(n)
    total = np.where(n, groups.total(durations[timed], timed), np.nan)
    with np.errstate(invalid="ignore"):
        measures = {"total_ms": total, "mean_ms": total / np.maximum(n, 1)}
    statistics = {"min_ms": 0.0, "max_ms": 1.0, **{f"p{q * 100:g}_ms": q for q in levels}}
    for name, q in statistics.items():
        measures[name] = _quantile(ordered, ends - n, n, q)
    return groups.with_columns(count=groups.count(), timed=n, **measures)


def _check_quantiles(quantiles: Any) -> list[float]:
    levels: list[Any] = list(quantiles) if pd.api.types.is_list_like(quantiles) else [quantiles]
    for q in levels:
        if isinstance(q, bool) or not isinstance(q, Real) or not 0 <= float(q) <= 1:
            raise InvalidEvent(
                f"quantiles: expected numbers from 0 to 1, got {format_value(q)}", "quantiles"
            )
    return [float(q) for q in levels]


def _sort_in_groups(ids: IntArray, values: np.ndarray) -> np.ndarray:
    """Return the values sorted by group and then by value."""
    integers = values.astype(np.int64)
    size = int(integers.max(initial=0)) + 1
    if (integers == values).all() and size * (int(ids.max(initial=0)) + 1) < 2**62:
        # Sorting integers is much faster than sorting by two keys.
        return np.sort(ids * size + integers) % size
    return values[np.lexsort((values, ids))]


def _quantile(ordered: np.ndarray, start: IntArray, n: IntArray, q: float) -> np.ndarray:
    if not len(ordered):
        return np.full(len(n), np.nan)
    position = start + q * np.maximum(n - 1, 0)
    below = np.floor(position).astype(np.int64)
    last = len(ordered) - 1
    low, high = ordered[np.minimum(below, last)], ordered[np.minimum(below + 1, last)]
    part = position - below
    # At an exact position the next value is ignored: it may belong to another group.
    values = np.where(part > 0, low + (high - low) * part, low)
    return np.where(n > 0, values, np.nan)


def tool_transitions(df: pd.DataFrame) -> pd.DataFrame:
    """Return how often one tool followed another within a session of an agent.

    An event without a session belongs to the last session of its agent, as in ``sessions``.

    Args:
        df: events; needs event_type, tool_name, agent_id and timestamp, and uses session_id and
            seq.

    Returns:
        One row per pair of tools, sorted by their names: tool_name and next_tool_name (as tool_name
        in ``df``), count (int64), share (float64: of all tools that followed the first one).

    Raises:
        InvalidEvent: a column is missing.

    >>> tool_transitions(example())
      tool_name next_tool_name  count  share
    0      Bash           Edit      1    1.0
    1      Read           Bash      2    1.0
    """
    df = require_columns(df, "tool_transitions", *_TOOL, "agent_id", "timestamp")
    rows = np.flatnonzero(tool_mask(df))
    present = [name for name in ("agent_id", "seq") if name in df.columns]
    tools = df[[*present, "tool_name", "timestamp"]].take(rows)
    tools["session_id"] = fill_forward(df, "session_id").take(rows).array
    agents = encode_column(tools, "agent_id").codes
    sessions = encode_column(tools, "session_id").codes
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
