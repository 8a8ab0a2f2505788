"""The fan-out: every change to every dashboard, in joined frames, without ever waiting for one.

Each change is encoded once. While nothing was sent for a tick it goes out at once; under load the
frames of a tick are joined into one bytes object per filter, and each client gets that object in
one write. A client whose unsent bytes pass the bound gets nothing more until it has drained, and
then the state since its last seq: memory is bounded, and no client delays another.

It knows no web framework: a transport takes bytes, a scheduler calls back.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.protocol import (
    MATCH_ALL,
    CloseCode,
    Cursor,
    Filter,
    presence_removed,
    presence_update,
)
from htmlgraph_nb.core.roster import Change
from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now

from ..config import HubLimits
from .broadcast_messages import broadcast_event
from .clients import Client, FilterGroup, Refused, Transport
from .published_state import PublishedState
from .stats import HubStats

logger = logging.getLogger("htmlgraph.hub")


class Scheduler(Protocol):
    """What the hub needs of an event loop (asyncio's loops have it)."""

    def call_later(self, delay: float, callback: Callable[[], Any]) -> Any:
        """Call back after ``delay`` seconds."""


def frame(text: str) -> bytes:
    """Return an unmasked, final text frame (RFC 6455 section 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Hub:
    """All dashboards of one server.

    Args:
        board: the published state at the start.
        limits: bounds and tick.
        scheduler: the event loop; every method is called on it.
        monotonic: returns seconds that never go back.
        now: returns the present time, UTC.
    """

    def __init__(
        self,
        board: PublishedState,
        limits: HubLimits,
        scheduler: Scheduler,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.board = board
        self.limits = limits
        self.meter = HubStats()
        self.clients: dict[Client, None] = {}
        self.sessions: Counter[str] = Counter()
        self._groups: dict[Filter, FilterGroup] = {MATCH_ALL: FilterGroup(MATCH_ALL)}
        # Clients that wait for a state: new ones behind frames of this tick, and laggards.
        self._joining: list[Client] = []
        self._lagging: dict[Client, None] = {}
        self._scheduler = scheduler
        self._monotonic = monotonic
        self._now = now
        self._at: tuple[datetime | None, str] = (None, "")
        self._last_state: tuple[list[str], bytes] = ([], b"")
        self._received: list[tuple[float, int]] = []
        self._next_flush = 0.0
        self._flush_scheduled = False
        self._check_scheduled = False
        self._closed = False

    # Clients

    def join(
        self,
        transport: Transport,
        *,
        session: str | None = None,
        cursor: Cursor | None = None,
        replay: bool = False,
    ) -> Client:
        """Connect a dashboard and give it the state since ``cursor``.

        Args:
            session: the session whose limit it counts for; None: one of its own.
            cursor: where it resumes; None: from nothing.
            replay: give each state as presence_update messages, which is all that the oldest
                dashboards know.

        Raises:
            Refused: a limit is reached, or the server stops.
        """
        limits = self.limits
        if self._closed:
            raise Refused(CloseCode.GOING_AWAY, "the server stops")
        if len(self.clients) >= limits.max_clients:
            raise Refused(
                CloseCode.POLICY, f"this server takes at most {limits.max_clients} clients"
            )
        if session is not None and self.sessions[session] >= limits.max_clients_per_session:
            raise Refused(
                CloseCode.POLICY,
                f"this session has {limits.max_clients_per_session} clients, the most allowed",
            )
        client = Client(transport, session, cursor, replay)
        self.clients[client] = None
        if session is not None:
            self.sessions[session] += 1
        self._enter(client, MATCH_ALL)
        return client

    def leave(self, client: Client) -> None:
        """Forget a dashboard; a second call does nothing."""
        if self.clients.pop(client, self) is self:
            return
        self._lagging.pop(client, None)
        if client in self._joining:
            self._joining.remove(client)
        self._exit_group(client)
        if client.session is not None:
            self.sessions[client.session] -= 1
            if not self.sessions[client.session]:
                del self.sessions[client.session]

    def subscribe(self, client: Client, wish: Filter) -> None:
        """Give a dashboard another filter, and the full state inside it."""
        if client not in self.clients:
            return
        self._exit_group(client)
        client.cursor, client.replay = None, False
        self._enter(client, wish)

    def _enter(self, client: Client, wish: Filter) -> None:
        group = self._groups.get(wish)
        if group is None:
            group = self._groups[wish] = FilterGroup(wish)
        client.group = group
        if client in self._lagging or client in self._joining:
            return
        if client.transport.pending() > self.limits.max_queue_bytes:
            # It asks again and again, and does not read: it gets one state when it has.
            self._lag(client)
        elif group.frames:
            # Its state would run ahead of frames that are still to go out: serve it after them.
            self._joining.append(client)
        else:
            self._serve_state(client)

    def _exit_group(self, client: Client) -> None:
        group, client.group = client.group, None
        if group is None:
            return
        group.clients.pop(client, None)
        if not group.clients and group.wish != MATCH_ALL:
            still = any(other.group is group for other in (*self._joining, *self._lagging))
            if not still:
                self._groups.pop(group.wish, None)

    # Changes

    def publish(self, publication: ChangeBatch) -> None:
        """Take in the changes of one transaction and send them, now or at the end of the tick."""
        for change in publication.changes:
            self._add(change)
        if publication.changes:
            self.board.advance(publication.changes[-1].seq)
        self._received.append((publication.received, len(publication.changes)))
        self.meter.count_updates(len(publication.changes))
        now = self._monotonic()
        if now >= self._next_flush:
            self.flush()
        elif not self._flush_scheduled:
            self._flush_scheduled = True
            self._scheduler.call_later(self._next_flush - now, self.flush)

    def _add(self, change: Change) -> None:
        if change.at is not self._at[0]:
            # The changes of one transaction have one time.
            self._at = (change.at, to_rfc3339(change.at))
        at = self._at[1]
        before = self.board.entries.get(change.agent_id)
        presence = change.presence
        if presence is None:
            self.board.remove(change.agent_id, change.seq)
            update = None
        else:
            entry = self.board.put(presence)
            update = frame(presence_update(entry.text, entry.name, change.seq, at))
        gone: bytes | None = None
        told = broadcast_event(change)
        for group in self._groups.values():
            wish = group.wish
            inside = presence is not None and wish.wants(presence)
            if update is not None and inside:
                if wish.matches_type("presence_update"):
                    group.frames.append(update)
            elif before is not None and wish.wants(before.presence):
                # Outside of the filter now, or forgotten: the dashboard must not keep it.
                gone = gone or frame(presence_removed(change.agent_id, change.seq, change.at))
                group.frames.append(gone)
            if told is None or (wish.narrows_agents and not inside):
                continue
            if wish.matches_type(change.event.event_type):
                group.frames.append(frame(told))

    def flush(self) -> None:
        """Send what the tick collected, then the states that waited for it."""
        self._flush_scheduled = False
        start = self._monotonic()
        seq = self.board.cursor
        for group in list(self._groups.values()):
            if group.frames:
                self._send_group(group, seq)
        if self._joining:
            joining, self._joining = self._joining, []
            for client in joining:
                self._serve_state(client)
        end = self._monotonic()
        self.meter.count_flush(self._received, end)
        self._received = []
        # A flush that takes longer than half a tick stretches the tick: taking events in must
        # not starve behind sending them.
        self._next_flush = start + max(self.limits.tick_s, 2 * (end - start))

    def _send_group(self, group: FilterGroup, position: Cursor) -> None:
        data = b"".join(group.frames)
        n_frames = len(group.frames)
        group.frames = []
        size = len(data)
        bound = self.limits.max_queue_bytes
        late: list[Client] = []
        # A copy: a transport that fails may take its client out at once.
        for client in list(group.clients):
            if client.unsent and client.transport.pending() + size > bound:
                late.append(client)
                continue
            client.unsent = client.transport.write(data)
            client.cursor = position
        for client in late:
            self._lag(client)
        self.meter.count_frames(n_frames * len(group.clients), size * len(group.clients))

    def _framed(self, texts: list[str]) -> bytes:
        # Dashboards that come at once get the same list from the board: one object serves all.
        if self._last_state[0] is not texts:
            self._last_state = (texts, b"".join(map(frame, texts)))
        return self._last_state[1]

    # States, laggards

    def _serve_state(self, client: Client) -> None:
        if client.group is None:
            return
        now = self._now()
        wish = client.group.wish
        state_of = self.board.updates if client.replay else self.board.state
        texts = state_of(client.cursor, wish, now)
        client.cursor = self.board.cursor
        self._lagging.pop(client, None)
        client.lagging_since = None
        client.group.clients[client] = None
        data = self._framed(texts)
        client.unsent = client.transport.write(data)
        self.meter.count_frames(len(texts), len(data))

    def _lag(self, client: Client) -> None:
        if client.group is not None:
            client.group.clients.pop(client, None)
        client.lagging_since = self._monotonic()
        client.unsent = client.transport.pending()
        self._lagging[client] = None
        self.meter.n_lagged += 1
        if not self._check_scheduled:
            self._check_scheduled = True
            self._scheduler.call_later(self.limits.drain_check_s, self.check)

    def check(self) -> None:
        """Give drained laggards their state, and close those that do not read at all."""
        self._check_scheduled = False
        now = self._monotonic()
        for client in list(self._lagging):
            pending = client.transport.pending()
            if not pending:
                self._serve_drained(client)
                continue
            if pending < client.unsent:
                # Slow, but it reads: a large state may take a thin line longer than the timeout.
                client.unsent, client.lagging_since = pending, now
            since = now if client.lagging_since is None else client.lagging_since
            if now - since > self.limits.stall_timeout_s:
                logger.info("closing a client that did not read for %.0f s", now - since)
                self.leave(client)
                client.transport.abort()
        if self._lagging and not self._check_scheduled:
            self._check_scheduled = True
            self._scheduler.call_later(self.limits.drain_check_s, self.check)

    def _serve_drained(self, client: Client) -> None:
        self._lagging.pop(client, None)
        if client.group is not None and client.group.frames:
            self._joining.append(client)
        else:
            self._serve_state(client)

    @property
    def n_slow(self) -> int:
        """Clients that are over the bound of unsent bytes."""
        return len(self._lagging)

    def queue_bytes(self) -> int:
        """Return how many bytes may wait for dashboards."""
        return sum(client.transport.pending() for client in self.clients)

    def close(self) -> None:
        """Send what is collected, close every dashboard and take no more: the server stops."""
        self._closed = True
        self.flush()
        for client in list(self.clients):
            self.leave(client)
            client.transport.close(CloseCode.GOING_AWAY, "the server stops")
