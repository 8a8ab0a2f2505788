"""The events of a history frame by agent, in the order in which they count.

Events count in the order of ``seq``, in which the server stored them. An event with a timestamp
before that of an earlier event of its agent is late: it counts from the time of the earlier event,
and does not change the agent's last activity. So a decision holds until the agent's next event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import Event
from ..core.reducer import NOT_FIRST_TYPES, SESSION_END_TYPES, is_from_agent
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
    encode_column,
    map_names,
    name_ranks,
    timestamp_micros,
)

Rows = npt.NDArray[np.intp]
_BEFORE = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class AgentRows:
    """Rows of a frame, by agent and order; arrays of the same length.

    Attributes:
        rows: position in the frame.
        agents: code of the agent in the column ``agent_id``.
        timestamps: microseconds since 1970 UTC.
        at: time from which the row counts: the latest timestamp of the agent up to the row.
        firsts: whether it is the agent's first row.
        forgets: whether the row removes the agent.
        lives: index of the first row since the agent was last removed.
        entered: index of the row that started the current session; -1: no session yet.
        parts: index of the first row since the agent was removed or changed its session.
        late: whether the timestamp lies before the agent's last activity.
        skipped: whether the row belongs to a previous session and so does not change the agent.
        signs: whether the agent itself caused the row, not a timer or a person.
        last_activity: timestamp of the agent's newest row in ``signs``, else of its first row.
    """

    rows: Rows
    agents: npt.NDArray[np.integer[Any]]
    timestamps: IntArray
    at: IntArray
    firsts: BoolArray
    forgets: BoolArray
    lives: IntArray
    entered: IntArray
    parts: IntArray
    late: BoolArray
    skipped: BoolArray
    signs: BoolArray
    last_activity: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lasts(self) -> BoolArray:
        """Whether a row is the last of its agent."""
        return np.append(self.firsts[1:], True)[: len(self)]


def agent_rows(df: pd.DataFrame, ordered: Rows) -> AgentRows:
    """Return rows of a frame by agent.

    Args:
        ordered: positions in the frame, in the order in which the events count.
    """
    names = encode_column(df, "agent_id")
    codes = names.codes
    ranks = name_ranks(names, df["agent_id"].dtype)
    if len(ranks) < np.iinfo(np.int16).max:
        # Sorted by radix, in a fifth of the time.
        codes, ranks = codes.astype(np.int16), ranks.astype(np.int16)
    rows = ordered[np.argsort(ranks[codes[ordered]], kind="stable")]
    agents = codes[rows]
    timestamps = timestamp_micros(df)[rows]
    firsts = np.ones(len(rows), np.bool_)
    firsts[1:] = agents[1:] != agents[:-1]
    forgets = column_isin(df, "event_type", "forget")[rows]
    begins = firsts.copy()
    begins[1:] |= forgets[:-1]
    lives = last_marked(begins)
    signs = agent_signs(df)[rows] & ~forgets
    while True:
        newest = last_marked(signs)
        activity = running_max(timestamps[np.where(newest >= lives, newest, lives)], begins)
        late = np.zeros(len(rows), np.bool_)
        late[1:] = (timestamps[1:] < activity[:-1]) & (newest[:-1] >= lives[1:])
        entered, parts, skipped = _sessions(df, rows, begins, lives, late | forgets)
        if not (skipped & signs & ~late).any():
            break
        # A row of a previous session shows no activity, so fewer rows are late.
        signs &= ~(skipped & ~late)
    return AgentRows(
        rows,
        agents,
        timestamps,
        running_max(timestamps, firsts),
        firsts,
        forgets,
        lives,
        entered,
        parts,
        late,
        skipped,
        signs & ~skipped,
        activity,
    )


def alive_rows(df: pd.DataFrame, events: AgentRows) -> BoolArray:
    """Return whether the agent's process is known to be running after each row of AgentRows."""
    starts = column_isin(df, "event_type", "process_start")[events.rows] & ~events.skipped
    if not starts.any():
        return starts
    ends = column_isin(df, "event_type", *SESSION_END_TYPES) & ~column_isin(df, "source", "timer")
    ends = ends[events.rows] & ~events.skipped
    begins = events.parts == np.arange(len(events))
    started, ended = (
        running_max(np.where(marks, events.timestamps, _BEFORE), begins) for marks in (starts, ends)
    )
    alive: BoolArray = started > ended
    return alive


def last_marked(marks: BoolArray) -> IntArray:
    """Return for each row the last marked row up to it; -1: no row is marked so far."""
    rows = np.arange(len(marks))
    last: IntArray = np.maximum.accumulate(np.where(marks, rows, -1))
    return last


def last_until(at: IntArray, firsts: IntArray, ends: IntArray, times: IntArray | int) -> IntArray:
    """Return the last index of each range of ``at`` whose time is not after ``times``; -1: none.

    Args:
        at: times, which do not decrease within a range.
        firsts, ends: first index of each range, and the index after its last one.
        times: the time for each range, or one for all.
    """
    low, high = firsts.copy(), ends.copy()
    while (low < high).any():
        middle = (low + high) // 2
        earlier = at[np.minimum(middle, len(at) - 1)] <= times
        unfinished = low < high
        low = np.where(unfinished & earlier, middle + 1, low)
        high = np.where(unfinished & ~earlier, middle, high)
    return np.where(low > firsts, low - 1, -1)


def running_max(values: IntArray, begins: BoolArray) -> IntArray:
    """Return the largest value so far in each group of adjacent rows.

    Args:
        begins: whether a row is the first of its group.
    """
    falls = np.flatnonzero((values[1:] < values[:-1]) & ~begins[1:])
    if not len(falls):
        return values
    values = values.copy()
    edges = np.append(np.flatnonzero(begins), len(values))
    # Only the groups in which a value falls.
    for group in np.unique(np.searchsorted(edges, falls, "right") - 1).tolist():
        part = values[edges[group] : edges[group + 1]]
        np.maximum.accumulate(part, out=part)
    return values


def agent_signs(df: pd.DataFrame) -> BoolArray:
    """Return a mask of the rows that an agent itself caused, by ``core.reducer.is_from_agent``."""
    types, sources = encode_column(df, "event_type"), encode_column(df, "source")
    by_type = map_names(types, lambda name: is_from_agent(_event(event_type=name)), np.bool_)
    return by_type & map_names(sources, lambda name: is_from_agent(_event(source=name)), np.bool_)


def _event(event_type: str | None = None, source: str | None = None) -> Event:
    return Event(agent_id="any", event_type=event_type or "activity", source=source)


def _sessions(
    df: pd.DataFrame, rows: Rows, begins: BoolArray, lives: IntArray, late: BoolArray
) -> tuple[IntArray, IntArray, BoolArray]:
    """Return ``entered``, ``parts`` and ``skipped`` of AgentRows."""
    codes = encode_column(df, "session_id").codes[rows]
    named = codes >= 0
    n_named = np.cumsum(named)
    first = named & (n_named - n_named[lives] + named[lives] == 1)
    ends = column_isin(df, "event_type", *NOT_FIRST_TYPES)[rows]
    enters = named & (first | ~(ends | late))
    entered = last_marked(enters)
    entered = np.where(entered >= lives, entered, -1)
    skipped = named & ~enters & (codes != codes[entered])
    before = np.append(-1, entered)[: len(rows)]
    changes = enters & (before >= lives) & (codes != codes[before])
    return entered, last_marked(begins | changes), skipped
