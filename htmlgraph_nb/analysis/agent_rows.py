"""The events of a history frame by agent, in the order in which they count.

Events count in the order of ``seq``, in which the server stored them. An event with a timestamp
before that of an earlier event of its agent is late: it counts from the time of the earlier event,
and does not change the agent's last activity. So a decision holds until the agent's next event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import Event
from ..core.reducer import NOT_FIRST_TYPES, SESSION_END_TYPES, TURN_END_TYPES, is_from_agent
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
    encode_column,
    map_names,
    timestamp_micros,
)
from .grouping import name_ranks

Rows = npt.NDArray[np.intp]
_BEFORE = np.iinfo(np.int64).min


_FORGETS, _NOT_FIRST, _FROM_AGENT, _NAMED = (np.uint8(1 << bit) for bit in range(4))
"""Bits that describe an event: its type, its source, and whether it names a session."""


@dataclass(frozen=True)
class AgentRows:
    """Rows of a frame, by agent and order; arrays of the same length.

    Attributes:
        rows: position in the frame.
        agents: code of the agent in the column ``agent_id``.
        timestamps: microseconds since 1970 UTC.
        at: time from which the row counts: the latest timestamp of the agent up to the row.
        firsts: whether it is the agent's first row.
        forgets: whether the row removes the agent.
        begins: whether it is the agent's first row, or the first one after its removal.
        enters: whether the row enters a session, or confirms the current one.
        late: whether the timestamp lies before the agent's last activity.
        skipped: whether the row belongs to a previous session and so does not change the agent.
        signs: whether the agent itself caused the row, not a timer or a person.
        last_activity: timestamp of the agent's newest row in ``signs``, else of its first row.
        silent_since: the same, or the later time at which its server resumed after a pause.
        session_codes: code of the session of each row of the frame.
    """

    rows: Rows
    agents: npt.NDArray[np.integer[Any]]
    timestamps: IntArray
    at: IntArray
    firsts: BoolArray
    forgets: BoolArray
    begins: BoolArray
    enters: BoolArray
    late: BoolArray
    skipped: BoolArray
    signs: BoolArray
    last_activity: IntArray
    silent_since: IntArray
    session_codes: npt.NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lasts(self) -> BoolArray:
        """Whether a row is the last of its agent."""
        return np.append(self.firsts[1:], True)[: len(self)]

    @cached_property
    def lives(self) -> IntArray:
        """Index of the first row since the agent was last removed."""
        return last_marked(self.begins)

    @cached_property
    def entered(self) -> IntArray:
        """Index of the row that entered the current session; -1: no session yet."""
        entered = last_marked(self.enters)
        return np.where(entered >= self.lives, entered, -1)

    @cached_property
    def part_begins(self) -> BoolArray:
        """Whether the row is the first since the agent was removed or changed its session."""
        entering = np.flatnonzero(self.enters)
        codes = self.session_codes[self.rows[entering]]
        begins = self.begins.copy()
        changes = entering[1:][codes[1:] != codes[:-1]]
        before = entering[:-1][codes[1:] != codes[:-1]]
        begins[changes[before >= self.lives[changes]]] = True
        return begins

    @cached_property
    def parts(self) -> IntArray:
        """Index of the first row since the agent was removed or changed its session."""
        return last_marked(self.part_begins)


def by_agent(df: pd.DataFrame, ordered: Rows | None) -> Rows | None:
    """Return positions in the frame by name of the agent; those of an agent stay in their order.

    Args:
        ordered: positions. None: all, in the order of the frame; also as the result.
    """
    names = encode_column(df, "agent_id")
    ranks = name_ranks(names, df["agent_id"].dtype)
    if len(ranks) < np.iinfo(np.int16).max:
        # Sorted by radix, in a fifth of the time.
        ranks = ranks.astype(np.int16)
    agents = ranks[names.codes if ordered is None else names.codes[ordered]]
    if (agents[1:] >= agents[:-1]).all():
        return ordered
    rows = np.argsort(agents, kind="stable")
    return rows if ordered is None else ordered[rows]


def agent_rows(df: pd.DataFrame, ordered: Rows | None) -> AgentRows:
    """Return rows of a frame by agent.

    Args:
        ordered: positions in the frame, in the order in which the events count. None: all, in the
            order of the frame.
    """
    rows = by_agent(df, ordered)
    agents, timestamps, bits = encode_column(df, "agent_id").codes, timestamp_micros(df), _bits(df)
    if rows is None:
        rows = np.arange(len(df))
    else:
        agents, timestamps, bits = agents[rows], timestamps[rows], bits[rows]
    firsts = np.ones(len(rows), np.bool_)
    firsts[1:] = agents[1:] != agents[:-1]
    forgets = bits & _FORGETS > 0
    begins = firsts.copy()
    begins[1:] |= forgets[:-1]
    starts = np.flatnonzero(begins)
    named, not_first = bits & _NAMED > 0, bits & _NOT_FIRST > 0
    signs = (bits & _FROM_AGENT > 0) & ~forgets
    codes = encode_column(df, "session_id").codes
    while True:
        activity, late = _activity(timestamps, begins, starts, signs)
        enters, skipped = _sessions(codes, rows, starts, named, not_first | late | forgets)
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
        begins,
        enters,
        late,
        skipped,
        signs & ~skipped,
        activity,
        _silent_since(df, rows, timestamps, activity, begins, skipped),
        codes,
    )


def _silent_since(
    df: pd.DataFrame,
    rows: Rows,
    timestamps: IntArray,
    activity: IntArray,
    begins: BoolArray,
    skipped: BoolArray,
) -> IntArray:
    """Return ``silent_since`` of AgentRows."""
    resumed = column_isin(df, "event_type", "resumed")
    if not resumed.any():
        return activity
    times = np.where(resumed[rows] & ~skipped, timestamps, _BEFORE)
    return np.maximum(activity, running_max(times, begins))


def alive_rows(df: pd.DataFrame, events: AgentRows) -> BoolArray:
    """Return whether the agent's process is known to be running after each row of AgentRows."""
    is_start = column_isin(df, "event_type", "process_start")
    is_end = column_isin(df, "event_type", *SESSION_END_TYPES)
    is_end &= ~column_isin(df, "source", "timer")
    is_end |= column_isin(df, "event_type", "process_lost")
    return _started(events, is_start, is_end)


def busy_rows(df: pd.DataFrame, events: AgentRows) -> BoolArray:
    """Return whether the agent's process reports that it works, after each row of AgentRows."""
    is_start = column_isin(df, "event_type", "process_busy")
    return _started(events, is_start, column_isin(df, "event_type", *TURN_END_TYPES))


def _started(events: AgentRows, is_start: BoolArray, is_end: BoolArray) -> BoolArray:
    """Return whether the last start is later than the last end, after each row of AgentRows.

    Args:
        is_start, is_end: masks of the rows of the frame.
    """
    if not is_start.any():
        return np.zeros(len(events), np.bool_)
    starts, ends = (marks[events.rows] & ~events.skipped for marks in (is_start, is_end))
    begins = events.part_begins
    # Between these rows nothing changes.
    changes = np.flatnonzero(starts | ends | begins)
    started, ended = (
        running_max(np.where(marks[changes], events.timestamps[changes], _BEFORE), begins[changes])
        for marks in (starts, ends)
    )
    return np.repeat(started > ended, np.diff(np.append(changes, len(events))))


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


def ranges_of(
    values: npt.NDArray[np.integer[Any]], wanted: npt.NDArray[np.integer[Any]]
) -> tuple[IntArray, IntArray]:
    """Return the first index of each wanted value, and the index after its last one.

    Args:
        values: sorted.
    """
    first, end = (np.searchsorted(values, wanted, side) for side in ("left", "right"))
    return first.astype(np.int64, copy=False), end.astype(np.int64, copy=False)


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


def _bits(df: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """Return for each row of the frame the bits that describe it."""

    def of_type(name: str | None) -> int:
        return int(_FORGETS * (name == "forget") | _NOT_FIRST * (name in NOT_FIRST_TYPES))

    bits = map_names(encode_column(df, "event_type"), of_type, np.uint8)
    bits |= _FROM_AGENT * agent_signs(df)
    bits |= _NAMED * (encode_column(df, "session_id").codes >= 0)
    return bits


def _activity(
    timestamps: IntArray, begins: BoolArray, starts: Rows, signs: BoolArray
) -> tuple[IntArray, BoolArray]:
    """Return ``last_activity`` and ``late`` of AgentRows; ``starts`` are the rows in ``begins``."""
    shown = timestamps
    sign_rows = np.flatnonzero(signs)
    others = np.flatnonzero(~signs)
    if len(others):
        newest = _last_of(sign_rows, others)
        first = _last_of(starts, others)
        shown = timestamps.copy()
        shown[others] = timestamps[np.maximum(newest, first)]
        # The time of a first row that shows no activity counts until the first one that does.
        quiet = starts[~signs[starts]]
        first_signs = np.append(sign_rows, -1)[np.searchsorted(sign_rows, quiet)]
        same_life = _last_of(starts, first_signs) == quiet
        begins = begins.copy()
        begins[first_signs[same_life]] = True
    activity = running_max(shown, begins)
    late = np.zeros(len(timestamps), np.bool_)
    rows = 1 + np.flatnonzero(timestamps[1:] < activity[:-1])
    late[rows] = _last_of(sign_rows, rows - 1) >= _last_of(starts, rows)
    return activity, late


def _last_of(marked: Rows, rows: Rows) -> Rows:
    """Return the last of the marked rows up to each row; -1: there is none."""
    index = np.searchsorted(marked, rows, side="right")
    return np.append(marked, -1)[index - 1]


def _sessions(
    codes: npt.NDArray[np.integer[Any]],
    rows: Rows,
    starts: Rows,
    named: BoolArray,
    passive: BoolArray,
) -> tuple[BoolArray, BoolArray]:
    """Return ``enters`` and ``skipped`` of AgentRows.

    Args:
        codes: code of the session of each row of the frame.
        named: whether the row names a session.
        passive: whether it does not enter it, unless it is the first that names one.
    """
    enters = named.copy()
    candidates = np.flatnonzero(named & passive)
    named_rows = np.flatnonzero(named)
    before = _last_of(named_rows, candidates - 1)
    enters[candidates[before >= _last_of(starts, candidates)]] = False
    others = candidates[~enters[candidates]]
    entered = _last_of(np.flatnonzero(enters), others)
    skipped = np.zeros(len(rows), np.bool_)
    skipped[others] = codes[rows[others]] != codes[rows[entered]]
    return enters, skipped
