"""The status of every agent at every time, from the decisions after the events of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import PresenceStatus
from ..core.roster import Limits
from ..core.status_rules import StatusDecision
from .agent_rows import AgentRows, Rows, agent_rows, alive_rows
from .columns import IntArray, column_isin, encode_column, map_names, timestamp_micros
from .decisions import (
    Inferred,
    decide_rows,
    infer_silences,
    stored_limits,
    undecided_rows,
    warn_incomplete,
)


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
        limits: recompute all decisions with these timers. None: use stored decisions, and the
            timers of the server that stored the events, else the defaults.
    """
    undecided = undecided_rows(df)
    if limits is not None:
        undecided[:] = True
    warn_incomplete(df, undecided)
    rows = np.arange(len(df))
    if limits is not None:
        # Stored timer events are ignored: they belong to other limits.
        rows = rows[~column_isin(df, "source", "timer")]
    events = agent_rows(df, _in_order(df, rows, by_time=bool(undecided.all())))
    timers = limits or stored_limits(df)
    statuses = np.full(len(events), TimelineStatus.OFFLINE, np.int8)
    codes = np.full(len(events), -1)
    inferred: list[Inferred] = []
    decisions: list[StatusDecision] = []
    if not undecided.all():
        statuses, decisions, inferred_by_timers = _stored_statuses(df, events, timers)
        inferred.append(inferred_by_timers)
    if undecided.any():
        ordered = _in_order(df, rows[undecided[rows]], by_time=bool(undecided.all()))
        decided = decide_rows(df, ordered, timers)
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


def _in_order(df: pd.DataFrame, rows: Rows, *, by_time: bool) -> Rows:
    """Return positions in the order in which the events count: by ``seq``, else by time."""
    keys = [df["seq"].to_numpy(dtype=np.int64)[rows]] if "seq" in df.columns else []
    if by_time or not keys:
        keys.append(timestamp_micros(df)[rows])
    if len(keys) == 1 and (np.diff(keys[0]) >= 0).all():
        return rows
    return rows[np.lexsort(keys)]


def _stored_statuses(
    df: pd.DataFrame, events: AgentRows, limits: Limits
) -> tuple[StatusArray, list[StatusDecision], Inferred]:
    """Return the stored status after each row, and the decisions caused by timers between rows."""
    values = map_names(encode_column(df, "agent_status"), _presence_code, np.int16)
    detail = encode_column(df, "agent_detail")
    details = [*map(str, detail.values), ""]
    # Each combination of a status, a detail and ``alive`` has a code.
    combinations = [
        (PresenceStatus(value), text, alive)
        for alive in (False, True)
        for value in _PRESENCE_VALUES
        for text in details
    ]
    codes = values * len(details) + detail.codes % len(details)
    codes[values < 0] = -1
    codes = codes[events.rows]
    codes = np.where(codes >= 0, codes + alive_rows(df, events) * (len(combinations) // 2), codes)
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
    if not any(len(part.rows) for part in inferred):
        return StatusDecisions(events, row_numbers, events.at, statuses, codes, decisions)
    rows = np.concatenate([part.rows for part in inferred])
    at = np.maximum(np.concatenate([part.at for part in inferred]), events.at[rows])
    until = np.append(events.at[1:], _NEVER)
    until[events.lasts] = _NEVER
    kept = np.flatnonzero(at < until[rows])
    kept = kept[np.lexsort((at[kept], rows[kept]))]
    rows, at = rows[kept], at[kept]
    inferred_codes = np.concatenate([part.codes for part in inferred])[kept]
    return StatusDecisions(
        events,
        np.insert(row_numbers, rows + 1, rows),
        np.insert(events.at, rows + 1, at),
        np.insert(statuses, rows + 1, _status_codes(decisions)[inferred_codes]),
        np.insert(codes, rows + 1, inferred_codes),
        decisions,
    )


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


def status_intervals(df: pd.DataFrame, limits: Limits | None = None) -> StatusIntervals:
    """Return the statuses of a frame's agents up to its newest timestamp.

    Each interval lies between two decisions, so adjacent intervals can have the same status. A
    status that starts at the newest timestamp has an interval without length.

    Args:
        limits: as for ``status_decisions``.
    """
    decided = status_decisions(df, limits)
    until = int(decided.events.timestamps.max(initial=0))
    kept = decided.at <= until
    rows, start, status = decided.rows[kept], decided.at[kept], decided.statuses[kept]
    agents = decided.events.agents[rows]
    lasts = np.append(agents[1:] != agents[:-1], True)[: len(agents)]
    end = np.append(start[1:], until)[: len(start)]
    end[lasts] = until
    shown = (end > start) | lasts
    positions = decided.events.rows[rows[shown]]
    return StatusIntervals(positions, agents[shown], status[shown], start[shown], end[shown])


def merge_intervals(intervals: StatusIntervals) -> StatusIntervals:
    """Merge adjacent intervals with the same agent and status."""
    rows, agents, status, start, end = intervals
    if not len(rows):
        return intervals
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (agents[1:] != agents[:-1]) | (status[1:] != status[:-1])
    ends = np.append(begins[1:], True)
    return StatusIntervals(rows[begins], agents[begins], status[begins], start[begins], end[ends])
