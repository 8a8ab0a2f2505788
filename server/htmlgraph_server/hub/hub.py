"""The fan-out: sends every change to every client without waiting for any of them.

Each change is encoded once. A change is sent at once if nothing was sent during the last tick;
otherwise the frames of a tick are joined into one bytes object per filter, and each client gets
that object in one write. A client whose unsent bytes pass the limit is skipped until it has
drained, and then gets the state since its cursor. So memory is bounded, and no client delays
another. A client whose connection fails is removed, and the others do not notice.

The hub is independent of the web framework: a transport takes bytes, a scheduler calls back.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.protocol import (
    MATCH_ALL,
    CloseCode,
    Cursor,
    Filter,
    presence_removed,
    presence_update,
)
from htmlgraph_nb.core.status_rules import Change
from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now
from htmlgraph_nb.errors import JoinRefused

from ..connections.frames import encode_frame
from ..connections.hub_limits import HubLimits
from .broadcast_messages import broadcast_event
from .clients import Client, FilterGroup, Scheduler, Transport
from .filter_groups import FilterGroups
from .published_state import PublishedState
from .side_messages import SideMessages
from .stats import HubStats

logger = logging.getLogger(__name__)


class Hub:
    """All clients of one server.

    Args:
        published: the initial state.
        limits: limits and tick.
        scheduler: the event loop; every method is called on it.
        monotonic: returns monotonic seconds.
        now: returns the current time in UTC.

    Attributes:
        n_elsewhere: returns the number of clients of this server's other hubs.
    """

    def __init__(
        self,
        published: PublishedState,
        limits: HubLimits,
        scheduler: Scheduler,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.published = published
        self.limits = limits
        self.stats = HubStats()
        self.clients: dict[Client, None] = {}
        self.n_elsewhere: Callable[[], int] = int
        self.sessions: Counter[str] = Counter()
        self.groups = FilterGroups(limits.max_filter_values)
        # Clients without a state yet: those waiting for the next flush, and slow ones.
        self._awaiting_state: dict[Client, None] = {}
        self._slow: dict[Client, None] = {}
        self._scheduler = scheduler
        self._monotonic = monotonic
        self._now = now
        self._formatted_time: tuple[datetime | None, str] = (None, "")
        self._last_state: tuple[list[str], bytes] = ([], b"")
        self._received: list[tuple[float, int]] = []
        self._next_flush = 0.0
        self._flush_scheduled = False
        self._check_scheduled = False
        self._closed = False
        self.side = SideMessages(self.clients, self._write, self.stats, scheduler, monotonic)
        self.info, self.alerts = self.side.info, self.side.alerts

    # Clients

    def join(
        self,
        transport: Transport,
        *,
        session: str | None = None,
        cursor: Cursor | None = None,
        legacy_state: bool = False,
        alerts: bool = True,
    ) -> Client:
        """Add a client and send it the state since ``cursor``.

        Args:
            session: the session whose client limit applies; None: no session.
            cursor: the position to resume from; None: send the full state.
            legacy_state: send states as presence_update messages, the only form that the oldest
                clients understand.
            alerts: send it alerts, too.

        Raises:
            JoinRefused: a limit is reached, or the server is shutting down.
        """
        limits = self.limits
        if self._closed:
            raise JoinRefused("server shutting down", CloseCode.GOING_AWAY)
        if len(self.clients) + self.n_elsewhere() >= limits.max_clients:
            raise JoinRefused(f"client limit ({limits.max_clients}) reached", CloseCode.POLICY)
        if session is not None and self.sessions[session] >= limits.max_clients_per_session:
            raise JoinRefused(
                f"session client limit ({limits.max_clients_per_session}) reached",
                CloseCode.POLICY,
            )
        client = Client(transport, session, cursor, legacy_state, alerts)
        self.clients[client] = None
        if session is not None:
            self.sessions[session] += 1
        try:
            self._join_group(client, MATCH_ALL)
        except BaseException:
            self.leave(client)
            raise
        return client

    def leave(self, client: Client) -> None:
        """Remove a client. Idempotent."""
        if client not in self.clients:
            return
        del self.clients[client]
        self._slow.pop(client, None)
        self._awaiting_state.pop(client, None)
        self.groups.leave(client)
        if client.session is not None:
            self.sessions[client.session] -= 1
            if not self.sessions[client.session]:
                del self.sessions[client.session]

    def subscribe(self, client: Client, filter_: Filter) -> None:
        """Replace a client's filter and send it the full state inside the new one."""
        if client not in self.clients:
            return
        self.groups.leave(client)
        client.cursor, client.legacy_state = None, False
        self._join_group(client, filter_)

    def _join_group(self, client: Client, filter_: Filter) -> None:
        group = self.groups.join(client, filter_)
        if client in self._slow or client in self._awaiting_state:
            return
        if self._pending(client) > self.limits.max_queue_bytes:
            # It subscribes repeatedly without reading: send one state once it has drained.
            self._mark_slow(client)
        elif group.frames:
            # A state sent now would be newer than the queued frames: send it after them.
            self._awaiting_state[client] = None
        else:
            self._send_state(client)

    def _write(self, client: Client, data: bytes) -> None:
        try:
            client.unsent = client.transport.write(data)
        except Exception as error:  # noqa: BLE001 - see Transport
            self._fail(client, error)

    def _pending(self, client: Client) -> int:
        try:
            return client.transport.pending()
        except Exception as error:  # noqa: BLE001 - see Transport
            self._fail(client, error)
            return 0

    def _fail(self, client: Client, error: Exception) -> None:
        """Remove a client whose connection failed, so that the others do not notice."""
        logger.debug("a dashboard's connection failed: %r", error)
        self._remove(client, client.transport.abort)

    def _remove(self, client: Client, end: Callable[[], object]) -> None:
        """Remove a client and end its connection, whatever state that is in."""
        self.leave(client)
        try:
            end()
        except Exception as error:  # noqa: BLE001 - see Transport
            logger.debug("a dashboard's connection could not be ended: %r", error)

    # Changes

    def publish(self, batch: ChangeBatch) -> None:
        """Queue the changes of one transaction and send them, now or at the end of the tick."""
        for change in batch.changes:
            self._queue(change)
        if batch.changes:
            self.published.advance(batch.changes[-1].seq)
        self._received.append((batch.received, len(batch.changes)))
        self.stats.count_updates(len(batch.changes))
        now = self._monotonic()
        if now >= self._next_flush:
            self.flush()
        elif not self._flush_scheduled:
            self._flush_scheduled = True
            self._scheduler.call_later(self._next_flush - now, self.flush)

    def restart(self, published: PublishedState) -> None:
        """Continue with the state of another history: every client gets all of it."""
        self.published = published
        for group in self.groups:
            group.frames = []
            self._awaiting_state.update(group.clients)
            group.clients.clear()
        self.flush()

    def _queue(self, change: Change) -> None:
        if change.at is not self._formatted_time[0]:
            # All changes of a transaction share one timestamp: format it once.
            self._formatted_time = (change.at, to_rfc3339(change.at))
        timestamp = self._formatted_time[1]
        before = self.published.agents.get(change.agent_id)
        presence = change.presence
        if presence is None:
            self.published.remove(change.agent_id, change.seq)
            update = None
        else:
            entry = self.published.put(presence)
            update = encode_frame(
                presence_update(entry.presence_json, entry.id_json, change.seq, timestamp)
            )
        removed: bytes | None = None
        broadcast = broadcast_event(change)
        for group in self.groups.concerned(before.presence if before else None, presence):
            filter_ = group.filter
            inside = presence is not None and filter_.matches(presence)
            if update is not None and inside:
                if filter_.matches_type("presence_update"):
                    group.frames.append(update)
            elif before is not None and filter_.matches(before.presence):
                # Removed, or outside of the filter now: the client must drop it.
                removed = removed or encode_frame(
                    presence_removed(change.agent_id, change.seq, change.at)
                )
                group.frames.append(removed)
            if broadcast is None or (filter_.narrows_agents and not inside):
                continue
            if filter_.matches_type(change.event.event_type):
                group.frames.append(encode_frame(broadcast))

    def flush(self) -> None:
        """Send the frames of the tick, then the states that had to wait for them."""
        self._flush_scheduled = False
        start = self._monotonic()
        cursor = self.published.cursor
        for group in self.groups:
            if group.frames:
                self._send_group(group, cursor)
        if self._awaiting_state:
            waiting, self._awaiting_state = self._awaiting_state, {}
            for client in waiting:
                self._send_state(client)
        end = self._monotonic()
        self.stats.count_flush(self._received, end)
        self._received = []
        # A flush that takes longer than half a tick extends the tick, so that sending does not
        # starve ingestion.
        self._next_flush = start + max(self.limits.tick_s, 2 * (end - start))

    def _send_group(self, group: FilterGroup, cursor: Cursor) -> None:
        data = b"".join(group.frames)
        n_frames = len(group.frames)
        group.frames = []
        size = len(data)
        limit = self.limits.max_queue_bytes
        slow: list[Client] = []
        # Iterate over a copy: a failing transport may remove its client at once.
        for client in list(group.clients):
            try:
                if client.unsent and client.transport.pending() + size > limit:
                    slow.append(client)
                    continue
                client.unsent = client.transport.write(data)
                client.cursor = cursor
            except Exception as error:  # noqa: BLE001 - see Transport
                self._fail(client, error)
        for client in slow:
            self._mark_slow(client)
        self.stats.count_frames(n_frames * len(group.clients), size * len(group.clients))

    def _state_frames(self, messages: list[str]) -> bytes:
        # Clients that connect together get the same list object: encode it once.
        if self._last_state[0] is not messages:
            self._last_state = (messages, b"".join(map(encode_frame, messages)))
        return self._last_state[1]

    # States

    def _send_state(self, client: Client) -> None:
        if client.group is None:
            return
        published = self.published
        build = published.update_messages if client.legacy_state else published.state_messages
        messages = build(client.cursor, client.group.filter, self._now())
        client.cursor = published.cursor
        self._slow.pop(client, None)
        client.slow_since = None
        client.group.clients[client] = None
        data = self._state_frames(messages)
        self._write(client, data)
        self.stats.count_frames(len(messages), len(data))
        self.side.greet(client)

    # Slow clients

    def _mark_slow(self, client: Client) -> None:
        pending = self._pending(client)
        if client.group is None:
            # It left, or its connection failed just now.
            return
        client.group.clients.pop(client, None)
        client.slow_since = self._monotonic()
        client.unsent = pending
        self._slow[client] = None
        self.stats.n_slow_total += 1
        self._schedule_check()

    def _schedule_check(self) -> None:
        if not self._check_scheduled:
            self._check_scheduled = True
            self._scheduler.call_later(self.limits.drain_check_s, self.check_slow_clients)

    def check_slow_clients(self) -> None:
        """Send drained clients their state, and drop those that stopped reading."""
        self._check_scheduled = False
        now = self._monotonic()
        for client in list(self._slow):
            pending = self._pending(client)
            if client.group is None:
                # Its connection failed, or another client's end was its end, too.
                self._slow.pop(client, None)
            elif not pending:
                self._resume_drained(client)
            else:
                self._check_progress(client, pending, now)
        if self._slow:
            self._schedule_check()

    def _check_progress(self, client: Client, pending: int, now: float) -> None:
        if pending < client.unsent:
            # Slow, but reading: a large state may need longer than the timeout.
            client.unsent, client.slow_since = pending, now
        since = now if client.slow_since is None else client.slow_since
        if now - since > self.limits.stall_timeout_s:
            logger.info("dropping a client that has not read for %.0f s", now - since)
            self._remove(client, client.transport.abort)

    def _resume_drained(self, client: Client) -> None:
        self._slow.pop(client, None)
        if client.group is not None and client.group.frames:
            self._awaiting_state[client] = None
        else:
            self._send_state(client)

    @property
    def n_slow(self) -> int:
        """Number of clients over the limit of unsent bytes."""
        return len(self._slow)

    def queue_bytes(self) -> int:
        """Return the number of bytes that may be waiting for clients."""
        return sum(self._pending(client) for client in list(self.clients))

    def close(self) -> None:
        """Flush, close every client and refuse new ones."""
        self._closed = True
        self.side.close()
        self.flush()
        for client in list(self.clients):
            close = partial(client.transport.close, CloseCode.GOING_AWAY, "server shutting down")
            self._remove(client, close)
