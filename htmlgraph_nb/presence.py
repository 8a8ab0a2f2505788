"""PresenceManager, the one door: number an event, store it, apply it, publish it, in that order.

Any number of managers, in one process or many, may share a file: each transaction begins with
what the others committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from .broadcast_adapter import BroadcastAdapter
from .core.agent_state import AgentState
from .core.changes import ChangeBatch, IngestResult, Subscriber, coerce_event
from .core.dedup import AgentAliases
from .core.explanation import explain
from .core.model import AgentPresence, Event, PresenceStatus
from .core.protocol import Cursor, encode_json, presence_message
from .core.reducer import PriceFunction
from .core.roster import Change, Limits, Roster
from .core.timestamps import utc_now
from .errors import InvalidEvent
from .paths import default_db
from .storage.dedup_table import DEDUP_RULES
from .storage.store import Store
from .storage.transaction import ExternalEvent, Transaction

__all__ = [
    "AgentPresence",
    "PresenceManager",
    "PresenceStatus",
    "Publication",
    "Receipt",
]

Publication = ChangeBatch
"""Earlier name of ChangeBatch."""
Receipt = IngestResult
"""Earlier name of IngestResult."""

logger = logging.getLogger("htmlgraph.presence")

MAX_RESOURCE_BYTES = 65_536
"""Most bytes of the merged fields of one feature, track or spike, as JSON."""


class PresenceManager:
    """Keeps every agent's presence, durable in one SQLite file.

    Args:
        db_path: the file; None: ``HTMLGRAPH_DB``, else the user's data folder.
        idle_timeout_seconds: seconds without evidence until ``mark_idle`` calls an agent idle;
            0: never.
        limits: all timers and bounds; it replaces ``idle_timeout_seconds``.
        synchronous: SQLite's setting: NORMAL survives the death of the process, FULL that of the
            machine.
        clock: returns the present time, UTC.
        price: returns the US dollars of an answer that does not tell them, as
            ``price_list.price_of``; None: presences have only what agents told.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be used.

    Use it as a context manager, or call ``close``. It is safe to use from several threads.
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
    ) -> None:
        self.limits = limits or Limits(idle_timeout_s=idle_timeout_seconds)
        self.idle_timeout_seconds = self.limits.idle_timeout_s
        self._clock = clock
        self._roster = Roster(self.limits, price)
        self._changes: list[Change] = []
        self._received: float | None = None
        self._subscribers: tuple[Subscriber, ...] = ()
        self._outlet = BroadcastAdapter()
        self._names = AgentAliases(DEDUP_RULES)
        self._loaded = False
        self._store = Store(str(db_path or default_db()), self, synchronous=synchronous)
        try:
            self.forgotten_seq = self._store.write(self._load)
        except BaseException:
            self._store.close()
            raise

    def _load(self, tx: Transaction) -> int:
        if not self._loaded:
            self._loaded = True
            for agent_id, state in tx.load_presence().items():
                self._roster.put(agent_id, state)
            found = (state.presence for state in self._roster.agents.values())
            self._names.load((p.agent_id, p.session_id) for p in found if not p.parent_agent_id)
        return tx.forgotten_seq()

    @property
    def db_path(self) -> str:
        """The database file."""
        return self._store.path

    @property
    def cursor(self) -> Cursor:
        """The position of this manager in the stream of changes."""
        return Cursor(self._store.epoch, self._store.seq)

    @property
    def n_queued(self) -> int:
        """Writes that wait for their commit."""
        return self._store.n_queued

    @property
    def agents(self) -> dict[str, AgentPresence]:
        """All agents by id as they are in the file now; a copy."""
        self._store.sync_external()
        return self.snapshot()

    def snapshot(self) -> dict[str, AgentPresence]:
        """Return all agents by id as this process last saw them, without a look at the file."""
        return {agent_id: state.presence for agent_id, state in dict(self._roster.agents).items()}

    def get_all_presence(self) -> list[AgentPresence]:
        """Return every agent's presence as it is in the file now."""
        return list(self.agents.values())

    def get_agent_presence(self, agent_id: str) -> AgentPresence | None:
        """Return one agent's presence as it is in the file now; None: nothing is known of it."""
        self._store.sync_external()
        state = self._roster.agents.get(agent_id)
        return None if state is None else state.presence

    def explain(self, agent_id: str) -> dict[str, Any] | None:
        """Return an agent's presence with its ``explanation``; None: nothing is known of it.

        It is the agent as this process last saw it, without a look at the file.
        """
        state = self._roster.agents.get(agent_id)
        return (
            None if state is None else {**state.presence.to_dict(), "explanation": explain(state)}
        )

    def update_presence(
        self,
        agent_id: str,
        event: Mapping[str, Any] | Event | str,
        websocket_manager: Any | None = None,
    ) -> AgentPresence:
        """Take in one event of one agent; it is durable when this returns.

        Args:
            agent_id: who; 1 to 256 characters.
            event: a dict of Event's fields (others are kept in ``extra``), an Event, or a bare
                event type as ``"tool_execute"``.
            websocket_manager: its ``broadcast_to_all_sessions(message)``, plain or async, is
                called with the presence_update message. A failure of it is logged.

        Returns:
            The agent's presence after the event.

        Raises:
            InvalidEvent: the event does not fit its description.
            CapacityError: no room for another agent.
            StoreError: the file cannot be written; nothing happened.
        """
        presence = self._write_one(coerce_event(agent_id, event))
        if websocket_manager is not None:
            message = presence_message(presence, self._clock())
            self._outlet.send(websocket_manager, message)
        return presence

    def _write_one(self, event: Event) -> AgentPresence:
        received = time.monotonic()

        def job(tx: Transaction) -> AgentPresence:
            self._apply_all(tx, [event], received)
            state = self._roster.get(event.agent_id)
            # None: the event was a repetition, or the one by which the agent is forgotten.
            return (state or AgentState.new(event.agent_id, self._clock())).presence

        return self._store.write(job)

    def ingest(self, events: Sequence[Event]) -> IngestResult:
        """Take in events, all or none; they are durable when this returns.

        Raises:
            InvalidEvent, CapacityError, StoreError: as ``update_presence``.
        """
        received = time.monotonic()
        events = [event.checked() for event in events]
        return self._store.write(lambda tx: self._ingest(tx, events, received))

    def submit(self, events: Sequence[Event], received: float) -> Future[IngestResult]:
        """Queue events for the writer thread; the Future is done when they are durable.

        Args:
            events: checked ones, as ``Event.from_dict`` returns them.
            received: ``time.monotonic()`` of their arrival.

        Raises:
            CapacityError: too much is queued already.
        """
        return self._store.submit(lambda tx: self._ingest(tx, events, received), len(events))

    def submit_resource(
        self,
        event: Event,
        received: float,
        status: str | None,
        payload: dict[str, Any],
        after: Sequence[Event] = (),
    ) -> Future[str | None]:
        """Queue a change of a feature, track or spike; the Future holds its status before.

        Args:
            event: its ``extra`` names ``resource_type`` and ``resource_id``.
            received: ``time.monotonic()`` of its arrival.
            status: the new status; None: as before.
            payload: fields to merge into what is stored; null takes a field away.
            after: events that are to be stored with it.

        The Future raises InvalidEvent where the merged fields exceed MAX_RESOURCE_BYTES.
        """

        def job(tx: Transaction) -> str | None:
            extra = event.extra or {}
            kind, name = str(extra["resource_type"]), str(extra["resource_id"])
            before, known = tx.resource(kind, name)
            merged = {k: v for k, v in {**known, **payload}.items() if v is not None}
            n_bytes = len(encode_json(merged).encode())
            if n_bytes > MAX_RESOURCE_BYTES:
                raise InvalidEvent(
                    f"{kind}: at most {MAX_RESOURCE_BYTES} bytes allowed, merged fields have "
                    f"{n_bytes}; send null to remove fields"
                )
            self._apply_all(tx, [event, *after], received)
            tx.put_resource(kind, name, status or before, merged)
            return before

        return self._store.submit(job)

    def _ingest(self, tx: Transaction, events: Sequence[Event], received: float) -> IngestResult:
        n_fresh = self._apply_all(tx, events, received)
        cursor = Cursor(self._store.epoch, tx.seq)
        return IngestResult(n_fresh, len(events) - n_fresh, cursor)

    def _apply_all(self, tx: Transaction, events: Sequence[Event], received: float) -> int:
        unknown = tx.filter_known(events)
        replaced = self._names.add(unknown)
        fresh = self._names.apply(unknown)
        self._roster.check_capacity([event.agent_id for event in fresh])
        now = self._clock()
        for agent_id, name in replaced:
            if self._roster.get(agent_id) is not None:
                self._roster.rename(agent_id, name)
                self._add(tx, Event(agent_id=agent_id, event_type="forget", source="rename"), now)
        first = tx.drop_duplicates(fresh, now)
        for event in first:
            self._add(tx, event, now)
        if first and self._received is None:
            self._received = received
        return len(first)

    def _add(self, tx: Transaction, event: Event, now: datetime) -> None:
        change = self._roster.apply(event, tx.seq + 1, now)
        tx.add_event(event, now, change.decision)
        self._changes.append(change)

    def mark_idle(self, agent_id: str | None = None) -> list[str]:
        """Mark as idle who gave no evidence of work for ``idle_timeout_seconds``.

        Args:
            agent_id: only this agent; None: all.

        Returns:
            The ids that became idle.
        """
        limits = replace(self.limits, offline_timeout_s=0.0, forget_after_s=0.0)

        def due() -> list[Event]:
            found = self._roster.expired_timers(self._clock(), limits)
            return [event for event in found if agent_id in (None, event.agent_id)]

        return self._by_clock(due)

    def tick(self) -> list[str]:
        """Do what the passing of time asks for: idle, offline, forget; return whom it changed.

        Subagents whose parent has ended, or that rest, end with it.
        """

        def due() -> list[Event]:
            return [
                *self._roster.expired_timers(self._clock(), self.limits),
                *self._roster.implied_ends(),
            ]

        return self._by_clock(due)

    def _by_clock(self, due: Callable[[], list[Event]]) -> list[str]:

        def job(tx: Transaction) -> list[str]:
            events = due()
            self._apply_all(tx, events, time.monotonic())
            return [event.agent_id for event in events]

        # Asked once without the lock: nearly always nobody is due, and nothing need be written.
        self._store.sync_external()
        return self._store.write(job) if due() else []

    def mark_offline(self, agent_id: str) -> bool:
        """Mark an agent as offline now.

        Returns:
            False where nothing is known of the agent.
        """
        return self._store.write(lambda tx: self._offline(tx, agent_id, time.monotonic()))

    def submit_offline(self, agent_id: str, received: float) -> Future[bool]:
        """Queue ``mark_offline`` for the writer thread."""
        return self._store.submit(lambda tx: self._offline(tx, agent_id, received))

    def _offline(self, tx: Transaction, agent_id: str, received: float) -> bool:
        state = self._roster.get(agent_id)
        if state is None:
            return False
        if state.presence.status is not PresenceStatus.OFFLINE:
            event = Event(agent_id=agent_id, event_type="offline", source="user")
            self._apply_all(tx, [replace(event, timestamp=self._clock())], received)
        return True

    def cleanup_stale_agents(self, max_age_hours: float = 24) -> list[str]:
        """Forget agents that were silent for ``max_age_hours``; their history stays.

        Returns:
            The ids that were forgotten.
        """

        def job(tx: Transaction) -> list[str]:
            now = self._clock()
            agents = list(self._roster.agents)
            stale = self._roster.inactive_since(agents, now, max_age_hours * 3600)
            events = [
                Event(agent_id=agent_id, event_type="forget", source="user", timestamp=now)
                for agent_id in stale
            ]
            self._apply_all(tx, events, time.monotonic())
            return stale

        return self._store.write(job)

    def delete_history(self, older_than: timedelta, step_rows: int = 2_000) -> int:
        """Delete one step of the history that is older than ``older_than``; return how many rows.

        Presence and totals stay. Call it again until it returns 0.
        """
        before = self._clock() - older_than
        return self._store.write(lambda tx: tx.delete_history(before, step_rows))

    def sync_external(self) -> bool:
        """Take in and publish what other processes committed; return whether they did."""
        return self._store.sync_external()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with the changes of every transaction, after its commit and in order.

        It is called in the thread that committed and must neither block nor write.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """Commit what is queued and close the file; a second call does nothing."""
        self._store.close()

    def __enter__(self) -> PresenceManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PresenceManager({self.db_path!r}, {len(self._roster.agents)} agents)"

    # What the store calls around each transaction.

    def begin(self, tx: Transaction, foreign: bool) -> None:
        """Take in what other processes committed before this transaction."""
        if not foreign or not self._loaded:
            return
        events = tx.external_events()
        if not events:
            return
        self.forgotten_seq = tx.forgotten_seq()
        last = {event.agent_id: event.seq for event in events}
        states = tx.load_presence(list(last))
        for agent_id in last:
            self._roster.put(agent_id, states.get(agent_id))
        now = self._clock()
        self._received = time.monotonic()
        self._changes.extend(
            Change(
                event.seq, event.agent_id, states.get(event.agent_id), _external_event(event), now
            )
            for event in events
            if last[event.agent_id] == event.seq or event.extra is not None
        )

    def flush(self, tx: Transaction) -> None:
        """Write the final state of each agent that the transaction touched."""
        staged = dict(self._roster.staged())
        if staged:
            tx.put_presence([state for state in staged.values() if state is not None])
        gone = [agent_id for agent_id, state in staged.items() if state is None]
        if gone:
            tx.delete_presence(gone)

    def committed(self, tx: Transaction) -> None:
        """Install and publish what is now durable."""
        self._roster.commit()
        changes, received = self._changes, self._received
        self._changes, self._received = [], None
        for change in changes:
            if change.state is None:
                self.forgotten_seq = tx.seq
        if changes and self._subscribers:
            publication = ChangeBatch(changes, time.monotonic() if received is None else received)
            for subscriber in self._subscribers:
                self._notify(subscriber, publication)

    def _notify(self, subscriber: Subscriber, publication: ChangeBatch) -> None:
        try:
            subscriber(publication)
        except Exception:
            # It is stored: who cannot be told must not make the sender believe it was not.
            logger.exception("a subscriber of the changes failed: %r", subscriber)

    def rolled_back(self) -> None:
        """Forget what the failed transaction would have made."""
        self._roster.rollback()
        self._changes, self._received = [], None


def _external_event(event: ExternalEvent) -> Event:
    return Event(agent_id=event.agent_id, event_type=event.event_type, extra=event.extra)
