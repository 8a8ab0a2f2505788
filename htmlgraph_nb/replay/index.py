"""The state of every agent at any time of a stored history, without applying all earlier events.

The status is that of the agent's last decision, after an event or by a timer. Facts and totals are
the last values and running sums up to the last event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.agent_rows import last_marked, last_until
from ..analysis.columns import CodedColumn, encode_column
from ..analysis.status_intervals import StatusDecisions, TimelineStatus, status_decisions
from ..core.activity import MINUTES
from ..core.agent_state import OF_SESSION
from ..core.model import AgentPresence, PresenceStatus
from ..core.roster import Limits
from ..core.status_rules import FORGOTTEN, StatusDecision
from ..core.timestamps import from_micros, to_rfc3339
from ..pricing.prices import Prices
from .event_rows import FACTS, EventRows, Ints, replay_frame

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class ReplayState:
    """The state at a time of the history.

    Attributes:
        micros: the time, microseconds since 1970.
        decisions: index of the last decision of each agent, in the order of
            ``HistoryIndex.agents``; -1: none yet.
    """

    micros: int
    decisions: Ints

    def differs_from(self, other: ReplayState) -> Ints:
        """Return the agents whose state differs, as indices into ``HistoryIndex.agents``."""
        return np.flatnonzero(self.decisions != other.decisions)


class HistoryIndex:
    """An index of a history frame: ``at`` returns a state, ``presence`` an agent in it.

    Events count in the order of ``analysis.agent_rows``. ``context_source``, ``compacted_at``,
    ``detail_until``, ``unseen`` and ``alive`` keep their defaults: a history does not contain them.

    Args:
        frame: as ``load_history`` returns it; timestamp, agent_id and event_type are needed.
        limits: recompute all decisions with these timers. None: use the stored decisions.
        prices: as for ``token_costs``; costs that agents reported take precedence.

    Attributes:
        frame: the history.
        agents: ids of the agents.
        start, end: first and last timestamp, microseconds since 1970; 0 without events.

    Raises:
        InvalidEvent: a column is missing, has missing values or is invalid.
    """

    def __init__(
        self, frame: pd.DataFrame, limits: Limits | None = None, prices: Prices | None = None
    ) -> None:
        self.frame = frame = replay_frame(frame)
        self._decided = decided = status_decisions(frame, limits)
        self._events = events = decided.events
        self._rows = EventRows(frame, events, prices)
        self.start = int(events.timestamps.min()) if len(events) else 0
        self.end = int(events.timestamps.max()) if len(events) else 0
        names = encode_column(frame, "agent_id").values
        firsts = np.flatnonzero(events.firsts)
        self.agents = [str(names[code]) for code in events.agents[firsts].tolist()]
        self._numbers = {name: number for number, name in enumerate(self.agents)}
        self._row_edges = np.append(firsts, len(events))
        self._edges = np.searchsorted(decided.rows, self._row_edges)
        self._columns = {
            name: encode_column(frame, f"agent_{name}") for name in ("status", "detail", "reason")
        }
        status = decided.statuses.copy()
        status[status == TimelineStatus.WAITING] = TimelineStatus.ACTIVE
        self._since = _since(decided, self._edges[:-1], status)
        details = _details(decided, self._columns["detail"])
        keys = details * len(TimelineStatus) + decided.statuses
        self._detail_since = _since(decided, self._edges[:-1], keys)

    # Times

    def at(self, micros: int) -> ReplayState:
        """Return the state at a time, including events with this timestamp."""
        return ReplayState(
            micros, last_until(self._decided.at, self._edges[:-1], self._edges[1:], micros)
        )

    def presences(self, state: ReplayState) -> dict[str, AgentPresence]:
        """Return the presences of the agents that exist in this state, by agent_id."""
        agents = np.flatnonzero(state.decisions >= 0).tolist()
        presences = ((self.agents[agent], self.presence(state, agent)) for agent in agents)
        return {name: presence for name, presence in presences if presence is not None}

    def presence(self, state: ReplayState, agent: int) -> AgentPresence | None:
        """Return the presence of an agent (index in ``agents``); None: it does not exist."""
        last = int(state.decisions[agent])
        if last < 0:
            return None
        decision = self._decision(last)
        if decision.detail == FORGOTTEN.detail:
            return None
        events, rows = self._events, self._rows
        row = int(self._decided.rows[last])
        life, entered = int(events.lives[row]), int(events.entered[row])
        part = int(events.parts[row])
        facts = {
            name: rows.facts[name].at(row, part if name in OF_SESSION else life) for name in FACTS
        }
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
            from_micros(int(self._decided.at[self._since[last]])),
            decision.attention,
            facts["model"],
            facts["project"],
            facts["host"],
            facts["parent_agent_id"],
            rows.costs.at(row, life),
            int(rows.errors[row]),
            self._seq(row),
            title=facts["title"],
            branch=facts["branch"],
            cwd=facts["cwd"],
            worktree=facts["worktree"],
            agent_kind=facts["agent_kind"],
            user=facts["user"],
            pr=facts["pr"],
            context_tokens=rows.counts["context_tokens"].at(row, part),
            context_window=rows.counts["context_window"].at(row, part),
            detail_since=from_micros(int(self._decided.at[self._detail_since[last]])),
            hooks=rows.has_hooks(row),
            session_tokens=int(rows.session_tokens[row]),
            session_cost_usd=rows.session_costs.at(row, part),
            unpriced_tokens=int(rows.unpriced[row]),
        )

    def _decision(self, index: int) -> StatusDecision:
        code = int(self._decided.codes[index])
        if code >= 0:
            return self._decided.decisions[code]
        row = int(self._events.rows[self._decided.rows[index]])
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

    # Earlier events

    def activity(self, state: ReplayState) -> dict[str, Any]:
        """Return the counts of the 15 minutes up to this state, as ``Activity.to_dict``."""
        events, starts, ends = self._events, self._row_edges[:-1], self._row_edges[1:]
        minute = state.micros // _MINUTE_US
        first = last_until(events.at, starts, ends, (minute - MINUTES + 1) * _MINUTE_US - 1) + 1
        first = np.where(first > 0, first, starts)
        counts = np.maximum(last_until(events.at, starts, ends, state.micros) + 1 - first, 0)
        agents = np.repeat(np.arange(len(self.agents)), counts)
        offsets = np.arange(len(agents)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(first, counts) + offsets
        rows, agents = rows[events.signs[rows]], agents[events.signs[rows]]
        buckets = agents * MINUTES + events.at[rows] // _MINUTE_US - minute + MINUTES - 1
        size = len(self.agents) * MINUTES
        total = np.bincount(buckets, minlength=size).reshape(-1, MINUTES)
        failed = np.bincount(buckets[self._rows.failed[rows]], minlength=size)
        failed = failed.reshape(-1, MINUTES)
        return {
            "at": to_rfc3339(from_micros(state.micros)),
            "minutes": MINUTES,
            "agents": {
                self.agents[agent]: {
                    "events": total[agent].tolist(),
                    "errors": failed[agent].tolist(),
                }
                for agent in np.flatnonzero(total.any(axis=1)).tolist()
            },
        }

    def recent(self, state: ReplayState, agent_id: str, limit: int) -> pd.DataFrame:
        """Return an agent's last events up to this state, the newest first."""
        agent = self._numbers.get(agent_id)
        if agent is None or state.decisions[agent] < 0:
            return self.frame.iloc[:0]
        row, start = int(self._decided.rows[state.decisions[agent]]), int(self._row_edges[agent])
        first = max(start, row - limit + 1)
        return self.frame.iloc[self._events.rows[first : row + 1][::-1]]


def _details(decided: StatusDecisions, stored: CodedColumn) -> Ints:
    """Return a number for the detail of each decision; equal details have equal numbers."""
    numbers: dict[str, int] = {}
    names = [str(name) for name in stored.values], [d.detail for d in decided.decisions]
    in_rows, inferred = (
        np.array([*(numbers.setdefault(name, len(numbers)) for name in part), -1]) for part in names
    )
    rows = decided.events.rows[decided.rows]
    return np.where(decided.codes >= 0, inferred[decided.codes], in_rows[stored.codes[rows]])


def _since(decided: StatusDecisions, firsts: Ints, keys: Ints) -> Ints:
    """Return for each decision the index of the first of the adjacent ones with the same key."""
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    begins[firsts] = True
    begins[1:] |= decided.events.forgets[decided.rows[:-1]] & (np.diff(decided.rows) > 0)
    return last_marked(begins)
