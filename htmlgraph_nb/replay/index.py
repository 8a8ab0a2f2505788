"""What was known of every agent at any time of a stored history, found without folding it all.

Totals come from running sums. The verdict of an agent is drawn by the real Roster from the few of
its events that can still matter at that time: the last of each kind of sign, and the tool calls,
subagents and questions that are open. Where the history says nothing for long, the Roster's own
timers speak.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..core.activity import MINUTES
from ..core.agent_state import ANSWER, INTERRUPTED, SEEN, SESSION_STARTED, TOOL, WORKED, AgentState
from ..core.model import AgentPresence, Event, PresenceStatus
from ..core.roster import Limits, Roster
from ..core.timestamps import from_micros, to_rfc3339
from .event_rows import FACTS, Ints, Rows, last_marked, last_of, marked, next_of

_MAX_KNOWN = 100_000
"""Judgements kept, about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class RowStatus:
    """The verdict after one row, and what mere silence makes of it until the agent's next row.

    Attributes:
        presence: status, detail, reason, attention and since of it count; the rest is looked up.
        silences: (microseconds since 1970, presence) from when on each holds; None: forgotten.
    """

    presence: AgentPresence
    silences: tuple[tuple[int, AgentPresence | None], ...]


@dataclass(frozen=True, slots=True)
class ReplayState:
    """A time of the history; agents are counted as in ``HistoryIndex.agents``.

    Attributes:
        micros: microseconds since 1970.
        rows: each agent's last row up to then; -1: none.
        stages: how many silences have passed since that row.
    """

    micros: int
    rows: Ints
    stages: Ints

    def differs_from(self, other: ReplayState) -> Ints:
        """Return the agents of which something else is known at the two times."""
        return np.flatnonzero((self.rows != other.rows) | (self.stages != other.stages))


class HistoryIndex:
    """An index of a history frame; ``at`` looks up a time, ``presence`` an agent of it.

    What is found equals what folding all events up to that time through a Roster gives, in the
    order of their timestamps and then of their seq, with the Roster's timers judged at that time.
    Two things are approximated: of more than 64 calls (or subagents, or questions) that are open
    at once the Roster forgets some, here perhaps others; and of events of one agent whose times
    are less than a thousandth of a second apart, a hundred or more in a row, the order against
    the next ones may be taken differently. ``cost_usd`` is what agents told, without the prices
    that a server adds. Events that the server refused as late, or dated into
    its future, count here at the time that they state.

    Args:
        frame: as ``load_history`` returns it; timestamp, agent_id and event_type are needed.
        limits: timers of the Roster.

    Attributes:
        agents: names, sorted.
        start, end: first and last time, microseconds since 1970; 0 where there is no event.

    Raises:
        InvalidEvent: a column is missing, has gaps or cannot be read.
    """

    def __init__(self, frame: pd.DataFrame, limits: Limits | None = None) -> None:
        self.rows = rows = Rows(frame)
        self.limits = limits or Limits()
        self.agents = rows.agents
        self.start = int(rows.times.min()) if len(rows) else 0
        self.end = int(rows.times.max()) if len(rows) else 0
        limit = self.limits
        seconds = {limit.idle_timeout_s, limit.offline_timeout_s, limit.forget_after_s}
        self._timeouts = sorted(one for one in seconds if one > 0)
        self._known: dict[int, RowStatus] = {}
        self._statuses: dict[int, PresenceStatus] = {}
        self._index_rows()

    def _index_rows(self) -> None:
        rows = self.rows
        signs = (SEEN, WORKED, SESSION_STARTED, ANSWER, TOOL, INTERRUPTED)
        self._signs = {sign: rows.with_sign(sign) for sign in signs}
        self._turn_ends, self._session_ends = rows.turn_ends(), rows.session_ends()
        self._told = marked(rows.told)
        self._last_of = (
            *self._signs.values(),
            self._turn_ends,
            self._session_ends,
            # Where a person called it offline, the clock's own later word changes nothing.
            self._session_ends[~rows.by_clock[self._session_ends]],
            rows.of_kind("prompt"),
            self._told,
        )
        self._calls, self._children = rows.openings(), rows.children()
        self._questions = self._index_questions()
        self._fact_rows = {name: marked(rows.facts[name].known & rows.counts) for name in FACTS}
        self._index_work()

    def _index_questions(self) -> tuple[Ints, Ints]:
        """Return the rows of questions, and for each the row from which on it is answered."""
        found = self.rows.questions()
        by_tool = {tool: self._uses_of(tool) for tool in {tool for _, _, tool in found}}
        latest: dict[tuple[int, str], int] = {}
        answered = []
        for row, kind, tool in reversed(found):
            work = by_tool[tool] if tool else self._signs[WORKED if kind == "input" else TOOL]
            others = (self._turn_ends, self._session_ends, self._signs[ANSWER], work)
            ends = [next_of(one, row, len(self.rows)) for one in others]
            agent = int(np.searchsorted(self.rows.starts, row, "right"))
            # A later question about the same tool takes its place.
            answered.append(min(*ends, latest.get((agent, tool), len(self.rows))))
            latest[agent, tool] = row
        rows = np.array([row for row, _, _ in found], dtype=np.int32)
        return rows, np.array(answered[::-1], dtype=np.int32)

    def _uses_of(self, tool: str) -> Ints:
        """Return the rows that close what is open under this name, as the Roster knows it."""
        done, names = self._signs[TOOL], self.rows.facts["tool_name"]
        uses = names.among((tool,)) | self.rows.call_ids.among((tool,))
        if tool == "tool":
            uses |= ~names.known
        return done[uses[done]]

    def _index_work(self) -> None:
        """Find the rows after which an agent is active for certain: it worked since any end."""
        rows, n = self.rows, len(self.rows)
        flags = np.zeros(n, dtype=bool)
        flags[self._signs[WORKED]] = True
        worked = last_marked(flags & rows.told)
        flags[:] = False
        for some in (self._turn_ends, self._session_ends, self._signs[SESSION_STARTED]):
            flags[some] = True
        ended = last_marked(flags)
        self._working = (worked >= rows.part) & (worked > ended)
        if n:
            # At one and the same instant the Roster's own order decides.
            self._working &= (ended < 0) | (rows.times[worked] > rows.times[ended])
        begins = self._working.copy()
        begins[1:] &= ~self._working[:-1] | (rows.part[1:] != rows.part[:-1])
        self._work_began = last_marked(begins)

    # Times

    def at(self, micros: int) -> ReplayState:
        """Return what holds at this time, events of that very microsecond included."""
        rows = self._rows_at(micros)
        stages = np.zeros(len(rows), dtype=np.int8)
        if self._timeouts and len(rows):
            silent = self._heard(rows) + int(self._timeouts[0] * 1e6) <= micros
            known = (rows >= 0) & ~self.rows.forgotten[rows]
            for agent in np.flatnonzero(silent & known).tolist():
                passed = self._judgement(int(rows[agent])).silences
                stages[agent] = sum(moment <= micros for moment, _ in passed)
        return ReplayState(micros, rows, stages)

    def _rows_at(self, micros: int) -> Ints:
        """Return each agent's last row up to a time, by bisection of all agents at once."""
        low, high = self.rows.starts.copy(), self.rows.ends.copy()
        times = self.rows.times
        while (low < high).any():
            middle = (low + high) // 2
            earlier = times[np.minimum(middle, len(times) - 1)] <= micros
            some = low < high
            low = np.where(some & earlier, middle + 1, low)
            high = np.where(some & ~earlier, middle, high)
        return np.where(low > self.rows.starts, low - 1, -1)

    def _heard(self, rows: Ints) -> Ints:
        """Return when each agent last gave a sign up to its row, microseconds since 1970."""
        places = self._told.searchsorted(rows.astype(np.int32), "right")
        last = np.where(places > 0, self._told[places - 1], -1) if len(self._told) else -1
        first = self.rows.life[rows]
        found: Ints = self.rows.times[np.where(last >= first, last, first)]
        return found

    def presences(self, moment: ReplayState) -> dict[str, AgentPresence]:
        """Return the presence of each agent that is known at this moment, by agent_id."""
        known = np.flatnonzero(moment.rows >= 0).tolist()
        found = ((self.agents[agent], self.presence(moment, agent)) for agent in known)
        return {name: one for name, one in found if one is not None}

    def presence(self, moment: ReplayState, agent: int) -> AgentPresence | None:
        """Return the presence of one agent (its place in ``agents``); None: not known then."""
        row = int(moment.rows[agent])
        if row < 0 or self.rows.forgotten[row]:
            return None
        judgement = self._judgement(row)
        stage = int(moment.stages[agent])
        verdict = judgement.silences[stage - 1][1] if stage else judgement.presence
        return None if verdict is None else self._whole(verdict, agent, row)

    def _whole(self, verdict: AgentPresence, agent: int, row: int) -> AgentPresence:
        rows = self.rows
        facts = {name: self._fact(name, row) for name in FACTS}
        session = int(rows.session_row[row])
        paid = last_of(rows.cost_known, row) >= rows.life[row]
        return AgentPresence(
            self.agents[agent],
            verdict.status,
            facts["feature_id"],
            facts["tool_name"],
            from_micros(int(self._heard(np.array([row]))[0])),
            int(rows.tools[row]),
            int(rows.tokens[row]),
            None if session < 0 else rows.sessions.at(session),
            verdict.detail,
            verdict.reason,
            verdict.since,
            verdict.attention,
            facts["model"],
            facts["project"],
            facts["host"],
            facts["parent_agent_id"],
            float(rows.costs[row]) if paid else None,
            int(rows.errors[row]),
            int(rows.seqs[row]),
        )

    def _fact(self, name: str, row: int) -> str | None:
        last = last_of(self._fact_rows[name], row)
        found: str | None = self.rows.facts[name].at(last) if last >= self.rows.life[row] else None
        return found

    # What happened before

    def activity(self, moment: ReplayState) -> dict[str, Any]:
        """Return the counts of the 15 minutes up to a moment, as ``Activity.to_dict``."""
        minute = moment.micros // 60_000_000
        before = self._rows_at((minute - MINUTES + 1) * 60_000_000 - 1)
        first = np.where(before >= 0, before + 1, self.rows.starts)
        counts = np.where(moment.rows >= 0, moment.rows + 1 - first, 0)
        agents = np.repeat(np.arange(len(self.agents)), counts)
        offsets = np.arange(len(agents)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(first, counts) + offsets
        rows, agents = rows[self.rows.told[rows]], agents[self.rows.told[rows]]
        places = agents * MINUTES + self.rows.times[rows] // 60_000_000 - minute + MINUTES - 1
        size = len(self.agents) * MINUTES
        events = np.bincount(places, minlength=size).reshape(-1, MINUTES)
        errors = np.bincount(places[self.rows.failed[rows]], minlength=size).reshape(-1, MINUTES)
        busy = np.flatnonzero(events.any(axis=1)).tolist()
        return {
            "at": to_rfc3339(from_micros(moment.micros)),
            "minutes": MINUTES,
            "agents": {
                self.agents[agent]: {
                    "events": events[agent].tolist(),
                    "errors": errors[agent].tolist(),
                }
                for agent in busy
            },
        }

    def recent(self, moment: ReplayState, agent_id: str, limit: int) -> pd.DataFrame:
        """Return an agent's last events up to a moment, the newest first."""
        agent = bisect_left(self.agents, agent_id)
        if agent == len(self.agents) or self.agents[agent] != agent_id:
            return self.rows.frame.iloc[:0]
        row, start = int(moment.rows[agent]), int(self.rows.starts[agent])
        first = max(start, row - limit + 1)
        return self.rows.frame.iloc[self.rows.order[first : row + 1][::-1]]

    # Verdicts

    def _judgement(self, row: int) -> RowStatus:
        found = self._known.get(row)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[row] = self._judge(row)
        return found

    def _judge(self, row: int) -> RowStatus:
        roster, agent_id = self._folded(row)
        state = roster.get(agent_id)
        if state is None:
            return RowStatus(AgentPresence(agent_id), ())
        verdict = state.presence
        since = from_micros(int(self.rows.times[self._run_start(row, verdict.status)]))
        return RowStatus(replace(verdict, since=since), self._silences(roster, agent_id, row))

    def _run_start(self, row: int, status: PresenceStatus) -> int:
        """Return the row since which the agent has had this status."""
        first, floor = row, int(self.rows.life[row])
        while True:
            if self._working[first]:
                first = int(self._work_began[first])
            if first <= floor or self._status(first - 1) is not status:
                return first
            first -= 1

    def _status(self, row: int) -> PresenceStatus:
        if self._working[row]:
            return PresenceStatus.ACTIVE
        found = self._statuses.get(row)
        if found is None:
            roster, agent_id = self._folded(row)
            state = roster.get(agent_id)
            found = PresenceStatus.OFFLINE if state is None else state.presence.status
            if len(self._statuses) >= _MAX_KNOWN:
                self._statuses.clear()
            self._statuses[row] = found
        return found

    def _silences(
        self, roster: Roster, agent_id: str, row: int
    ) -> tuple[tuple[int, AgentPresence | None], ...]:
        """Let the Roster's timers run until the agent's next row."""
        agent = int(self.rows.starts.searchsorted(row, "right")) - 1
        following = row + 1 < self.rows.ends[agent]
        until = self.rows.times[row + 1] if following else None
        heard = int(self._heard(np.array([row]))[0])
        found: list[tuple[int, AgentPresence | None]] = []
        for seconds in self._timeouts:
            moment = heard + int(seconds * 1e6)
            if until is not None and moment >= until:
                break
            at = from_micros(moment)
            for event in roster.expired_timers(at):
                found.append((moment, roster.apply(event, 0, at).presence))
                roster.commit()
        return tuple(found)

    def _folded(self, row: int) -> tuple[Roster, str]:
        """Return a roster that has taken in what can still matter of the agent's events."""
        picks = sorted(self._picks(row))
        agent = int(self.rows.starts.searchsorted(row, "right")) - 1
        agent_id, part = self.agents[agent], int(self.rows.part[row])
        roster = Roster(self.limits)
        roster.put(agent_id, self._begin(agent_id, int(self.rows.life[row]), part))
        for pick in picks:
            event = self._event(agent_id, pick)
            roster.apply(event, 0, event.timestamp or from_micros(0))
        roster.commit()
        return roster, agent_id

    def _picks(self, row: int) -> set[int]:
        part = int(self.rows.part[row])
        ended, turn_end = last_of(self._session_ends, row), last_of(self._turn_ends, row)
        picks = self._last_signs(row, part, ended, turn_end)
        turn = max(turn_end, ended, part - 1)
        halt = max(last_of(self._signs[INTERRUPTED], row), ended, part - 1)
        windows = ((self._calls, turn), (self._children, halt), (self._questions, turn))
        for pairs, low in windows:
            picks.update(_open(pairs, low, row))
        for one in [one for one in picks if not self.rows.told[one]]:
            # The clock speaks of the newest sign before it; what else is of its very instant is
            # ordered by what came between.
            picks.update(self._same_instant(one, part, row))
            picks.update(near for near in (last_of(self._told, one),) if near >= part)
        # What is picked for another reason must not seem open.
        for begun, closed in (self._calls, self._children):
            for one in list(picks):
                place = int(begun.searchsorted(np.int32(one)))
                if place < len(begun) and begun[place] == one and closed[place] <= row:
                    picks.add(int(closed[place]))
        return picks

    def _last_signs(self, row: int, part: int, ended: int, turn_end: int) -> set[int]:
        """Return the last row of each kind of sign, or the one that alone decides."""
        told = last_of(self._told, row)
        if ended < part and self._working[row] and not self._lingers(turn_end, part, row):
            # It works: only what is open, and else its very last sign of work, has a say.
            return {told, last_of(self._signs[WORKED], row)}
        if ended < part and turn_end == told == row:
            # A turn just ended: nothing before it has a say but the subagents.
            return {row}
        last = [last_of(some, row) for some in self._last_of]
        return {row if self.rows.counts[row] else part, *(one for one in last if one >= part)}

    def _lingers(self, turn_end: int, part: int, row: int) -> bool:
        """Whether the end of a turn counts beyond it: tasks go on, or it ties with what follows."""
        if turn_end < part:
            return False
        following = self.rows.times[min(turn_end + 1, row)]
        tied = turn_end < row and following == self.rows.times[turn_end]
        return tied or "background_tasks" in self.rows.extra.get(turn_end, ())

    def _same_instant(self, one: int, part: int, row: int) -> list[int]:
        """Return the rows of the same microsecond, from ``part`` to ``row``."""
        times = self.rows.times
        first, end = one, one + 1
        while first > part and times[first - 1] == times[one]:
            first -= 1
        while end <= row and times[end] == times[one]:
            end += 1
        return [near for near in range(first, end) if self.rows.counts[near]]

    def _begin(self, agent_id: str, life: int, part: int) -> AgentState:
        """Return the state of an agent before its session: when it was last heard, and of what."""
        state = AgentState.new(agent_id, from_micros(int(self.rows.times[life])))
        state.last_activity = state.presence.last_activity
        before = last_of(self._told, part - 1)
        if before >= life:
            state.last_activity = state.last_signal_at = from_micros(int(self.rows.times[before]))
        return state

    def _event(self, agent_id: str, row: int) -> Event:
        """Return what a row says about what the agent does; its counts are added up elsewhere."""
        rows = self.rows
        return Event(
            agent_id=agent_id,
            event_type=rows.kinds.at(row),
            timestamp=from_micros(int(rows.times[row])),
            session_id=rows.sessions.at(row),
            tool_name=rows.facts["tool_name"].at(row),
            tool_use_id=rows.call_ids.at(row),
            source=rows.sources.at(row),
            extra=rows.extra.get(row),
        )


def _open(pairs: tuple[Ints, Ints], low: int, row: int) -> list[int]:
    """Return the openings after ``low`` that no row up to ``row`` closes."""
    begun, closed = pairs
    first = begun.searchsorted(np.int32(low), "right")
    end = begun.searchsorted(np.int32(row), "right")
    found: list[int] = begun[first:end][closed[first:end] > row].tolist()
    return found
