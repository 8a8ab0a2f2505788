"""What is known of every agent, as a pure function of evidence: (state, event, now) → state.

Evidence (open tool calls, open children, a question to a person, the end of a turn or a session,
the last sign of life) is kept apart from the verdict, which one table of rules draws from it, so
that evidence that arrives late or twice ends in the same verdict. It knows no clock and no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from ..errors import CapacityError
from .agent_state import AgentState
from .model import AgentPresence, Event, PresenceStatus
from .reducer import PriceFunction, reduce
from .status_rules import FORGOTTEN, StatusDecision, decision_of, update_presence
from .validation import MAX_INTEGER


@dataclass(frozen=True, slots=True)
class Limits:
    """Timers and bounds of a roster.

    Attributes:
        idle_timeout_s: seconds without evidence until an active agent is idle; 0: never.
        offline_timeout_s: seconds without evidence until an idle agent is offline; 0: never.
        forget_after_s: seconds of silence until an agent leaves the roster; 0: never.
        max_agents: most agents in the roster.
    """

    idle_timeout_s: float = 300.0
    offline_timeout_s: float = 1800.0
    forget_after_s: float = 86_400.0
    max_agents: int = 10_000


class Change(NamedTuple):
    """One numbered change of one agent.

    Attributes:
        seq: the store's number.
        state: the new state; None: the agent was forgotten.
        event: what made the change.
        at: when it was taken in, UTC.
    """

    seq: int
    agent_id: str
    state: AgentState | None
    event: Event
    at: datetime

    @property
    def presence(self) -> AgentPresence | None:
        """The new presence; None: the agent was forgotten."""
        return None if self.state is None else self.state.presence

    @property
    def decision(self) -> StatusDecision:
        """The agent's status after the change."""
        return FORGOTTEN if self.state is None else decision_of(self.state.presence)


class Roster:
    """All agents, and what is staged on top of them until it is stored.

    ``apply`` stages, ``commit`` installs what is staged, ``rollback`` forgets it: nobody sees
    what a failed transaction would have made.
    """

    def __init__(self, limits: Limits | None = None, price: PriceFunction | None = None) -> None:
        self.limits = limits or Limits()
        self._price = price
        # agent_id → state; only ``commit`` and ``put`` change it.
        self.agents: dict[str, AgentState] = {}
        # agent_id → state of the running transaction; None: forgotten in it.
        self._staged: dict[str, AgentState | None] = {}
        self._n_new = 0

    def get(self, agent_id: str) -> AgentState | None:
        """Return the agent's state, staged changes included."""
        if agent_id in self._staged:
            return self._staged[agent_id]
        return self.agents.get(agent_id)

    def check_capacity(self, agent_ids: Iterable[str]) -> None:
        """Raise CapacityError if these agents would not all fit."""
        fresh = {agent_id for agent_id in agent_ids if self.get(agent_id) is None}
        if fresh and len(self.agents) + self._n_new + len(fresh) > self.limits.max_agents:
            raise CapacityError(
                f"agents: at most {self.limits.max_agents} allowed, no room for {len(fresh)} more; "
                "raise --max-agents, or lower --forget-after to remove inactive agents sooner",
                "too_many_agents",
            )

    def apply(self, event: Event, seq: int, now: datetime) -> Change:
        """Stage one event and return the change that it makes.

        Args:
            event: its timestamp may be None (then it is ``now``) or late; one in the future
                counts as ``now``.
            seq: the number that the store gives it.
            now: time of its arrival, UTC.
        """
        known = self.get(event.agent_id)
        if event.event_type == "forget":
            self._stage(event.agent_id, None, known)
            return Change(seq, event.agent_id, None, event, now)
        state = reduce(known or AgentState.new(event.agent_id, now), event, now, self._price)
        state = update_presence(state, event, seq)
        self._stage(event.agent_id, state, known)
        return Change(seq, event.agent_id, state, event, now)

    def rename(self, agent_id: str, name: str) -> None:
        """Stage what is known of an agent as that of ``name``, who turned out to be the same.

        What is known of ``name`` already is added; the evidence of its present session goes first.
        """
        state, known = self.get(agent_id), self.get(name)
        if state is None:
            return
        same = known is not None and known.session_id == state.session_id
        merged = (known if known is not None and same else state).copy()
        merged.presence = replace(merged.presence, agent_id=name)
        if known is not None:
            merged.total_tokens = min(state.total_tokens + known.total_tokens, MAX_INTEGER)
            costs = [cost for cost in (state.cost_usd, known.cost_usd) if cost is not None]
            merged.cost_usd = sum(costs) if costs else None
            if same:
                merged.total_tools = state.total_tools + known.total_tools
                merged.total_errors = state.total_errors + known.total_errors
        self._stage(name, merged, known)

    def _stage(self, agent_id: str, state: AgentState | None, known: AgentState | None) -> None:
        self._n_new += (state is not None) - (known is not None)
        self._staged[agent_id] = state

    def staged(self) -> Iterator[tuple[str, AgentState | None]]:
        """Yield the final state of each agent that the running transaction touched."""
        return iter(self._staged.items())

    def commit(self) -> None:
        """Install what is staged."""
        for agent_id, state in self._staged.items():
            self.put(agent_id, state)
        self.rollback()

    def rollback(self) -> None:
        """Forget what is staged."""
        self._staged.clear()
        self._n_new = 0

    def put(self, agent_id: str, state: AgentState | None) -> None:
        """Take over a state that is stored, by whomever; None: the agent was forgotten."""
        if state is None:
            self.agents.pop(agent_id, None)
        else:
            self.agents[agent_id] = state

    def expired_timers(self, now: datetime, limits: Limits | None = None) -> list[Event]:
        """Return the events that the mere passing of time makes at ``now``.

        What is staged counts, so that a sign of life in the running transaction is not overlooked;
        the copy lets another thread ask while this one commits.

        Args:
            limits: timers to go by; None: the roster's own.
        """
        states = (self.agents | self._staged).values()
        timers = limits or self.limits
        return [
            event for state in states if state and (event := _expired_timer(state, now, timers))
        ]

    def implied_ends(self) -> list[Event]:
        """Return the ends that parents and subagents make for each other, dated by their evidence.

        Subagents end with their parent, and a subagent that rests by its own evidence is no longer
        at work for its parent: neither waits for an end that may never be told.
        """
        known = self.agents | self._staged
        found = []
        for state in known.values():
            if state is not None and state.parent_agent_id is not None:
                event = _orphan_end(state, known)
                found += [] if event is None else [event]
            if state is not None and state.children:
                found += _idle_children(state, known)
        return found

    def inactive_since(self, agent_ids: Iterable[str], now: datetime, seconds: float) -> list[str]:
        """Return those of the agents whose last sign is at least ``seconds`` old."""
        edge = now - timedelta(seconds=seconds)
        found = (self.get(agent_id) for agent_id in agent_ids)
        return [s.presence.agent_id for s in found if s and s.presence.last_activity <= edge]


def _expired_timer(state: AgentState, now: datetime, limits: Limits) -> Event | None:
    presence = state.presence
    silent_s = (now - presence.last_activity).total_seconds()
    if limits.forget_after_s and silent_s >= limits.forget_after_s:
        return timer_event(presence.agent_id, "forget", now, limits.forget_after_s)
    if state.has_open_work or presence.status is PresenceStatus.OFFLINE:
        return None
    if limits.offline_timeout_s and silent_s >= limits.offline_timeout_s:
        return timer_event(presence.agent_id, "offline", now, limits.offline_timeout_s)
    if presence.status is PresenceStatus.IDLE or not limits.idle_timeout_s:
        return None
    if silent_s >= limits.idle_timeout_s:
        return timer_event(presence.agent_id, "idle", now, limits.idle_timeout_s)
    return None


def _orphan_end(state: AgentState, known: Mapping[str, AgentState | None]) -> Event | None:
    """Return the end of a subagent whose parent ended without a word about it."""
    child = state.presence
    parent = known.get(state.parent_agent_id or "")
    if parent is None or child.status is PresenceStatus.OFFLINE or parent.ended is None:
        return None
    if parent.presence.status is not PresenceStatus.OFFLINE:
        return None
    at = parent.ended[1]
    if at < child.last_activity:
        # It has worked since, for whomever.
        return None
    return _cascade_event(child.agent_id, "session_end", at, {"parent_agent_id": parent.agent_id})


def _idle_children(state: AgentState, known: Mapping[str, AgentState | None]) -> Iterator[Event]:
    """Yield the ends of the subagents that rest, by their own evidence, since they began."""
    for name, begun in state.children.items():
        child = known.get(name)
        if child is None or child.parent_agent_id != state.agent_id:
            continue
        if child.turn_end_reason == "session_start":
            # It is there, and has yet to get its task.
            continue
        since = child.presence.since
        if child.presence.status is not PresenceStatus.ACTIVE and since and since >= begun:
            yield _cascade_event(state.agent_id, "subagent_stop", since, {"child_agent_id": name})


def _cascade_event(agent_id: str, event_type: str, at: datetime, extra: dict[str, str]) -> Event:
    return Event(
        agent_id=agent_id, event_type=event_type, timestamp=at, source="family", extra=extra
    )


def timer_event(agent_id: str, event_type: str, now: datetime, after_s: float) -> Event:
    """Return the event by which the server's clock, not the agent, changes a status."""
    return Event(
        agent_id=agent_id,
        event_type=event_type,
        timestamp=now,
        source="timer",
        extra={"after_s": after_s},
    )
