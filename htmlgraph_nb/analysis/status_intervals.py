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
from .agent_rows import AgentRows, Rows, agent_rows
from .columns import IntArray, column_isin, encode_column, map_names, timestamp_micros
from .decisions import (
    Inferred,
    decide_rows,
    infer_silences,
    stored_limits,
    undecided_rows,
)


class TimelineStatus(IntEnum):
    """A status of the timeline: that of the presence, and "waiting" where it has attention."""

    ACTIVE = 0
    WAITING = 1
    IDLE = 2
    OFFLINE = 3


STATUS_NAMES = tuple(status.name.lower() for status in TimelineStatus)
_NEVER = np.iinfo(np.int64).max
Codes = npt.NDArray[np.int8]


def status_code(status: PresenceStatus, attention: bool) -> int:
    """Return the index into STATUS_NAMES of a decision."""
    return TimelineStatus.WAITING if attention else STATUS_NAMES.index(status.value)


@dataclass(frozen=True, slots=True)
class StatusChanges:
    """What was decided of every agent, by agent and time.

    Attributes:
        events: the rows of the frame.
        rows: index in ``events`` of the last row.
        at: from when on it holds, microseconds since 1970 UTC.
        status: index into STATUS_NAMES.
        codes: index into ``decisions``; -1: the frame has the decision of that row.
    """

    events: AgentRows
    rows: IntArray
    at: IntArray
    status: Codes
    codes: IntArray
    decisions: list[StatusDecision]


def status_changes(df: pd.DataFrame, limits: Limits | None = None) -> StatusChanges:
    """Return the decisions after the rows of a frame, and those that silence makes between them.

    Args:
        limits: the timers by which the Roster decides again; None: decisions that are stored count,
            and the timers are those of the server that stored the events, else the defaults.
    """
    undecided = undecided_rows(df)
    rows = np.arange(len(df))
    if limits is not None:
        undecided[:] = True
        # What another timer made of the agent says nothing.
        rows = rows[~column_isin(df, "source", "timer")]
    events = agent_rows(df, _in_order(df, rows, by_time=bool(undecided.all())))
    timers = limits or stored_limits(df)
    status, codes = np.full(len(events), TimelineStatus.OFFLINE, np.int8), np.full(len(events), -1)
    inferred: list[Inferred] = []
    decisions: list[StatusDecision] = []
    if not undecided.all():
        status, decisions, silences = _stored(df, events, timers)
        inferred.append(silences)
    if undecided.any():
        ordered = _in_order(df, rows[undecided[rows]], by_time=bool(undecided.all()))
        made = decide_rows(df, ordered, timers)
        found = made.codes[events.rows]
        codes = np.where(found >= 0, found + len(decisions), -1)
        index = np.empty(len(df), np.int64)
        index[events.rows] = np.arange(len(events))
        between = made.between
        inferred.append(Inferred(index[between.rows], between.at, between.codes + len(decisions)))
        decisions = [*decisions, *made.decisions]
        status = np.where(codes >= 0, _status_of(decisions)[codes], status)
    return _merge(events, status, codes, inferred, decisions)


def _in_order(df: pd.DataFrame, rows: Rows, *, by_time: bool) -> Rows:
    """Return positions in the order in which the events count: of ``seq``, else of time."""
    keys = [df["seq"].to_numpy(dtype=np.int64)[rows]] if "seq" in df.columns else []
    if by_time or not keys:
        keys.append(timestamp_micros(df)[rows])
    if len(keys) == 1 and (np.diff(keys[0]) >= 0).all():
        return rows
    return rows[np.lexsort(keys)]


def _stored(
    df: pd.DataFrame, events: AgentRows, limits: Limits
) -> tuple[Codes, list[StatusDecision], Inferred]:
    """Return the status after each row of which it is stored, and what silence made of it."""
    status = encode_column(df, "agent_status")
    detail = encode_column(df, "agent_detail")
    numbers = map_names(status, _number, np.int16)
    details = [*map(str, detail.values), ""]
    codes = numbers * len(details) + detail.codes % len(details)
    codes[numbers < 0] = -1
    pairs = [(PresenceStatus(one), detail) for one in _KNOWN for detail in details]
    codes = codes[events.rows]
    plain = np.array([STATUS_NAMES.index(one) for one in _KNOWN], np.int8)[numbers]
    if "agent_attention" in df.columns:
        attention = df["agent_attention"].to_numpy(dtype=np.bool_, na_value=False)
        plain[attention] = TimelineStatus.WAITING
    decisions, silences = infer_silences(events, pairs, codes, limits)
    return plain[events.rows], decisions, silences


_KNOWN = [status.value for status in PresenceStatus]


def _number(name: str | None) -> int:
    return _KNOWN.index(name) if name in _KNOWN else -1


def _status_of(decisions: list[StatusDecision]) -> Codes:
    return np.array([status_code(one.status, one.attention) for one in decisions], np.int8)


def _merge(
    events: AgentRows,
    status: Codes,
    codes: IntArray,
    inferred: list[Inferred],
    decisions: list[StatusDecision],
) -> StatusChanges:
    """Put what was inferred behind the rows, as far as it lies before the agent's next one."""
    rows = np.concatenate([one.rows for one in inferred]) if inferred else np.empty(0, np.int64)
    here = np.arange(len(events))
    if not len(rows):
        return StatusChanges(events, here, events.at, status, codes, decisions)
    at = np.maximum(np.concatenate([one.at for one in inferred]), events.at[rows])
    until = np.append(events.at[1:], _NEVER)
    until[events.lasts] = _NEVER
    kept = np.flatnonzero(at < until[rows])
    kept = kept[np.lexsort((at[kept], rows[kept]))]
    rows, at = rows[kept], at[kept]
    more = np.concatenate([one.codes for one in inferred])[kept]
    return StatusChanges(
        events,
        np.insert(here, rows + 1, rows),
        np.insert(events.at, rows + 1, at),
        np.insert(status, rows + 1, _status_of(decisions)[more]),
        np.insert(codes, rows + 1, more),
        decisions,
    )


class StatusIntervals(NamedTuple):
    """Intervals in which an agent had one status, by agent and time.

    Attributes:
        rows: position in the frame of the last event before.
        agents: code of the agent.
        status: index into STATUS_NAMES.
        start, end: microseconds since 1970 UTC.
    """

    rows: Rows
    agents: npt.NDArray[np.integer[Any]]
    status: Codes
    start: IntArray
    end: IntArray

    def durations(self, *statuses: int) -> IntArray:
        """Return the length of each interval, 0 where its status is none of these."""
        return np.where(np.isin(self.status, statuses), self.end - self.start, 0)


def status_intervals(df: pd.DataFrame, limits: Limits | None = None) -> StatusIntervals:
    """Return the statuses of a frame's agents up to its newest timestamp.

    Each interval lies between two decisions, so neighbours can have the same status. A status that
    begins with the newest timestamp has an interval without length.

    Args:
        limits: as of ``status_changes``.
    """
    changes = status_changes(df, limits)
    until = int(changes.events.timestamps.max(initial=0))
    kept = changes.at <= until
    rows, start, status = changes.rows[kept], changes.at[kept], changes.status[kept]
    agents = changes.events.agents[rows]
    lasts = np.append(agents[1:] != agents[:-1], True)[: len(agents)]
    end = np.append(start[1:], until)[: len(start)]
    end[lasts] = until
    shown = (end > start) | lasts
    positions = changes.events.rows[rows[shown]]
    return StatusIntervals(positions, agents[shown], status[shown], start[shown], end[shown])


def merge_intervals(found: StatusIntervals) -> StatusIntervals:
    """Return the intervals with neighbours of one agent and one status made one."""
    if not len(found.rows):
        return found
    begins = np.ones(len(found.rows), np.bool_)
    begins[1:] = (found.agents[1:] != found.agents[:-1]) | (found.status[1:] != found.status[:-1])
    ends = np.append(begins[1:], True)
    firsts = (found.rows[begins], found.agents[begins], found.status[begins], found.start[begins])
    return StatusIntervals(*firsts, found.end[ends])
