"""All agents and their states; changes are staged and committed. Also: timers and implied ends.

Evidence (open tool calls and children, questions, ends of turns and sessions, the latest signal) is
kept apart from the status that a table of rules derives from it. So late and repeated events lead
to the same status. There is no clock and no I/O here: callers pass the time, and apply the timer
events and implied ends that are due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import product
from operator import itemgetter

from ..errors import CapacityError
from .agent_facts import WindowFunction
from .agent_state import AgentState
from .model import Event, PresenceStatus
from .reducer import PriceFunction, reduce
from .status_rules import (
    Change,
    end_of_orphan,
    idle_children,
    is_bounded,
    keeps_active,
    update_presence,
)
from .timestamps import EPOCH, latest_in


@dataclass(frozen=True, slots=True)
class Limits:
    """Timers and limits of a roster.

    Attributes:
        idle_timeout_s: seconds without an event until an active agent is idle; 0: never.
        offline_timeout_s: seconds without an event until an agent without open work is offline;
            0: never.
        open_work_timeout_s: the same for an agent with an open call, subagent or background task
            whose process is unknown; 0, or if offline_timeout_s is 0: never.
        forget_after_s: seconds without an event until an agent is removed; 0: never.
        max_agents: maximum number of agents.
    """

    idle_timeout_s: float = 300.0
    offline_timeout_s: float = 1800.0
    forget_after_s: float = 86_400.0
    open_work_timeout_s: float = 14_400.0
    max_agents: int = 10_000


TIMER_SETTINGS = {
    "idle": "idle_timeout_s",
    "offline": "offline_timeout_s",
    "forget": "forget_after_s",
}
"""Type of a timer event → the attribute of Limits that it expires by."""
OPEN_WORK = "open_work_after_s"
"""Key in ``extra`` of the timer event of an agent with open work → seconds of inactivity."""


class Roster:
    """All agents, and the staged changes of the running transaction.

    ``apply`` stages a change, ``commit`` publishes the staged changes, ``rollback`` discards them,
    so that a failed transaction is never visible.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        price: PriceFunction | None = None,
        window: WindowFunction | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._price = price
        self._window = window
        # agent_id → state; only ``commit`` and ``put`` change it.
        self.agents: dict[str, AgentState] = {}
        # agent_id → state in the running transaction; None: removed in it.
        self._staged: dict[str, AgentState | None] = {}
        self._n_added = 0

    def get(self, agent_id: str) -> AgentState | None:
        """Return the agent's state, staged changes included."""
        if agent_id in self._staged:
            return self._staged[agent_id]
        return self.agents.get(agent_id)

    def n_without_room(self, agent_ids: Iterable[str]) -> int:
        """Return for how many of these agents there is no room."""
        n_new = len({agent_id for agent_id in agent_ids if self.get(agent_id) is None})
        return min(n_new, max(0, len(self.agents) + self._n_added + n_new - self.limits.max_agents))

    def check_capacity(self, agent_ids: Iterable[str]) -> None:
        """Check that there is room for these agents.

        Raises:
            CapacityError: ``max_agents`` would be exceeded.
        """
        if n_new := self.n_without_room(agent_ids):
            raise CapacityError(
                f"agents: at most {self.limits.max_agents} allowed, no room for {n_new} more; "
                "raise --max-agents, or lower --forget-after to remove inactive agents sooner",
                "too_many_agents",
            )

    def apply(self, event: Event, seq: int, now: datetime) -> Change:
        """Stage one event and return the change that it causes.

        Args:
            event: may arrive late; a timestamp of None or in the future counts as ``now``.
            seq: sequence number from the store.
            now: arrival time, UTC.
        """
        existing = self.get(event.agent_id)
        if event.event_type == "forget":
            self._stage(event.agent_id, None, existing)
            return Change(seq, event.agent_id, None, event, now)
        before = existing or AgentState.new(event.agent_id, now)
        state = reduce(before, event, now, self._price, self._window)
        state = update_presence(state, event, seq)
        self._stage(event.agent_id, state, existing)
        return Change(seq, event.agent_id, state, event, now)

    def merge_into(self, agent_id: str, alias: str) -> None:
        """Stage the state of an agent merged into that of ``alias``, another id of the same agent.

        The state of ``agent_id`` itself stays. Totals of both are added up. If both are in the same
        session, the evidence of ``alias`` wins.
        """
        state, existing = self.get(agent_id), self.get(alias)
        if state is None:
            return
        same_session = existing is not None and existing.session_id == state.session_id
        merged = (existing if existing is not None and same_session else state).copy()
        merged.presence = replace(merged.presence, agent_id=alias)
        if existing is not None:
            merged.add_totals(state, existing)
        self._stage(alias, merged, existing)

    def _stage(self, agent_id: str, state: AgentState | None, existing: AgentState | None) -> None:
        self._n_added += (state is not None) - (existing is not None)
        self._staged[agent_id] = state

    def staged(self) -> Iterator[tuple[str, AgentState | None]]:
        """Yield the id and the new state of each agent changed in the running transaction."""
        return iter(self._staged.items())

    def commit(self) -> None:
        """Publish the staged changes."""
        for agent_id, state in self._staged.items():
            self.put(agent_id, state)
        self.rollback()

    def rollback(self) -> None:
        """Discard the staged changes."""
        self._staged.clear()
        self._n_added = 0

    def put(self, agent_id: str, state: AgentState | None) -> None:
        """Set the state of an agent to the stored one; None removes the agent."""
        if state is None:
            self.agents.pop(agent_id, None)
        else:
            self.agents[agent_id] = state

    def timers_due(self, now: datetime, limits: Limits | None = None) -> list[Event]:
        """Return the timer events that are due at ``now``; safe while another thread commits.

        Staged changes count, so that activity in the running transaction resets a timer.

        Args:
            limits: the timers; None: those of the roster.
        """
        states = (self.agents | self._staged).values()
        timers = timer_table(limits or self.limits)
        due = (event for state in states if state and (event := _timer_due(state, now, timers)))
        return [event for event in due if self._counts(event)]

    def resumptions(self, now: datetime) -> list[Event]:
        """Return the events that make silence count from ``now``, for all agents with a timer."""
        timers = timer_table(self.limits)
        return [
            Event(agent_id=agent_id, event_type="resumed", timestamp=now, source="server")
            for agent_id, state in (self.agents | self._staged).items()
            if state is not None and state.presence.status is not PresenceStatus.OFFLINE
            if _timers_of_state(state, timers)
        ]

    def ahead_of(self, now: datetime) -> list[str]:
        """Return the agents whose states have times after ``now``."""
        states = (self.agents | self._staged).values()
        return [state.agent_id for state in states if state and latest_time(state) > now]

    def _counts(self, event: Event) -> bool:
        """Return whether a timer counts: that of open work waits for subagents that work."""
        state = self.get(event.agent_id)
        if state is None or OPEN_WORK not in (event.extra or {}):
            return True
        parent = self.get(state.parent_agent_id or "")
        children = (child for name in state.children if (child := self.get(name)) is not None)
        works = any(child.presence.status is PresenceStatus.ACTIVE for child in children)
        return not works and not (parent is not None and parent.alive)

    def timers_due_before(
        self, agent_id: str, until: datetime, limits: Limits | None = None
    ) -> Iterator[tuple[datetime, Event]]:
        """Yield the timer events and implied ends that were due before ``until``.

        Each comes with the time at which it was due. They concern the agent, its parent and its
        open subagents. Apply each event before requesting the next one.

        Args:
            limits: the timers; None: those of the roster.
        """
        timers = timer_table(limits or self.limits)
        # An event that changes nothing, as for an agent that never sent one itself, stays due.
        applied: set[tuple[datetime, str, str]] = set()
        while due := self._first_due_before(agent_id, until, timers, applied):
            applied.add(_due_key(due))
            yield due

    def _first_due_before(
        self,
        agent_id: str,
        until: datetime,
        timers: TimerTable,
        applied: set[tuple[datetime, str, str]],
    ) -> tuple[datetime, Event] | None:
        state = self.get(agent_id)
        if state is None:
            return None
        if not state.children and state.parent_agent_id is None:
            # Most agents have no parent or subagents, and this runs for each event of the past.
            only = _timer_due_before(state, until, timers)
            return None if only is None or _due_key(only) in applied else only
        due: list[tuple[datetime, Event]] = []
        for member in self._relatives_of(state):
            parent = self.get(member.parent_agent_id or "")
            if parent is not None and (event := end_of_orphan(member, self.get)):
                # It is dated by the parent's end, and implied once the parent is offline.
                due.append((max(_event_time(event), parent.presence.since or EPOCH), event))
            if member.children:
                due += ((_event_time(event), event) for event in idle_children(member, self.get))
            timer = _timer_due_before(member, until, timers)
            if timer is not None and self._counts(timer[1]):
                due.append(timer)
        in_time = (one for one in due if one[0] < until and _due_key(one) not in applied)
        return min(in_time, key=itemgetter(0), default=None)

    def _relatives_of(self, agent: AgentState) -> list[AgentState]:
        """Return the agent, its parent, and its open subagents with their open subagents."""
        states = {agent.agent_id: agent}
        if (parent := self.get(agent.parent_agent_id or "")) is not None:
            states[parent.agent_id] = parent
        names = [*agent.children]
        for name in names:
            state = self.get(name)
            if state is not None and name not in states:
                states[name] = state
                names += state.children
        return [*states.values()]

    def implied_ends(self) -> list[Event]:
        """Return end events implied by parent/child relations, with the times of their evidence.

        A subagent ends with its parent, and an idle subagent no longer counts as work of its
        parent. Neither needs an end event, which may never be sent.
        """
        states = self.agents | self._staged
        ends: list[Event] = []
        for state in states.values():
            if state is not None and state.parent_agent_id is not None:
                event = end_of_orphan(state, states.get)
                ends += [] if event is None else [event]
            if state is not None and state.children:
                ends += idle_children(state, states.get)
        return ends

    def inactive_since(self, agent_ids: Iterable[str], now: datetime, seconds: float) -> list[str]:
        """Return the agents whose last activity is at least ``seconds`` ago."""
        cutoff = now - timedelta(seconds=seconds)
        states = (self.get(agent_id) for agent_id in agent_ids)
        return [s.agent_id for s in states if s and s.presence.last_activity <= cutoff]


TimerTable = dict[tuple[PresenceStatus, bool, bool, bool], tuple[tuple[str, float], ...]]
"""(status, open work, alive, bounded) → the timers of ``timers_of``."""


def timers_of(
    status: PresenceStatus,
    open_work: bool,
    limits: Limits,
    *,
    alive: bool = False,
    bounded: bool = False,
) -> list[tuple[str, float]]:
    """Return the timers of an inactive agent as (event type, seconds), in order of precedence.

    Args:
        open_work: whether open work keeps the agent active.
        alive: whether the agent's process is known to be running.
        bounded: whether the open work ends by a timer, unless the process is known to be running.
    """
    timers = [] if alive else [("forget", limits.forget_after_s)]
    if open_work:
        if bounded and not alive and limits.offline_timeout_s:
            timers.append(("offline", limits.open_work_timeout_s))
    elif status is not PresenceStatus.OFFLINE:
        if not alive:
            timers.append(("offline", limits.offline_timeout_s))
        if status is not PresenceStatus.IDLE:
            timers.append(("idle", limits.idle_timeout_s))
    return [(event_type, after_s) for event_type, after_s in timers if after_s]


@lru_cache(maxsize=16)
def timer_table(limits: Limits) -> TimerTable:
    """Return the timers of every status, so that each is computed only once."""
    flags = (False, True)
    return {
        (status, open_work, alive, bounded): tuple(
            timers_of(status, open_work, limits, alive=alive, bounded=bounded)
        )
        for status, open_work, alive, bounded in product(PresenceStatus, flags, flags, flags)
    }


def _timers_of_state(state: AgentState, timers: TimerTable) -> tuple[tuple[str, float], ...]:
    presence = state.presence
    bounded = is_bounded(presence.status, presence.detail)
    return timers[presence.status, _has_open_work(state), presence.alive, bounded]


def _has_open_work(state: AgentState) -> bool:
    presence = state.presence
    if keeps_active(presence.status, presence.detail):
        return True
    return state.busy_at is not None and presence.status is PresenceStatus.ACTIVE and state.busy


def latest_time(state: AgentState) -> datetime:
    """Return the latest time of what has happened in a state."""
    return latest_in(vars(state) | {"blocked_until": None})


def _timer_due(state: AgentState, now: datetime, timers: TimerTable) -> Event | None:
    inactive_s = (now - state.silent_since).total_seconds()
    for event_type, after_s in _timers_of_state(state, timers):
        if inactive_s >= after_s:
            return _event_of_timer(state, event_type, now, after_s)
    return None


def _timer_due_before(
    state: AgentState, until: datetime, timers: TimerTable
) -> tuple[datetime, Event] | None:
    """Return the event of the timer that expires first, if that is before ``until``, and when."""
    running = _timers_of_state(state, timers)
    if not running:
        return None
    event_type, after_s = min(running, key=itemgetter(1))
    at = state.silent_since + timedelta(seconds=after_s)
    return (at, _event_of_timer(state, event_type, at, after_s)) if at < until else None


def _event_of_timer(state: AgentState, event_type: str, at: datetime, after_s: float) -> Event:
    event = timer_event(state.agent_id, event_type, at, after_s)
    if event_type == "offline" and _has_open_work(state):
        # Readers of the history take ``after_s`` of the others for the setting of this timer.
        return replace(event, extra={OPEN_WORK: after_s})
    return event


def _due_key(due: tuple[datetime, Event]) -> tuple[datetime, str, str]:
    return due[0], due[1].agent_id, due[1].event_type


def _event_time(event: Event) -> datetime:
    return event.timestamp or EPOCH


def timer_event(agent_id: str, event_type: str, now: datetime, after_s: float) -> Event:
    """Return an event that a timer causes, not the agent.

    Args:
        after_s: seconds of inactivity that expired.
    """
    return Event(
        agent_id=agent_id,
        event_type=event_type,
        timestamp=now,
        source="timer",
        extra={"after_s": after_s},
    )
