"""Rules about tool calls, compactions and the cost rate of an agent. Pure."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from ...core.agent_state import Timed
from ...core.model import AgentPresence, Event
from ...core.reducer import counts_as_tool, is_error
from ..alert_messages import subject_of
from ..alert_rule import AlertRule
from .case_state import after
from .cases import CaseBook
from .loop_detectors import (
    THRASH_WINDOW,
    WINDOW,
    EndedCall,
    SpendingRate,
    next_compactions,
    next_loop_state,
)
from .watched_agent import NO_CALLS, WatchedAgent

LOOP_KINDS = ("loop", "ping_pong")
RATE_KINDS = ("cost_rate", "cost_spike")
EVENT_KINDS = (*LOOP_KINDS, *RATE_KINDS, "thrash", "stuck")
_MAX_TOOLS = 500
_N_DURATIONS = 51
_RECHECK_S = 60.0


class ToolDurations:
    """The median duration of the last calls of each tool."""

    def __init__(self) -> None:
        self._last: dict[str, deque[float]] = {}
        self._sorted: dict[str, list[float]] = {}

    def add(self, tool: str, seconds: float) -> None:
        """Add the duration of a call."""
        last = self._last.get(tool)
        if last is None:
            if len(self._last) >= _MAX_TOOLS:
                oldest = next(iter(self._last))
                del self._last[oldest], self._sorted[oldest]
            last = self._last[tool] = deque()
            self._sorted[tool] = []
        values = self._sorted[tool]
        last.append(seconds)
        insort(values, seconds)
        if len(last) > _N_DURATIONS:
            values.remove(last.popleft())

    def median(self, tool: str) -> float:
        """Return the median in seconds; 0: the tool is unknown."""
        values = self._sorted.get(tool)
        return values[len(values) // 2] if values else 0.0


class EventRules:
    """Evaluates the rules of EVENT_KINDS.

    Args:
        book: takes their conditions.
    """

    def __init__(self, book: CaseBook) -> None:
        self._book = book
        self._durations = ToolDurations()
        # Agent → its open call that will be stuck first: when, since when, the tool, the rule.
        self._stuck: dict[str, tuple[datetime, datetime, str, AlertRule]] = {}
        self._stuck_heap: list[tuple[datetime, str]] = []
        self._in_heap: set[str] = set()
        # Agents with evidence that fades with time.
        self._fading: dict[str, WatchedAgent] = {}
        self._recheck_at: datetime | None = None

    def apply(
        self,
        agent: WatchedAgent,
        now: datetime,
        event: Event | None,
        calls: Mapping[str, Timed],
        usd: float,
    ) -> None:
        """Take a change of an agent.

        Args:
            calls: its open tool calls: key → name of the tool and start.
            usd: what it cost.
        """
        presence = agent.presence
        kinds = {rule.kind for rule in agent.event_rules}
        is_call = event is not None and counts_as_tool(event)
        if event is not None and is_call:
            at = min(event.timestamp or now, now)
            if "stuck" in kinds:
                self._measure(agent, event, at)
            if kinds.intersection(LOOP_KINDS) and at >= now - WINDOW:
                call = EndedCall(event.tool_name or "", event.input_hash, at, is_error(event))
                agent.loop = next_loop_state(agent.loop, call)
                self._check_loops(agent, now)
        if "stuck" in kinds and (calls is not agent.open_calls or presence.attention):
            agent.open_calls = calls
            self._watch_calls(agent, now)
        if presence.compacted_at != agent.compacted_at:
            agent.compacted_at = compacted_at = presence.compacted_at
            is_recent = compacted_at is not None and compacted_at >= now - THRASH_WINDOW
            if "thrash" in kinds and compacted_at is not None and is_recent:
                agent.compactions = next_compactions(agent.compactions, compacted_at)
                self._check_fading(agent, now)
        if usd and kinds.intersection(RATE_KINDS):
            agent.rate = agent.rate or SpendingRate()
            agent.rate.add(usd, now)
            self._check_fading(agent, now)

    def remove(self, agent_id: str) -> None:
        """Forget an agent."""
        self._stuck.pop(agent_id, None)
        self._fading.pop(agent_id, None)

    # Calls that repeat

    def _check_loops(self, agent: WatchedAgent, now: datetime) -> None:
        loop, last = agent.loop, agent.loop.last
        for rule in agent.event_rules:
            threshold = rule.threshold or 0.0
            if rule.kind == "loop":
                value = float(loop.repeats) if loop.repeats >= threshold else None
            elif rule.kind == "ping_pong":
                value = float(loop.pongs) if loop.is_ping_pong(threshold) else None
            else:
                continue
            self._set(rule, agent.presence, now, value, None if last is None else last.tool)

    def _set(
        self,
        rule: AlertRule,
        presence: AgentPresence,
        now: datetime,
        value: float | None,
        fact: str | None = None,
    ) -> None:
        if value is None:
            self._book.end(rule.name, presence.agent_id, now)
        else:
            self._book.hold(rule, subject_of(presence, fact), now, now, value)

    # Calls that take long

    def _measure(self, agent: WatchedAgent, event: Event, at: datetime) -> None:
        if event.duration_ms is not None:
            self._durations.add(event.tool_name or "", event.duration_ms / 1_000)
            return
        started = agent.open_calls.get(event.tool_use_id or "")
        if started is not None and at >= started[1]:
            self._durations.add(started[0], (at - started[1]).total_seconds())

    def _watch_calls(self, agent: WatchedAgent, now: datetime) -> None:
        agent_id, calls = agent.presence.agent_id, agent.open_calls
        # A call that waits for a person is not stuck.
        earliest = None
        for rule in agent.event_rules if not agent.presence.attention else ():
            if rule.kind == "stuck":
                for tool, since in calls.values():
                    usual_s = (rule.threshold or 0.0) * self._durations.median(tool)
                    due = after(since, max(rule.floor_s, usual_s))
                    if earliest is None or due < earliest[0]:
                        earliest = due, since, tool, rule
        if earliest is not None:
            self._stuck[agent_id] = earliest
            if agent_id not in self._in_heap:
                self._in_heap.add(agent_id)
                heapq.heappush(self._stuck_heap, (earliest[0], agent_id))
        else:
            self._stuck.pop(agent_id, None)
        for rule in agent.event_rules:
            is_stuck = earliest is not None and earliest[0] <= now and earliest[3] is rule
            if rule.kind == "stuck" and not is_stuck:
                self._book.end(rule.name, agent_id, now)

    def _hold_stuck(self, agents: Mapping[str, WatchedAgent], now: datetime) -> None:
        while self._stuck_heap and self._stuck_heap[0][0] <= now:
            _, agent_id = heapq.heappop(self._stuck_heap)
            self._in_heap.discard(agent_id)
            watched, agent = self._stuck.get(agent_id), agents.get(agent_id)
            if watched is None or agent is None:
                continue
            due, since, tool, rule = watched
            if due > now:
                self._in_heap.add(agent_id)
                heapq.heappush(self._stuck_heap, (due, agent_id))
                continue
            is_present = agent.presence.alive or due >= now - timedelta(hours=1)
            subject = subject_of(agent.presence, tool)
            seconds = (now - since).total_seconds()
            wait_s = (due - since).total_seconds() + rule.for_s
            self._book.hold(
                rule, subject, since, now, seconds, wait_s=wait_s, is_present=is_present
            )

    # Evidence that fades

    def _check_fading(self, agent: WatchedAgent, now: datetime) -> None:
        holds = False
        for rule in agent.event_rules:
            threshold, value = rule.threshold or 0.0, 0.0
            if rule.kind == "thrash":
                value = float(sum(now - at < THRASH_WINDOW for at in agent.compactions))
            elif rule.kind == "cost_rate" and agent.rate is not None:
                value = agent.rate.per_hour(now)
            elif rule.kind == "cost_spike" and agent.rate is not None:
                value = agent.rate.times_baseline(now)
            elif rule.kind not in RATE_KINDS:
                continue
            reached = value >= threshold > 0
            holds = holds or reached
            self._set(rule, agent.presence, now, value if reached else None)
        if holds:
            self._fading[agent.presence.agent_id] = agent
            if self._recheck_at is None:
                self._recheck_at = after(now, _RECHECK_S)
        else:
            self._fading.pop(agent.presence.agent_id, None)

    # Time

    @property
    def next_due(self) -> datetime | None:
        """When ``tick`` has to run; None: not before the next change."""
        times = [self._recheck_at] if self._recheck_at is not None else []
        if self._stuck_heap:
            times.append(self._stuck_heap[0][0])
        return min(times, default=None)

    def tick(self, agents: Mapping[str, WatchedAgent], now: datetime) -> None:
        """Run what is due."""
        self._hold_stuck(agents, now)
        if self._recheck_at is not None and now >= self._recheck_at:
            for agent in list(self._fading.values()):
                self._check_fading(agent, now)
            self._recheck_at = after(now, _RECHECK_S) if self._fading else None


def open_calls_of(presence: AgentPresence) -> Mapping[str, Timed]:
    """Return the open call that a presence shows, where the evidence behind it is not known."""
    if presence.detail != "tool" or presence.last_tool_name is None:
        return NO_CALLS
    return {"": (presence.last_tool_name, presence.last_activity)}
