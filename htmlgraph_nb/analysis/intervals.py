"""When agents were active, idle, offline or waiting for a person."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.roster import Limits
from ..local_zone import Zone
from .columns import (
    ColumnNames,
    FloatArray,
    IntArray,
    as_tuple,
    require_columns,
    time_zone,
    to_datetimes,
    to_timedeltas,
)
from .grouping import group_rows, period_zone
from .periods import Length, parse_freq, period_starts
from .status_intervals import (
    STATUS_NAMES,
    StatusIntervals,
    TimelineStatus,
    status_intervals,
)

STATUS_DTYPE = pd.CategoricalDtype(list(STATUS_NAMES), ordered=True)
REQUIRED_COLUMNS = ("agent_id", "timestamp", "event_type")


def timeline(df: pd.DataFrame, limits: Limits | None = None) -> pd.DataFrame:
    """Return the intervals in which each agent was active, waiting, idle and offline.

    The statuses are those that the server decided and stored with each event (``agent_status``,
    ``agent_attention``). Events without them, such as those of session files, are decided here by
    the same rules, which takes some 30 s per million. Between events, timers make an agent idle and
    offline.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses seq, session_id, source,
            extra and the agent_ columns; without decisions also tool_name, tool_use_id and
            parent_agent_id.
        limits: recompute all decisions with these timers. None: use the stored decisions, and the
            timers recorded in the stored timer events, else the defaults of ``Limits``.

    Returns:
        One row per interval, sorted by the agents' ids and time, without gaps from the agent's
        first event to the newest timestamp of the frame: agent_id (as in ``df``), status (category:
        active, waiting, idle, offline), start and end (datetime64[us], in the time zone of ``df``),
        duration (timedelta64[us]). A status that starts at the newest timestamp has the duration 0.

    Raises:
        InvalidEvent: a column is missing, or a timestamp is invalid.

    >>> timeline(example()).head(3)[["agent_id", "status", "duration"]]
       agent_id   status        duration
    0  claude-1   active 0 days 00:01:00
    1  claude-1  waiting 0 days 00:02:00
    2  claude-1   active 0 days 00:01:00
    """
    df = require_columns(df, "timeline", *REQUIRED_COLUMNS)
    intervals = status_intervals(df, limits)
    zone = time_zone(df)
    agents = df["agent_id"].take(intervals.rows).reset_index(drop=True)
    if isinstance(agents.dtype, pd.CategoricalDtype) and not agents.dtype.ordered:
        agents = agents.cat.remove_unused_categories()
    return pd.DataFrame(
        {
            "agent_id": agents,
            "status": pd.Categorical.from_codes(intervals.status, dtype=STATUS_DTYPE),
            "start": to_datetimes(intervals.start, zone),
            "end": to_datetimes(intervals.end, zone),
            "duration": to_timedeltas(intervals.end - intervals.start),
        }
    )


def concurrency(
    df: pd.DataFrame,
    freq: str,
    limits: Limits | None = None,
    tz: Zone = None,
    offset: Length | None = None,
) -> pd.DataFrame:
    """Return the number of agents that were active, waiting and idle in each period.

    Args:
        df: as for ``timeline``.
        freq, tz, offset: as for ``tool_counts``.
        limits: as for ``timeline``.

    Returns:
        One row per period from that of the first event to that of the newest timestamp, including
        periods without agents: timestamp (start of the period, datetime64[us] in the time zone of
        the periods), active, waiting, idle (float64: number of agents, averaged over the period; of
        the last one over the part up to the newest timestamp, or at that time if it begins there),
        peak (int64: maximum number of agents that were active or waiting at the same time).

    Raises:
        InvalidEvent: a column is missing, or ``freq``, ``tz`` or ``offset`` is invalid.

    >>> concurrency(example(), "10min")[["active", "waiting", "idle", "peak"]]
       active  waiting  idle  peak
    0     1.0      0.4   0.2     2
    """
    df = require_columns(df, "concurrency", *REQUIRED_COLUMNS)
    periods, zone = parse_freq(freq, offset), period_zone(df, tz)
    intervals = status_intervals(df, limits)
    starts = edges = np.empty(0, np.int64)
    if len(intervals.rows):
        until = int(intervals.end.max())
        starts = period_starts(int(intervals.start.min()), until, periods, zone)
        edges = np.append(starts, until)
    counts: dict[str, npt.NDArray[Any]] = {
        STATUS_NAMES[status]: _mean(intervals, status, edges)
        for status in (TimelineStatus.ACTIVE, TimelineStatus.WAITING, TimelineStatus.IDLE)
    }
    counts["peak"] = _peak(intervals, edges)
    if len(starts) and starts[-1] == edges[-1]:
        now = intervals.status[intervals.lasts]
        for name, values in counts.items():
            busy = np.isin(now, (TimelineStatus.ACTIVE, TimelineStatus.WAITING))
            values[-1] = np.sum(busy if name == "peak" else now == STATUS_NAMES.index(name))
    return pd.DataFrame({"timestamp": to_datetimes(starts, zone), **counts})


def _mean(intervals: StatusIntervals, status: int, edges: IntArray) -> FloatArray:
    """Return the average number of agents with a status between adjacent edges."""
    selected = intervals.status == status
    start, end = intervals.start[selected], intervals.end[selected]
    total, lengths = _total_until(start, edges) - _total_until(end, edges), np.diff(edges)
    means: FloatArray = np.diff(total) / np.maximum(lengths, 1)
    return means


def _total_until(times: IntArray, edges: IntArray) -> FloatArray:
    """Return for each edge the sum of the durations from all earlier times to the edge."""
    ordered = np.sort(times)
    # Relative to the first edge, sums of microseconds stay exact for centuries.
    sums = np.append(0, np.cumsum(ordered - edges[:1].sum()))
    n = np.searchsorted(ordered, edges, side="right")
    total: FloatArray = (n * (edges - edges[:1].sum()) - sums[n]).astype(np.float64)
    return total


def _peak(intervals: StatusIntervals, edges: IntArray) -> IntArray:
    """Return the maximum number of agents active or waiting at once between adjacent edges."""
    if len(edges) < 2:
        return np.empty(0, np.int64)
    busy = (intervals.status <= TimelineStatus.WAITING) & (intervals.end > intervals.start)
    at = np.concatenate([edges[:-1], intervals.start[busy], intervals.end[busy]])
    step = np.repeat([0, 1, -1], [len(edges) - 1, busy.sum(), busy.sum()])
    # At equal times ends come before starts, and both before the edge.
    order = np.lexsort((step == 0, step, at))
    level = np.cumsum(step[order])
    begins = np.flatnonzero(step[order] == 0)
    return np.maximum.reduceat(level, begins)


def waiting_time(
    df: pd.DataFrame, by: ColumnNames = ("agent_id",), limits: Limits | None = None
) -> pd.DataFrame:
    """Return how long agents waited for a person, for permission or for an answer.

    Args:
        df: as for ``timeline``, and the columns of ``by``.
        by: columns to group by, such as ``"tool_name"`` (the call that waited), ``"project"`` or
            ``()``: those of the event with which the wait began.
        limits: as for ``timeline``.

    Returns:
        One row per group that waited, sorted by descending total: the columns of ``by`` (as in
        ``df``), waits (int64), total, median and longest (timedelta64[us]), waiting_now (bool: at
        the newest timestamp of the frame).

    Raises:
        InvalidEvent: a column is missing.

    >>> waiting_time(example())
       agent_id  waits           total          median         longest  waiting_now
    0  claude-1      1 0 days 00:02:00 0 days 00:02:00 0 days 00:02:00        False
    >>> waiting_time(example(), by="tool_name")[["tool_name", "waits", "total"]]
      tool_name  waits           total
    0      Bash      1 0 days 00:02:00
    """
    by = as_tuple(by)
    df = require_columns(df, "waiting_time", *REQUIRED_COLUMNS, *by)
    merged = status_intervals(df, limits)
    waits = np.flatnonzero(merged.status == TimelineStatus.WAITING)
    groups = group_rows(df, by, None, merged.rows[waits])
    n = groups.count()
    durations = (merged.end - merged.start)[waits]
    ordered = durations[np.lexsort((durations, groups.ids))]
    ends = np.cumsum(n)
    middle = ordered[ends - n + (n - 1) // 2] + ordered[ends - n + n // 2]
    table = groups.with_columns(
        waits=n,
        total=to_timedeltas(groups.total_count(durations)),
        median=to_timedeltas(middle // 2),
        longest=to_timedeltas(ordered[ends - 1]),
        waiting_now=groups.count(merged.lasts[waits]) > 0,
    )
    return table.sort_values("total", ascending=False, kind="stable", ignore_index=True)
