"""RosterSync: applies events to the roster and the database in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..coding_agents.otel.metrics import Reading
from ..core.agent_facts import CLOCK_SET_BACK, WindowFunction, facts_of_duplicate
from ..core.capacity.room import agents_to_remove
from ..core.changes import ChangeBatch, ImportResult, Subscriber
from ..core.ids import topmost_ancestor
from ..core.model import AgentPresence, Event
from ..core.reducer import PriceFunction
from ..core.roster import Limits, Roster, latest_time
from ..core.status_rules import FORGOTTEN, Change
from ..core.timestamps import EPOCH
from ..forwarding.host_links import host_links
from .commit.agent_names import AgentNames
from .commit.counter_table import CounterTable, CountJob
from .commit.sync_events import changed, renamed
from .database import select_in
from .dedup_table import DEDUP_RULES
from .file_table import FileStamp, put_session_files
from .forgetting.forgotten_names import ForgottenNames, reload_roster
from .held_agents import HeldAgents, PastArrivals
from .quota_table import put_quotas
from .transaction import Transaction

logger = logging.getLogger(__name__)

_NEVER_S = 1e9

CLOCK_TOLERANCE = timedelta(seconds=2)
"""A clock that goes back by less was not set back, but differs between processes."""

EndOfFile = Callable[[Sequence[AgentPresence]], Sequence[Event]]
"""Called with the agents of an imported file; returns the events that follow from its end."""


class RosterSync:
    """Keeps a roster equal to the committed state of the database; a TransactionListener.

    Each transaction starts with the commits of other processes, applies events to the roster,
    stores the changed agents and, once it is durable, publishes the changes to the subscribers.

    Args:
        limits: timers and limits of the roster.
        price: returns the cost of an event; None: only reported costs count.
        window: returns the context window of a model; None: only reported windows are known.
        clock: returns the current time, UTC.

    Attributes:
        roster: the agents.
        forgotten_seq: seq of the last removal of an agent; 0: none.
    """

    def __init__(
        self,
        limits: Limits,
        price: PriceFunction | None,
        window: WindowFunction | None,
        clock: Callable[[], datetime],
    ) -> None:
        self.roster = Roster(limits, price, window)
        self.forgotten_seq = 0
        self._clock = clock
        # Events of the past do not remove an agent, because its later events keep its totals.
        self._timers = replace(limits, forget_after_s=0.0)
        self._shortest_timer = timedelta(
            seconds=min(limits.idle_timeout_s or _NEVER_S, limits.offline_timeout_s or _NEVER_S)
        )
        self._past_arrivals = PastArrivals()
        # The latest time of a state or on the clock, and its value after the transaction.
        self._latest, self._next_latest = EPOCH, EPOCH
        self._names, self._counters = AgentNames(DEDUP_RULES), CounterTable(select_in)
        self._subscribers: tuple[Subscriber, ...] = ()
        self._loaded = False
        self._held = HeldAgents()
        self._forgotten = ForgottenNames()
        # Changes of the running transaction, and when the oldest of their events arrived.
        self._changes: list[Change] = []
        self._received: float | None = None

    def load(self, tx: Transaction) -> None:
        """Read all agents from the database, unless they are loaded already."""
        if not self._loaded:
            self._loaded = True
            self._forgotten.load(tx.db)
            for agent_id, state in tx.load_presence().items():
                self.roster.put(agent_id, state)
                self._next_latest = max(self._next_latest, latest_time(state))
            self._names.load(tx.db, (s.presence for s in self.roster.agents.values()))
        self.forgotten_seq = tx.forgotten_seq()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` after each commit; see ``PresenceManager.subscribe``."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def apply(
        self, tx: Transaction, events: Sequence[Event], received: float, host: str | None = None
    ) -> int:
        """Stage the events that are not duplicates, and return their number.

        Args:
            received: ``time.monotonic()`` of the arrival of the events.
            host: id of the host whose server forwards the events; None: agents report them.

        Raises:
            CapacityError: the roster has no room for the new agents.
        """
        events, new_events = tx.identify(self._forgotten.keep(events))
        new_names = self._names.new_of(new_events)
        aliased_events = self._names.apply(new_events, new_names)
        now = self._read_clock(tx)
        self._make_room(tx, aliased_events, now)
        merged = self._merge(tx, new_names, now) if new_names else []
        accepted = tx.drop_duplicates(aliased_events, now, host)
        past = now - self._shortest_timer
        for event in accepted:
            if event.timestamp is not None and event.timestamp < past:
                self._apply_timers_due_before(tx, event.agent_id, event.timestamp, now)
                self._past_arrivals.add(event.agent_id, now)
            self._add(tx, event, now)
        for name in merged:
            if (state := self.roster.get(name)) and name not in {e.agent_id for e in accepted}:
                self._add(tx, changed(state, "rename"), now)
        if len(accepted) < len(events):
            known = {event.event_id for event in accepted}
            duplicates = [event for event in events if event.event_id not in known]
            self._add_facts(tx, self._names.apply(duplicates), now)
        for event in [] if host is None else host_links(accepted, self.roster.get, host):
            self._add(tx, event, now)
        self._received = self._received or (received if accepted else None)
        return len(accepted)

    def count_job(self, readings: Sequence[Reading], received: float) -> CountJob:
        """Return a job that stages what points of counters add; see ``CounterTable.job``."""
        return self._counters.job(readings, received, self.apply, self._clock)

    def _merge(self, tx: Transaction, names: Mapping[str, str], now: datetime) -> list[str]:
        """Store new names and rename the agents; return the new ids of those that were known."""
        self._names.store(tx.db, names)
        known = [agent_id for agent_id in names if self.roster.get(agent_id) is not None]
        for agent_id in known:
            self.roster.merge_into(agent_id, names[agent_id])
            self._add(tx, renamed(agent_id, names[agent_id]), now)
        return [names[agent_id] for agent_id in known]

    def _make_room(self, tx: Transaction, events: Sequence[Event], now: datetime) -> None:
        """Remove agents that give way to new ones; see ``capacity.room``.

        Raises:
            CapacityError: too few give way.
        """
        names = [event.agent_id for event in events]
        if n_needed := self.roster.n_without_room(names):
            states = self.roster.agents | dict(self.roster.staged())
            agents = {name: state for name, state in states.items() if state is not None}
            size = self.roster.limits.max_agents
            for name in agents_to_remove(agents, events, n_needed, size):
                self._add(tx, Event(agent_id=name, event_type="forget", source="capacity"), now)
            self.roster.check_capacity(names)

    @property
    def is_ahead(self) -> bool:
        """Whether states have times after now, because the clock was set back."""
        return self._clock() + CLOCK_TOLERANCE < self._latest

    def _read_clock(self, tx: Transaction) -> datetime:
        """Return the time; if the clock was set back, first set the times of states back."""
        now = self._clock()
        if now + CLOCK_TOLERANCE < self._next_latest:
            logger.warning("the clock was set back; times of agents after %s move with it", now)
            for name in self.roster.ahead_of(now):
                extra = {CLOCK_SET_BACK: True}
                event = Event(agent_id=name, event_type="resumed", source="server", extra=extra)
                self._add(tx, event, now)
            self._next_latest = now
        elif now > self._next_latest:
            self._next_latest = now
        return now

    def assign(self, tx: Transaction, event: Event) -> None:
        """Stage an event that assigns a field of an agent, unless it was removed."""
        if self.roster.get(event.agent_id) is not None:
            self.apply(tx, [event], time.monotonic())

    def put_resource(
        self,
        tx: Transaction,
        event: Event,
        received: float,
        status: str | None,
        payload: dict[str, Any],
        after: Sequence[Event],
    ) -> str | None:
        """Stage the change of a resource; see ``PresenceManager.submit_resource``."""
        extra = event.extra or {}
        resource = str(extra["resource_type"]), str(extra["resource_id"])
        previous, merged = tx.merged_resource(*resource, payload)
        self.apply(tx, [event, *after], received)
        tx.put_resource(*resource, status or previous, merged)
        return previous

    def _add_facts(self, tx: Transaction, duplicates: Sequence[Event], now: datetime) -> None:
        """Apply what duplicates, whose aliases are applied, say about their agents."""
        for event in duplicates:
            state = self.roster.get(event.agent_id)
            facts = None if state is None else facts_of_duplicate(state, event)
            for fact in [] if facts is None else tx.filter_known([facts]):
                self._add(tx, fact, now)
                self._received = self._received or time.monotonic()

    def import_events(
        self,
        tx: Transaction,
        events: Sequence[Event],
        end: EndOfFile | None,
        files: Mapping[str, FileStamp | None],
    ) -> ImportResult:
        """Stage past events of a session file; its agents are stored with the last of them.

        Args:
            end: None: more events of the file follow; else called after the last ones.
            files: session files to store as imported; see ``file_table.put_session_files``.

        Raises:
            CapacityError: the roster has no room for the new agents.
        """
        aliased_events = self._names.apply(self._forgotten.keep(events))
        self.roster.check_capacity([event.agent_id for event in aliased_events])
        now = self._read_clock(tx)
        aliased_events, unknown = tx.identify(aliased_events)
        accepted = {id(event) for event in tx.drop_duplicates(unknown, now)}
        past = now - self._shortest_timer
        duplicates = []
        for event in aliased_events:
            name = event.agent_id
            self._held.hold(name, self.roster.get(name))
            if id(event) in accepted:
                if event.timestamp is not None and event.timestamp < past:
                    self._apply_timers_due_before(tx, name, event.timestamp, now)
                self._add(tx, event, now)
            elif self._held.rebuilds(name):
                self.roster.apply(event, tx.seq, now)
            else:
                duplicates.append(event)
        self._add_facts(tx, duplicates, now)
        if end is not None:
            self._end_import(tx, end, now)
        # The path of a file names its session.
        put_session_files(tx.db, {} if files and self._forgotten.was_dropped() else files)
        known = len(events) - len(unknown)
        return ImportResult(len(accepted), known, len(unknown) - len(accepted))

    def _end_import(self, tx: Transaction, end: EndOfFile, now: datetime) -> None:
        names = self._held.names()
        states = [state for name in names if (state := self.roster.get(name)) is not None]
        closing = end([state.presence for state in states])
        unknown = {id(event) for event in tx.filter_known(closing)}
        for event in closing:
            if id(event) in unknown:
                self._add(tx, event, now)
            else:
                self.roster.apply(event, tx.seq, now)
        changes = {change.agent_id for change in self._changes}
        for state in states:
            if state.agent_id not in changes and self.roster.get(state.agent_id) is not None:
                self._add(tx, changed(state, "import"), now)
        self._held.release({name for name in names if self.roster.get(name) is None})

    def discard_import(self) -> None:
        """Drop the agents of a file whose import has failed; their stored states stay."""
        for name, state in self._held.discard().items():
            self.roster.put(name, state)

    def _apply_timers_due_before(
        self, tx: Transaction, agent_id: str, until: datetime, now: datetime
    ) -> None:
        """Apply the timers that were due before an event of the past, as if a server had run.

        The timers of the agent itself are not stored: readers of the history derive them from the
        timestamps. Timers of its parent and subagents, and implied ends, are stored.
        """
        for _, due in self.roster.timers_due_before(agent_id, until, self._timers):
            if due.source == "timer" and due.agent_id == agent_id:
                self.roster.apply(due, tx.seq, now)
            else:
                self._add(tx, due, now)

    def _add(self, tx: Transaction, event: Event, now: datetime) -> None:
        before = self.roster.get(event.agent_id)
        change = self.roster.apply(event, tx.seq + 1, now)
        state = change.state or before
        root = None
        if state is not None and state.parent_agent_id is not None:
            root = topmost_ancestor(event.agent_id, state.parent_agent_id, self._parent_of)
        tx.add_event(event, now, change.presence or FORGOTTEN, root)
        if event.event_type == "quota":
            put_quotas(tx.db, event, now)
        self._changes.append(change)

    def _parent_of(self, agent_id: str) -> str | None:
        state = self.roster.get(agent_id)
        return None if state is None else state.parent_agent_id

    def still_arriving(self) -> set[str]:
        """Return the agents whose past is being reported; see ``PastArrivals``."""
        return self._past_arrivals.names(self._clock())

    def begin(self, tx: Transaction, external: bool) -> None:
        """Apply what other processes committed before this transaction."""
        if not external or not self._loaded:
            return
        if self._forgotten.load(tx.db) or tx.is_other_history:
            tx.drop_string_ids()
            self._names.reset()
            stored, last = tx.load_presence(), tx.forgotten_seq()
            hides, now = self._held.hides, self._clock()
            self._changes += reload_roster(self.roster, stored, hides, last, now)
        self._names.read_new(tx.db)
        self._counters.clear()
        events = tx.external_events()
        if not events:
            return
        self.forgotten_seq = tx.forgotten_seq()
        last_seqs = {event.agent_id: event.seq for event in events}
        states = tx.load_presence(list(last_seqs))
        for agent_id in last_seqs:
            state, own = states.get(agent_id), self.roster.get(agent_id)
            if state is not None:
                self._next_latest = max(self._next_latest, state.presence.last_activity)
            if own is not None and self._held.hides(agent_id):
                state = self._held.absorb(agent_id, own, state)
            self.roster.put(agent_id, state)
        now = self._clock()
        self._received = time.monotonic()
        # Only the final state of each agent is stored, so earlier changes of it are skipped.
        for seq, name, kind, extra in events:
            if last_seqs[name] == seq or extra is not None:
                event = Event(agent_id=name, event_type=kind, extra=extra)
                self._changes.append(Change(seq, name, states.get(name), event, now))

    def flush(self, tx: Transaction) -> None:
        """Store the final state of each agent changed in this transaction."""
        staged = {
            agent_id: state
            for agent_id, state in self.roster.staged()
            if not self._held.hides(agent_id)
        }
        for agent_id in self._held.released:
            if (state := self.roster.get(agent_id)) is not None:
                staged.setdefault(agent_id, state)
        if staged:
            tx.put_presence([state for state in staged.values() if state is not None])
        removed = [agent_id for agent_id, state in staged.items() if state is None]
        if removed:
            tx.delete_presence(removed)

    def committed(self, tx: Transaction) -> None:
        """Commit the staged states to the roster, and notify the subscribers."""
        self.roster.commit()
        self._names.committed()
        self._latest = self._next_latest
        self._held.commit()
        changes, received = self._changes, self._received
        self._changes, self._received = [], None
        for change in changes:
            if change.state is None:
                self.forgotten_seq = tx.seq
        if changes and self._subscribers:
            batch = ChangeBatch(changes, time.monotonic() if received is None else received)
            for subscriber in self._subscribers:
                self._notify(subscriber, batch)

    def rolled_back(self) -> None:
        """Discard the staged states and changes."""
        self.roster.rollback()
        self._names.rolled_back()
        self._counters.clear()
        self._next_latest = self._latest
        self._held.rollback()
        self._changes, self._received = [], None

    def _notify(self, subscriber: Subscriber, batch: ChangeBatch) -> None:
        try:
            subscriber(batch)
        except Exception:
            # The events are committed, so a failing subscriber must not fail the write.
            logger.exception("subscriber %r failed", subscriber)
