"""The status of every agent at every time, from the decisions after the events of a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import PresenceStatus
from ..core.roster import Limits
from ..core.status_rules import StatusDecision
from .agent_rows import AgentRows, Rows, agent_rows, alive_rows, busy_rows, by_agent
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
    encode_column,
    map_names,
    timestamp_micros,
)
from .decisions import (
    Inferred,
    decide_rows,
    infer_silences,
    silent_families,
    stored_limits,
    undecided_rows,
    warn_incomplete,
)
from .grouping import PART_ROWS, map_parts


class TimelineStatus(IntEnum):
    """A status of the timeline: that of the presence, or "waiting" if it has attention."""

    ACTIVE = 0
    WAITING = 1
    IDLE = 2
    OFFLINE = 3


STATUS_NAMES = tuple(status.name.lower() for status in TimelineStatus)
_NEVER = np.iinfo(np.int64).max
StatusArray = npt.NDArray[np.int8]


def status_code(status: PresenceStatus, attention: bool) -> int:
    """Return the index into STATUS_NAMES of a decision."""
    return TimelineStatus.WAITING if attention else STATUS_NAMES.index(status.value)


@dataclass(frozen=True, slots=True)
class StatusDecisions:
    """The status decisions of all agents, by agent and time.

    Attributes:
        events: the rows of the frame.
        rows: row of ``events`` that precedes or causes the decision.
        at: start of the status, microseconds since 1970 UTC.
        statuses: index into STATUS_NAMES.
        codes: index into ``decisions``; -1: the decision is stored in the row.
    """

    events: AgentRows
    rows: IntArray
    at: IntArray
    statuses: StatusArray
    codes: IntArray
    decisions: list[StatusDecision]


def status_decisions(df: pd.DataFrame, limits: Limits | None = None) -> StatusDecisions:
    """Return the decisions after the rows of a frame, and those caused by timers between rows.

    Args:
        limits: recompute all decisions with these timers. None: use stored decisions, except those
            of ``silent_families``, and the timers of the server that stored the events, else the
            defaults.
    """
    missing = _missing_decisions(df, limits)
    if not missing.rows.any():
        return _stored_decisions(df, missing.timers)
    return _made_decisions(df, missing, ignore_timers=limits is not None)


class _Missing(NamedTuple):
    """The decisions of a frame that have to be made.

    Attributes:
        rows: mask of their rows.
        by_time: whether they are made in the order of the times of the events, not of ``seq``.
        timers: the timers with which to make them.
    """

    rows: BoolArray
    by_time: bool
    timers: Limits


def _missing_decisions(df: pd.DataFrame, limits: Limits | None) -> _Missing:
    """Return the decisions that are not stored, or not right: those of ``silent_families``."""
    undecided = undecided_rows(df)
    if limits is not None:
        undecided[:] = True
    warn_incomplete(df, undecided)
    timers = limits or stored_limits(df)
    if undecided.any():
        return _Missing(undecided, bool(undecided.all()), timers)
    return _Missing(silent_families(df, timers), True, timers)


def _made_decisions(df: pd.DataFrame, missing: _Missing, *, ignore_timers: bool) -> StatusDecisions:
    """Return the decisions of a frame of which at least one has to be made.

    Args:
        ignore_timers: leave out stored timer events, which belong to other limits.
    """
    undecided, by_time, timers = missing
    rows = np.arange(len(df))
    if ignore_timers:
        rows = rows[~column_isin(df, "source", "timer")]
    events = agent_rows(df, _in_order(df, rows, by_time=bool(undecided.all())))
    statuses = np.full(len(events), TimelineStatus.OFFLINE, np.int8)
    codes = np.full(len(events), -1)
    inferred: list[Inferred] = []
    decisions: list[StatusDecision] = []
    if not undecided.all():
        stored = _stored_statuses(df, events, timers, ~undecided)
        statuses, decisions, inferred_by_timers = stored
        inferred.append(inferred_by_timers)
    left = rows[undecided[rows]]
    ordered = _in_order(df, left, by_time=by_time)
    decided = decide_rows(df, left if ordered is None else ordered, timers)
    codes = decided.codes[events.rows]
    codes = np.where(codes >= 0, codes + len(decisions), -1)
    row_of_position = np.empty(len(df), np.int64)
    row_of_position[events.rows] = np.arange(len(events))
    between = decided.inferred
    inferred.append(
        Inferred(row_of_position[between.rows], between.at, between.codes + len(decisions))
    )
    decisions = [*decisions, *decided.decisions]
    statuses = np.where(codes >= 0, _status_codes(decisions)[codes], statuses)
    return _insert_inferred(events, statuses, codes, inferred, decisions)


def _stored_decisions(df: pd.DataFrame, limits: Limits) -> StatusDecisions:
    """Return the decisions of a frame all of whose rows have one."""
    events = agent_rows(df, _in_order(df, None, by_time=False))
    statuses, decisions, inferred = _stored_statuses(df, events, limits)
    return _insert_inferred(events, statuses, np.full(len(events), -1), [inferred], decisions)


def _in_order(df: pd.DataFrame, rows: Rows | None, *, by_time: bool) -> Rows | None:
    """Return positions in the order in which the events count: by ``seq``, else by time.

    Args:
        rows: positions. None: all, in the order of the frame; also as the result.
    """
    keys = [df["seq"].to_numpy(dtype=np.int64)] if "seq" in df.columns else []
    if by_time or not keys:
        keys.append(timestamp_micros(df))
    keys = keys if rows is None else [key[rows] for key in keys]
    if len(keys) == 1 and pd.Index(keys[0]).is_monotonic_increasing:
        return rows
    order = np.lexsort(keys)
    return order if rows is None else rows[order]


def _stored_statuses(
    df: pd.DataFrame, events: AgentRows, limits: Limits, used: BoolArray | None = None
) -> tuple[StatusArray, list[StatusDecision], Inferred]:
    """Return the stored status after each row, and the decisions caused by timers between rows.

    Args:
        used: mask of the rows of the frame whose stored decision counts. None: all.
    """
    values = map_names(encode_column(df, "agent_status"), _presence_code, np.int16)
    detail = encode_column(df, "agent_detail")
    details = [*map(str, detail.values), ""]
    # Each combination of a status, a detail and what is known about the process has a code.
    combinations = [
        (PresenceStatus(value), text, alive, busy)
        for alive, busy in ((False, False), (True, False), (True, True))
        for value in _PRESENCE_VALUES
        for text in details
    ]
    codes = values * np.int32(len(details)) + (detail.codes.astype(np.int32) % len(details))
    codes[(values < 0) if used is None else (values < 0) | ~used] = -1
    codes = codes[events.rows]
    alive = alive_rows(df, events)
    if alive.any():
        codes[alive & (codes >= 0)] += len(combinations) // 3
        codes[alive & (codes >= 0) & busy_rows(df, events)] += len(combinations) // 3
    statuses = np.array([STATUS_NAMES.index(value) for value in _PRESENCE_VALUES], np.int8)[values]
    if "agent_attention" in df.columns:
        attention = df["agent_attention"].to_numpy(dtype=np.bool_, na_value=False)
        statuses[attention] = TimelineStatus.WAITING
    decisions, inferred = infer_silences(events, combinations, codes, limits)
    return statuses[events.rows], decisions, inferred


_PRESENCE_VALUES = [status.value for status in PresenceStatus]


def _presence_code(name: str | None) -> int:
    return _PRESENCE_VALUES.index(name) if name in _PRESENCE_VALUES else -1


def _status_codes(decisions: list[StatusDecision]) -> StatusArray:
    codes = [status_code(decision.status, decision.attention) for decision in decisions]
    return np.array(codes, np.int8)


def _insert_inferred(
    events: AgentRows,
    statuses: StatusArray,
    codes: IntArray,
    inferred: list[Inferred],
    decisions: list[StatusDecision],
) -> StatusDecisions:
    """Insert inferred decisions after their row if they precede the agent's next row."""
    row_numbers = np.arange(len(events))
    rows, at, inferred_codes = _effective(events, inferred)
    if not len(rows):
        return StatusDecisions(events, row_numbers, events.at, statuses, codes, decisions)
    return StatusDecisions(
        events,
        np.insert(row_numbers, rows + 1, rows),
        np.insert(events.at, rows + 1, at),
        np.insert(statuses, rows + 1, _status_codes(decisions)[inferred_codes]),
        np.insert(codes, rows + 1, inferred_codes),
        decisions,
    )


def _effective(events: AgentRows, inferred: list[Inferred]) -> Inferred:
    """Return the inferred decisions that precede the agent's next row, by row and time."""
    rows, at, codes = (np.concatenate(part) for part in zip(*inferred, strict=True))
    at = np.maximum(at, events.at[rows])
    last = rows + 1 == len(events)
    following = np.where(last, rows, rows + 1)
    until = np.where(last | events.firsts[following], _NEVER, events.at[following])
    kept = np.flatnonzero(at < until)
    kept = kept[np.lexsort((at[kept], rows[kept]))]
    return Inferred(rows[kept], at[kept], codes[kept])


class StatusIntervals(NamedTuple):
    """Intervals in which an agent had one status, by agent and time.

    Attributes:
        rows: position in the frame of the event that precedes or starts the interval.
        agents: code of the agent.
        status: index into STATUS_NAMES.
        start, end: microseconds since 1970 UTC.
    """

    rows: Rows
    agents: npt.NDArray[np.integer[Any]]
    status: StatusArray
    start: IntArray
    end: IntArray

    @property
    def lasts(self) -> npt.NDArray[np.bool_]:
        """Whether an interval is the last of its agent."""
        return np.append(self.agents[1:] != self.agents[:-1], True)[: len(self.agents)]

    def durations(self, *statuses: int) -> IntArray:
        """Return the length of each interval; 0 if it has another status."""
        return np.where(np.isin(self.status, statuses), self.end - self.start, 0)


def status_intervals(
    df: pd.DataFrame, limits: Limits | None = None, groups: IntArray | None = None
) -> StatusIntervals:
    """Return the statuses of a frame's agents up to its newest timestamp.

    Adjacent intervals of an agent have different statuses, or lie in different groups. A status
    that starts at the newest timestamp has an interval without length.

    Args:
        limits: as for ``status_decisions``.
        groups: the group of each row of the frame. None: all are in one.
    """
    until = int(timestamp_micros(df).max(initial=0))
    missing = _missing_decisions(df, limits)
    if missing.rows.any():
        decided = _made_decisions(df, missing, ignore_timers=limits is not None)
        found = _intervals(decided.events, decided.rows, decided.at, decided.statuses, until)
        return _merge_intervals(found, groups)
    used = df[[name for name in _STORED_COLUMNS if name in df.columns]]
    agents = encode_column(df, "agent_id").codes

    def part_of(rows: Rows) -> StatusIntervals:
        ids = None if groups is None else groups[rows]
        found = _stored_intervals(used.take(rows), missing.timers, until, ids)
        positions = rows[found.rows]
        return found._replace(rows=positions, agents=agents[positions])

    parts = map_parts(part_of, _agent_parts(df))
    return StatusIntervals(*map(np.concatenate, zip(*parts, strict=True)))


_STORED_COLUMNS = (
    *("timestamp", "agent_id", "session_id", "event_type", "source"),
    *("agent_status", "agent_detail", "agent_attention"),
)


def _agent_parts(df: pd.DataFrame) -> Iterator[Rows]:
    """Yield the rows of a few agents at a time, each agent's in order; at least once."""
    rows = by_agent(df, _in_order(df, None, by_time=False))
    rows = np.arange(len(df)) if rows is None else rows
    agents = encode_column(df, "agent_id").codes[rows]
    begins = np.append(0, 1 + np.flatnonzero(agents[1:] != agents[:-1]))
    start = 0
    while start < len(rows):
        later = begins[np.searchsorted(begins, start + PART_ROWS) :]
        end = int(later[0]) if len(later) else len(rows)
        yield rows[start:end]
        start = end
    if not len(rows):
        yield rows


def _stored_intervals(
    df: pd.DataFrame, limits: Limits, until: int, groups: IntArray | None
) -> StatusIntervals:
    """Return the intervals of a frame with a decision in each row, in which the rows are ordered.

    They are those of ``status_decisions``, but only rows that start an interval are copied.
    """
    events = agent_rows(df, None)
    statuses, decisions, inferred = _stored_statuses(df, events, limits)
    inferred_rows, inferred_at, codes = _effective(events, [inferred])
    # The other rows continue the interval of the row before.
    changes = events.firsts.copy()
    changes[1:] |= statuses[1:] != statuses[:-1]
    changes[1:][inferred_rows[inferred_rows < len(changes) - 1]] = True
    if groups is not None:
        ids = groups[events.rows]
        changes[1:] |= ids[1:] != ids[:-1]
    kept = np.flatnonzero(changes)
    index = np.searchsorted(kept, inferred_rows, side="right")
    rows = np.insert(kept, index, inferred_rows)
    at = np.insert(events.at[kept], index, inferred_at)
    status = np.insert(statuses[kept], index, _status_codes(decisions)[codes])
    found = _intervals(events, rows, at, status, until)
    return _merge_intervals(found, groups)


def _intervals(
    events: AgentRows, rows: IntArray, at: IntArray, status: StatusArray, until: int
) -> StatusIntervals:
    """Return the intervals between decisions, up to a time.

    Args:
        rows, at, status: as in StatusDecisions.
    """
    kept = at <= until
    rows, start, status = rows[kept], at[kept], status[kept]
    agents = events.agents[rows]
    lasts = np.append(agents[1:] != agents[:-1], True)[: len(agents)]
    end = np.append(start[1:], until)[: len(start)]
    end[lasts] = until
    shown = (end > start) | lasts
    positions = events.rows[rows[shown]]
    return StatusIntervals(positions, agents[shown], status[shown], start[shown], end[shown])


def _merge_intervals(intervals: StatusIntervals, groups: IntArray | None) -> StatusIntervals:
    """Merge adjacent intervals with the same agent, status and group."""
    rows, agents, status, start, end = intervals
    if not len(rows):
        return intervals
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (agents[1:] != agents[:-1]) | (status[1:] != status[:-1])
    if groups is not None:
        ids = groups[rows]
        begins[1:] |= ids[1:] != ids[:-1]
    ends = np.append(begins[1:], True)
    return StatusIntervals(rows[begins], agents[begins], status[begins], start[begins], end[ends])
