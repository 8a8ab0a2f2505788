"""When agents were active, idle, offline or waiting for a person."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.roster import Limits
from .columns import (
    FloatArray,
    IntArray,
    encode_column,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
)
from .grouping import assign_periods, period_edges
from .status_intervals import (
    STATUS_NAMES,
    StatusIntervals,
    TimelineStatus,
    merge_intervals,
    status_intervals,
)

STATUS_DTYPE = pd.CategoricalDtype(list(STATUS_NAMES), ordered=True)
REQUIRED_COLUMNS = ("agent_id", "timestamp", "event_type")


def timeline(df: pd.DataFrame, limits: Limits | None = None) -> pd.DataFrame:
    """Return in which intervals each agent was active, waiting, idle and offline.

    The statuses are those that the server decided and stored with each event (``agent_status``,
    ``agent_attention``). Events without them, as of session files, are decided here by the same
    rules, which takes some 30 s per million. Silence makes an agent idle and offline to the second.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses seq, session_id, source,
            extra and the agent_ columns; without decisions also tool_name, tool_use_id and
            parent_agent_id.
        limits: decide all events again with these timers; None: use the stored decisions, and the
            timers of the server that stored them as far as its own events show them, else the
            defaults of ``Limits``.

    Returns:
        One row an interval, by agent and time, without gaps from the agent's first event to the
        newest timestamp of the frame: agent_id (as in ``df``), status (category: active, waiting,
        idle, offline), start and end (datetime64[us], in the time zone of ``df``), duration
        (timedelta64[us]). A status that begins with the newest timestamp has no duration.

    Raises:
        InvalidEvent: a column is missing, or a time cannot be read.

    >>> timeline(example()).head(3)[["agent_id", "status", "duration"]]
       agent_id   status        duration
    0  claude-1   active 0 days 00:01:00
    1  claude-1  waiting 0 days 00:02:00
    2  claude-1   active 0 days 00:01:00
    """
    require_columns(df, "timeline", *REQUIRED_COLUMNS)
    found = merge_intervals(status_intervals(df, limits))
    zone = time_zone(df)
    return pd.DataFrame(
        {
            "agent_id": df["agent_id"].take(found.rows).reset_index(drop=True),
            "status": pd.Categorical.from_codes(found.status, dtype=STATUS_DTYPE),
            "start": to_datetimes(found.start, zone),
            "end": to_datetimes(found.end, zone),
            "duration": to_timedeltas(found.end - found.start),
        }
    )


def concurrency(df: pd.DataFrame, freq: str) -> pd.DataFrame:
    """Return how many agents were active, waiting and idle in each period.

    Args:
        df: as for ``timeline``.
        freq: length of a period as ``"15min"``, ``"1h"`` or ``"D"``.

    Returns:
        One row a period, also of those in which nobody was there: timestamp (its begin,
        datetime64[us] in the time zone of ``df``), active, waiting, idle (float64: agents, on
        average over the whole period), peak (int64: most agents that were active or waiting at
        one moment).

    Raises:
        InvalidEvent: a column is missing, or ``freq`` cannot be read.

    >>> concurrency(example(), "10min")[["active", "waiting", "idle", "peak"]]
       active  waiting  idle  peak
    0     0.5      0.2   0.1     2
    """
    require_columns(df, "concurrency", *REQUIRED_COLUMNS)
    found = status_intervals(df)
    zone = time_zone(df)
    if len(found.rows):
        begins = period_edges(int(found.start.min()), int(found.end.max()), freq, zone)
    else:
        begins = assign_periods(found.start, freq, zone)[1]
    edges = timestamp_micros(begins.to_frame(name="timestamp"))
    means = {
        STATUS_NAMES[one]: _mean(found, one, edges)
        for one in (TimelineStatus.ACTIVE, TimelineStatus.WAITING, TimelineStatus.IDLE)
    }
    return pd.DataFrame({"timestamp": begins[:-1], **means, "peak": _peak(found, edges)})


def _mean(found: StatusIntervals, status: int, edges: IntArray) -> FloatArray:
    """Return how many agents had a status, on average between neighbouring edges."""
    these = found.status == status
    total = _until(found.start[these], edges) - _until(found.end[these], edges)
    means: FloatArray = np.diff(total) / np.diff(edges)
    return means


def _until(moments: IntArray, edges: IntArray) -> FloatArray:
    """Return the time from all moments that lie before each edge to the edge, in all."""
    ordered = np.sort(moments)
    # Counted from the first edge, sums of microseconds stay exact for centuries.
    sums = np.append(0, np.cumsum(ordered - edges[:1].sum()))
    n = np.searchsorted(ordered, edges, side="right")
    total: FloatArray = (n * (edges - edges[:1].sum()) - sums[n]).astype(np.float64)
    return total


def _peak(found: StatusIntervals, edges: IntArray) -> IntArray:
    """Return the most agents that were active or waiting at one moment between the edges."""
    if len(edges) < 2:
        return np.empty(0, np.int64)
    busy = (found.status <= TimelineStatus.WAITING) & (found.end > found.start)
    at = np.concatenate([edges[:-1], found.start[busy], found.end[busy]])
    step = np.repeat([0, 1, -1], [len(edges) - 1, busy.sum(), busy.sum()])
    # At one moment who leaves goes before who comes, and both before the edge.
    order = np.lexsort((step == 0, step, at))
    level = np.cumsum(step[order])
    begins = np.flatnonzero(step[order] == 0)
    return np.maximum.reduceat(level, begins)


def waiting_time(df: pd.DataFrame) -> pd.DataFrame:
    """Return how long agents waited for a person: for permission or for an answer.

    Args:
        df: as for ``timeline``.

    Returns:
        One row an agent that waited: agent_id (as in ``df``), waits (int64), total, median and
        longest (timedelta64[us]), waiting_now (bool: at the newest timestamp of the frame). The
        longest total comes first.

    Raises:
        InvalidEvent: a column is missing.

    >>> waiting_time(example())
       agent_id  waits           total          median         longest  waiting_now
    0  claude-1      1 0 days 00:02:00 0 days 00:02:00 0 days 00:02:00        False
    """
    require_columns(df, "waiting_time", *REQUIRED_COLUMNS)
    intervals = timeline(df)
    agents = encode_column(intervals, "agent_id").codes
    newest = np.append(agents[1:] != agents[:-1], True)[: len(agents)]
    waits = intervals.assign(waiting_now=newest)[intervals["status"] == "waiting"]
    by_agent = waits.groupby("agent_id", observed=True, sort=False)
    found = by_agent.agg(
        waits=("duration", "size"),
        total=("duration", "sum"),
        median=("duration", "median"),
        longest=("duration", "max"),
        waiting_now=("waiting_now", "any"),
    )
    spans = dict.fromkeys(("total", "median", "longest"), "timedelta64[us]")
    found = found.sort_values("total", ascending=False, kind="stable").reset_index()
    return found.astype({**spans, "waits": "int64", "waiting_now": "bool"})
