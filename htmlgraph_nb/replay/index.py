"""What was known of every agent at any time of a stored history, found without folding it all.

The status is what was decided after the agent's last event or by its silence since; facts and
totals are the last values and running sums up to that event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.columns import encode_column
from ..analysis.status_intervals import StatusChanges, TimelineStatus, status_changes
from ..core.activity import MINUTES
from ..core.model import AgentPresence, PresenceStatus
from ..core.roster import Limits
from ..core.status_rules import FORGOTTEN, StatusDecision
from ..core.timestamps import from_micros, to_rfc3339
from .event_rows import FACTS, EventRows, Ints, check_frame, last_marked_before

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class ReplayState:
    """A time of the history; agents are counted as in ``HistoryIndex.agents``.

    Attributes:
        micros: microseconds since 1970.
        changes: index of each agent's last status change up to then; -1: none.
    """

    micros: int
    changes: Ints

    def differs_from(self, other: ReplayState) -> Ints:
        """Return the agents of which something else is known at the two times."""
        return np.flatnonzero(self.changes != other.changes)


class HistoryIndex:
    """An index of a history frame; ``at`` looks up a time, ``presence`` an agent of it.

    Events count as ``analysis.agent_rows`` says: in the order of their seq, late ones from the
    time of the event before. ``cost_usd`` is what agents reported, without the prices that a server
    adds.

    Args:
        frame: as ``load_history`` returns it; timestamp, agent_id and event_type are needed.
        limits: decide all statuses again with these timers; None: use the stored decisions.

    Attributes:
        frame: the history.
        agents: names.
        start, end: first and last time, microseconds since 1970; 0 where there is no event.

    Raises:
        InvalidEvent: a column is missing, has gaps or cannot be read.
    """

    def __init__(self, frame: pd.DataFrame, limits: Limits | None = None) -> None:
        check_frame(frame)
        self.frame = frame
        self._changes = changes = status_changes(frame, limits)
        self._events = events = changes.events
        self._rows = EventRows(frame, events)
        self.start = int(events.timestamps.min()) if len(events) else 0
        self.end = int(events.timestamps.max()) if len(events) else 0
        names = encode_column(frame, "agent_id").values
        firsts = np.flatnonzero(events.firsts)
        self.agents = [str(names[code]) for code in events.agents[firsts].tolist()]
        self._numbers = {name: number for number, name in enumerate(self.agents)}
        self._row_edges = np.append(firsts, len(events))
        self._edges = np.searchsorted(changes.rows, self._row_edges)
        self._since = _since(changes, self._edges[:-1])
        self._columns = {
            name: encode_column(frame, f"agent_{name}") for name in ("status", "detail", "reason")
        }

    # Times

    def at(self, micros: int) -> ReplayState:
        """Return what holds at this time, events of that very microsecond included."""
        return ReplayState(micros, _last_until(self._changes.at, self._edges, micros))

    def presences(self, state: ReplayState) -> dict[str, AgentPresence]:
        """Return the presence of each agent that is known at this time, by agent_id."""
        agents = np.flatnonzero(state.changes >= 0).tolist()
        found = ((self.agents[agent], self.presence(state, agent)) for agent in agents)
        return {name: presence for name, presence in found if presence is not None}

    def presence(self, state: ReplayState, agent: int) -> AgentPresence | None:
        """Return the presence of one agent (its index in ``agents``); None: not known then."""
        change = int(state.changes[agent])
        if change < 0:
            return None
        decision = self._decision(change)
        if decision.detail == FORGOTTEN.detail:
            return None
        events, rows = self._events, self._rows
        row = int(self._changes.rows[change])
        life, entered = int(events.lives[row]), int(events.entered[row])
        facts = {name: rows.facts[name].at(row, life) for name in FACTS}
        paid = last_marked_before(rows.cost_rows, row) >= life
        return AgentPresence(
            self.agents[agent],
            decision.status,
            facts["feature_id"],
            facts["tool_name"],
            from_micros(int(events.last_activity[row])),
            int(rows.tools[row]),
            int(rows.tokens[row]),
            None if entered < 0 else self._text("session_id", entered),
            decision.detail,
            decision.reason,
            from_micros(int(self._changes.at[self._since[change]])),
            decision.attention,
            facts["model"],
            facts["project"],
            facts["host"],
            facts["parent_agent_id"],
            float(rows.costs[row]) if paid else None,
            int(rows.errors[row]),
            self._seq(row),
        )

    def _decision(self, change: int) -> StatusDecision:
        code = int(self._changes.codes[change])
        if code >= 0:
            return self._changes.decisions[code]
        row = int(self._events.rows[self._changes.rows[change]])
        status, detail, reason = (
            str(column.values[column.codes[row]]) for column in self._columns.values()
        )
        attention = bool(self.frame["agent_attention"].iloc[row])
        return StatusDecision(PresenceStatus(status), detail, reason, attention)

    def _text(self, column: str, row: int) -> str:
        return str(self.frame[column].iloc[int(self._events.rows[row])])

    def _seq(self, row: int) -> int:
        position = int(self._events.rows[row])
        return int(self.frame["seq"].iloc[position]) if "seq" in self.frame else position + 1

    # What happened before

    def activity(self, state: ReplayState) -> dict[str, Any]:
        """Return the counts of the 15 minutes up to a time, as ``Activity.to_dict``."""
        events, edges = self._events, self._row_edges
        minute = state.micros // _MINUTE_US
        first = _last_until(events.at, edges, (minute - MINUTES + 1) * _MINUTE_US - 1) + 1
        first = np.where(first > 0, first, edges[:-1])
        counts = np.maximum(_last_until(events.at, edges, state.micros) + 1 - first, 0)
        agents = np.repeat(np.arange(len(self.agents)), counts)
        offsets = np.arange(len(agents)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(first, counts) + offsets
        rows, agents = rows[events.signs[rows]], agents[events.signs[rows]]
        places = agents * MINUTES + events.at[rows] // _MINUTE_US - minute + MINUTES - 1
        size = len(self.agents) * MINUTES
        done = np.bincount(places, minlength=size).reshape(-1, MINUTES)
        failed = np.bincount(places[self._rows.failed[rows]], minlength=size)
        failed = failed.reshape(-1, MINUTES)
        return {
            "at": to_rfc3339(from_micros(state.micros)),
            "minutes": MINUTES,
            "agents": {
                self.agents[agent]: {
                    "events": done[agent].tolist(),
                    "errors": failed[agent].tolist(),
                }
                for agent in np.flatnonzero(done.any(axis=1)).tolist()
            },
        }

    def recent(self, state: ReplayState, agent_id: str, limit: int) -> pd.DataFrame:
        """Return an agent's last events up to a time, the newest first."""
        agent = self._numbers.get(agent_id)
        if agent is None or state.changes[agent] < 0:
            return self.frame.iloc[:0]
        row, start = int(self._changes.rows[state.changes[agent]]), int(self._row_edges[agent])
        first = max(start, row - limit + 1)
        return self.frame.iloc[self._events.rows[first : row + 1][::-1]]


def _last_until(at: Ints, edges: Ints, micros: int) -> Ints:
    """Return the last index of each agent whose time is not after ``micros``; -1: none.

    Args:
        edges: first index of each agent, and the end; times do not decrease in between.
    """
    low, high = edges[:-1].copy(), edges[1:].copy()
    while (low < high).any():
        middle = (low + high) // 2
        earlier = at[np.minimum(middle, len(at) - 1)] <= micros
        open_ones = low < high
        low = np.where(open_ones & earlier, middle + 1, low)
        high = np.where(open_ones & ~earlier, middle, high)
    return np.where(low > edges[:-1], low - 1, -1)


def _since(changes: StatusChanges, firsts: Ints) -> Ints:
    """Return for each change the one with which its PresenceStatus began."""
    status = changes.status.copy()
    status[status == TimelineStatus.WAITING] = TimelineStatus.ACTIVE
    begins = np.ones(len(status), np.bool_)
    begins[1:] = status[1:] != status[:-1]
    begins[firsts] = True
    begins[1:] |= changes.events.forgets[changes.rows[:-1]] & (np.diff(changes.rows) > 0)
    found: Ints = np.maximum.accumulate(np.where(begins, np.arange(len(status)), -1))
    return found
