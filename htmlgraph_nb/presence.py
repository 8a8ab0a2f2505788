"""PresenceManager: assigns sequence numbers to events, stores, applies and publishes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from .broadcast_adapter import BroadcastAdapter
from .coding_agents.otel.metrics import Reading
from .core.agent_facts import WindowFunction
from .core.agent_state import AgentState, Timed
from .core.changes import (
    ChangeBatch,
    ImportResult,
    IngestResult,
    LivePresence,
    Subscriber,
    coerce_event,
)
from .core.explanation import explain
from .core.model import AgentPresence, Event, PresenceStatus
from .core.protocol import Cursor, presence_message
from .core.reducer import PriceFunction
from .core.roster import Limits
from .core.timestamps import utc_now
from .html_card import manager_card
from .paths import default_db
from .storage.file_table import FileStamp
from .storage.roster_sync import EndOfFile, RosterSync
from .storage.shared.open_store import clock_for, open_any_store
from .storage.store import Job
from .storage.transaction import Transaction

__all__ = ["AgentPresence", "PresenceManager", "PresenceStatus", "Publication", "Receipt"]

Publication = ChangeBatch
"""Former name of ChangeBatch."""
Receipt = IngestResult
"""Former name of IngestResult."""
T = TypeVar("T")


class PresenceManager:
    """The presence of all agents, stored in one SQLite file; all methods are thread-safe.

    Args:
        db_path: the file, or ``postgresql://user@host/database``; None: ``HTMLGRAPH_DB``, else a
            file in the user's data folder.
        idle_timeout_seconds: seconds without an event until ``mark_idle`` marks an agent as idle;
            0: never.
        limits: all timers and limits; replaces ``idle_timeout_seconds``.
        synchronous: "NORMAL": commits survive a crash of the process; "FULL": a power failure.
        clock: returns the current time, UTC.
        price: returns the cost in US dollars of an event that does not report it, such as
            ``price_list.price_of``; None: only reported costs count.
        context_window: returns the context window of a model in tokens; None: only windows that
            agents report are known.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be used.

    Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        db_path: str | None = None,
        idle_timeout_seconds: float = 300,
        *,
        limits: Limits | None = None,
        synchronous: str = "NORMAL",
        clock: Callable[[], datetime] = utc_now,
        price: PriceFunction | None = None,
        context_window: WindowFunction | None = None,
    ) -> None:
        self.limits = limits or Limits(idle_timeout_s=idle_timeout_seconds)
        self.idle_timeout_seconds = self.limits.idle_timeout_s
        location = str(db_path or default_db())
        self._clock = clock_for(location, clock)
        self._sync = RosterSync(self.limits, price, context_window, self._clock)
        self._roster = self._sync.roster
        self._broadcast = BroadcastAdapter()
        self.store = open_any_store(location, self._sync, synchronous, self._clock)
        try:
            self.store.write(self._sync.load)
        except BaseException:
            self.store.close()
            raise

    @property
    def db_path(self) -> str:
        """The database file, or the address of the database without its password."""
        return self.store.path

    @property
    def cursor(self) -> Cursor:
        """The position of this manager in the stream of changes."""
        return Cursor(self.store.epoch, self.store.seq)

    @property
    def forgotten_seq(self) -> int:
        """The seq of the last removal of an agent; 0: none."""
        return self._sync.forgotten_seq

    @property
    def n_queued(self) -> int:
        """Number of writes that wait for their commit."""
        return self.store.n_queued

    @property
    def agents(self) -> dict[str, AgentPresence]:
        """A dict of all agents by id: LivePresence objects, which show the values in the file."""
        self.store.sync_external()
        return {agent_id: self._live(presence) for agent_id, presence in self.snapshot().items()}

    def _live(self, presence: AgentPresence) -> AgentPresence:
        return LivePresence(presence, self._roster.agents, self._assign)

    def _assign(self, event: Event) -> None:
        self.store.write(lambda tx: self._sync.assign(tx, event))

    def snapshot(self) -> dict[str, AgentPresence]:
        """Return all agents by id as last seen by this process, as fixed AgentPresence objects."""
        return {agent_id: state.presence for agent_id, state in self.states().items()}

    def get_all_presence(self) -> list[AgentPresence]:
        """Return the presence of every agent, as ``agents`` has it."""
        return list(self.agents.values())

    def get_agent_presence(self, agent_id: str) -> AgentPresence | None:
        """Return the presence of an agent, as ``agents`` has it; None: unknown agent."""
        self.store.sync_external()
        state = self._roster.agents.get(agent_id)
        return None if state is None else self._live(state.presence)

    def open_calls(self, agent_id: str) -> Mapping[str, Timed]:
        """Return the open tool calls of an agent: key → name of the tool and start."""
        state = self._roster.agents.get(agent_id)
        return {} if state is None else state.open_tools

    def states(self) -> dict[str, AgentState]:
        """Return the states of all agents by id as last seen by this process."""
        return dict(self._roster.agents)

    def explain(self, agent_id: str) -> dict[str, Any] | None:
        """Return the presence of an agent, as last seen, with an ``explanation``; None: unknown."""
        state = self._roster.agents.get(agent_id)
        return {**state.presence.to_dict(), "explanation": explain(state)} if state else None

    def update_presence(
        self,
        agent_id: str,
        event: Mapping[str, Any] | Event | str,
        websocket_manager: Any | None = None,
    ) -> AgentPresence:
        """Ingest one event of one agent; it is durable when this returns.

        Args:
            agent_id: id of the agent, 1 to 256 characters.
            event: a dict of Event's fields (others are kept in ``extra``), an Event, or an event
                type such as ``"tool_execute"``.
            websocket_manager: object whose ``broadcast_to_all_sessions(message)``, sync or async,
                is called with the presence_update message. Its exceptions are logged.

        Returns:
            The presence of the agent after the event; it shows no later one, but can be assigned.

        Raises:
            InvalidEvent: the event is invalid.
            CapacityError: there is no room for another agent.
            StoreError: the file cannot be written; nothing was changed.
        """
        presence = self._write_one(coerce_event(agent_id, event))
        if websocket_manager is not None:
            self._broadcast.send(websocket_manager, presence_message(presence, self._clock()))
        return LivePresence(presence, {}, self._assign)

    def _write_one(self, event: Event) -> AgentPresence:
        received = time.monotonic()

        def job(tx: Transaction) -> AgentPresence:
            self._sync.apply(tx, [event], received)
            state = self._roster.get(event.agent_id)
            # None after a "forget" event, or after a duplicate event of a removed agent.
            return (state or AgentState.new(event.agent_id, self._clock())).presence

        return self.store.write(job)

    def ingest(self, events: Sequence[Event]) -> IngestResult:
        """Ingest events, all or none; they are durable when this returns.

        Raises:
            InvalidEvent, CapacityError, StoreError: as in ``update_presence``.
        """
        events, received = [event.checked() for event in events], time.monotonic()
        return self.store.write(lambda tx: self._ingest(tx, events, received))

    def import_events(
        self,
        events: Sequence[Event],
        end: EndOfFile | None = None,
        files: Mapping[str, FileStamp | None] | None = None,
    ) -> ImportResult:
        """Ingest a part of a session file; others see its agents with the last part.

        Args:
            end: returns the events after the last part; None: more parts follow.
            files: session files to store as imported; None: to remove.

        It raises as ``ingest``; then repeat it, or call ``discard_import``.
        """
        events = [event.checked() for event in events]
        return self.store.write(lambda tx: self._sync.import_events(tx, events, end, files or {}))

    def discard_import(self) -> None:
        """Give up the import of a file: its agents stay as they were, its events stored."""
        self.store.write(lambda _: self._sync.discard_import())

    def submit(
        self, events: Sequence[Event], received: float, host: str | None = None
    ) -> Future[IngestResult]:
        """Queue events for the writer thread; the Future is done when they are durable.

        Args:
            events: validated events, such as those of ``Event.from_dict``.
            received: ``time.monotonic()`` of their arrival.
            host: id of the host whose server forwards them; None: they come from their sources.

        Raises:
            CapacityError: the write queue is full.
        """
        return self.store.submit(lambda tx: self._ingest(tx, events, received, host), len(events))

    def submit_readings(self, readings: Sequence[Reading], received: float) -> Future[int]:
        """Queue points of token counters; the Future returns how many events they add."""
        return self.store.submit(self._sync.count_job(readings, received), len(readings))

    def _ingest(
        self, tx: Transaction, events: Sequence[Event], received: float, host: str | None = None
    ) -> IngestResult:
        n = self._sync.apply(tx, events, received, host)
        return IngestResult(n, len(events) - n, Cursor(self.store.epoch, tx.seq))

    def submit_resource(
        self,
        event: Event,
        received: float,
        status: str | None,
        payload: dict[str, Any],
        after: Sequence[Event] = (),
    ) -> Future[str | None]:
        """Queue a change of a feature, track or spike; the Future returns its previous status.

        Args:
            event: the change; its ``extra`` contains ``resource_type`` and ``resource_id``.
            received: ``time.monotonic()`` of its arrival.
            status: the new status; None: unchanged.
            payload: fields to merge into the stored ones; null removes a field.
            after: further events to store in the same transaction.

        The Future raises InvalidEvent if the merged fields exceed MAX_RESOURCE_BYTES.
        """
        return self.store.submit(
            lambda tx: self._sync.put_resource(tx, event, received, status, payload, after)
        )

    def mark_idle(self, agent_id: str | None = None) -> list[str]:
        """Mark agents (None: all) as idle after ``idle_timeout_seconds``, and return their ids."""
        limits = replace(self.limits, offline_timeout_s=0.0, forget_after_s=0.0)

        def due() -> list[Event]:
            events = self._roster.timers_due(self._clock(), limits)
            return [event for event in events if agent_id in (None, event.agent_id)]

        return self._apply_due(due)

    def tick(self, *, resumed: bool = False) -> list[str]:
        """Apply all timers (idle, offline, forget) and implied ends; return the changed agents.

        An implied end is that of a subagent that is idle or whose parent has ended. ``resumed``:
        instead make silence count from now, as the machine or this process was paused.
        """

        def due() -> list[Event]:
            if resumed:
                return self._roster.resumptions(self._clock())
            roster = self._roster
            events = roster.timers_due(self._clock(), self.limits) + roster.implied_ends()
            early = self._sync.still_arriving() if events else ()
            return [event for event in events if event.agent_id not in early]

        return self._apply_due(due)

    def _apply_due(self, due: Callable[[], list[Event]]) -> list[str]:
        def job(tx: Transaction) -> list[str]:
            events = due()
            self._sync.apply(tx, events, time.monotonic())
            return [event.agent_id for event in events]

        # Check without the lock first; usually nothing is due.
        self.store.sync_external()
        return self.store.write(job) if due() or self._sync.is_ahead else []

    def mark_offline(self, agent_id: str) -> bool:
        """Mark an agent as offline now; return False if the agent is unknown."""
        return self.store.write(lambda tx: self._offline(tx, agent_id, time.monotonic()))

    def submit_job(self, job: Job[T]) -> Future[T]:
        """Queue a write of a table other than those of events; see ``Store.submit``."""
        return self.store.submit(job)

    def submit_offline(self, agent_id: str, received: float) -> Future[bool]:
        """Queue ``mark_offline`` for the writer thread."""
        return self.store.submit(lambda tx: self._offline(tx, agent_id, received))

    def _offline(self, tx: Transaction, agent_id: str, received: float) -> bool:
        state = self._roster.get(agent_id)
        if state is not None and state.presence.status is not PresenceStatus.OFFLINE:
            self._sync.apply(tx, [self._by_user(agent_id, "offline")], received)
        return state is not None

    def _by_user(self, agent_id: str, kind: str) -> Event:
        return Event(agent_id=agent_id, event_type=kind, source="user", timestamp=self._clock())

    def forget(self, agent_id: str, *, history: bool = False) -> bool:
        """Remove an agent now; it returns with its next event.

        Args:
            history: also delete its stored events. The event of the removal itself may stay.

        Returns:
            False if the agent is unknown and, with ``history``, nothing of it is stored.
        """

        def job(tx: Transaction) -> bool:
            known = self._roster.get(agent_id) is not None
            if known:
                self._sync.apply(tx, [self._by_user(agent_id, "forget")], time.monotonic())
            return known

        found = self.store.write(job)
        while history and self.store.write(lambda tx: tx.delete_agent(agent_id, 2_000)):
            found = True
        return found

    def cleanup_stale_agents(self, max_age_hours: float = 24) -> list[str]:
        """Remove agents that were inactive for this long, not their history; return their ids."""

        def job(tx: Transaction) -> list[str]:
            agents = list(self._roster.agents)
            stale = self._roster.inactive_since(agents, self._clock(), max_age_hours * 3600)
            self._sync.apply(tx, [self._by_user(one, "forget") for one in stale], time.monotonic())
            return stale

        return self.store.write(job)

    def delete_history(self, older_than: timedelta, step_rows: int = 2_000) -> int:
        """Delete one batch of the history older than ``older_than``; return the number of rows.

        Presence and totals are kept. Call it again until it returns 0.
        """
        before = self._clock() - older_than
        return self.store.write(lambda tx: tx.delete_history(before, step_rows))

    def sync_external(self) -> bool:
        """Apply and publish the commits of other processes; return whether there were any."""
        return self.store.sync_external()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with the changes of each transaction, after its commit, in order.

        It is called in the thread that committed and must neither block nor write. Its exceptions
        are logged.

        Returns:
            A function that ends the subscription.
        """
        return self._sync.subscribe(subscriber)

    def close(self) -> None:
        """Commit all queued writes and close the file; idempotent."""
        self.store.close()

    def __enter__(self) -> PresenceManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PresenceManager({self.db_path!r}, {len(self._roster.agents)} agents)"

    def _repr_html_(self) -> str:
        return manager_card(self.db_path, [agent.to_dict() for agent in self.snapshot().values()])
