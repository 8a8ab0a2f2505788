"""Whatever happens to connections and servers, a client converges to the roster's state.

A state machine lets agents report, time pass, servers restart and connections fail, lag or repeat
frames, and compares each client that has read everything with the roster. It is run against a small
model of the protocol and against the server's hub.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from htmlgraph_nb.core import protocol
from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.protocol import Cursor, decode, encode_json, presence_to_wire
from htmlgraph_nb.core.roster import Change, Limits, Roster
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_server.config import HubLimits
from htmlgraph_server.hub import published_state
from htmlgraph_server.hub.hub import Hub
from htmlgraph_server.hub.published_state import PublishedState
from tests.helpers.strategies import T0

PART_AGENTS = 2
"""Agents per part of a state, so that few agents result in several parts."""
KEPT_REMOVALS = 2
"""Removed agents that a server remembers for clients that resume."""
MAX_UNREAD = 3
"""Unread frames of a client beyond which the server sends no more."""


class Link:
    """One connection: its unread frames, and those already read."""

    def __init__(self) -> None:
        self.unread: deque[str] = deque()
        self.read: list[str] = []
        self.is_slow = False
        """Too many frames were unread, and the server has not sent the missing state yet."""


@dataclass
class Stored:
    """The content of a store, which outlives the server."""

    epoch: str
    roster: Roster
    seq: int = 0
    forgotten_seq: int = 0

    @property
    def cursor(self) -> Cursor:
        """The store's position."""
        return Cursor(self.epoch, self.seq)

    @property
    def presences(self) -> dict[str, AgentPresence]:
        """The agents that every client must converge to."""
        return {name: state.presence for name, state in self.roster.agents.items()}

    def copy(self) -> Stored:
        """Return the store as it would be found after a crash at this time."""
        roster = Roster(self.roster.limits)
        roster.agents = dict(self.roster.agents)
        return Stored(self.epoch, roster, self.seq, self.forgotten_seq)


class Server(Protocol):
    """A server as the state machine uses it."""

    def attach(self, link: Link, since: Cursor | None) -> None:
        """Accept a connection and send the state since its cursor."""

    def detach(self, link: Link) -> None:
        """Remove a lost connection."""

    def publish(self, changes: Sequence[Change]) -> None:
        """Send changes, ordered by seq."""

    def run(self) -> None:
        """Do timed work, such as sending state to slow clients that have read everything."""


class PlainServer:
    """The simplest implementation of the protocol: frame by frame, client by client."""

    def __init__(self, stored: Stored) -> None:
        self.cursor = stored.cursor
        self.agents = stored.presences
        self.removed: dict[str, int] = {}
        self.removed_before = stored.forgotten_seq
        self.sent: dict[Link, Cursor] = {}

    def attach(self, link: Link, since: Cursor | None) -> None:
        """Accept a connection and send the state since its cursor."""
        self._send_state(link, since)

    def detach(self, link: Link) -> None:
        """Remove a lost connection."""
        del self.sent[link]

    def publish(self, changes: Sequence[Change]) -> None:
        """Send changes, ordered by seq."""
        for change in changes:
            text = self._apply(change)
            for link in self.sent:
                link.is_slow = link.is_slow or len(link.unread) >= MAX_UNREAD
                if not link.is_slow:
                    link.unread.append(text)
                    self.sent[link] = self.cursor

    def run(self) -> None:
        """Send the missing state to slow clients that have read everything."""
        for link, since in list(self.sent.items()):
            if link.is_slow and not link.unread:
                link.is_slow = False
                self._send_state(link, since)

    def _apply(self, change: Change) -> str:
        self.cursor = Cursor(self.cursor.epoch, change.seq)
        name, presence = change.agent_id, change.presence
        self.removed.pop(name, None)
        if presence is not None:
            self.agents[name] = presence
            text, at = encode_json(presence_to_wire(presence)), to_rfc3339(change.at)
            return protocol.presence_update(text, encode_json(name), change.seq, at)
        self.agents.pop(name, None)
        self.removed[name] = change.seq
        if len(self.removed) > KEPT_REMOVALS:
            self.removed_before = self.removed.pop(min(self.removed, key=self.removed.__getitem__))
        return protocol.presence_removed(name, change.seq, change.at)

    def _send_state(self, link: Link, since: Cursor | None) -> None:
        full = (
            since is None
            or since.epoch != self.cursor.epoch
            or not self.removed_before <= since.seq <= self.cursor.seq
        )
        after = -1 if since is None or full else since.seq
        rows = [encode_json(presence_to_wire(p)) for p in self.agents.values() if p.seq > after]
        removed = [] if full else [name for name, seq in self.removed.items() if seq > after]
        link.unread.extend(protocol.presence_state(self.cursor, rows, removed, full=full, at=T0))
        self.sent[link] = self.cursor


class HubServer:
    """The server's published state and hub, on a clock that the test moves."""

    def __init__(self, stored: Stored) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], Any]]] = []
        limits = HubLimits(max_queue_bytes=2000, tick_s=1.0, drain_check_s=1.0, stall_timeout_s=1e9)
        self.hub = Hub(
            PublishedState(stored.cursor, stored.presences.values(), stored.forgotten_seq),
            limits,
            self,
            monotonic=lambda: self.now,
            now=lambda: T0,
        )
        self.clients: dict[Link, Any] = {}

    def attach(self, link: Link, since: Cursor | None) -> None:
        """Accept a connection and send the state since its cursor."""
        self.clients[link] = self.hub.join(Wire(link), cursor=since)
        self._mark_slow()

    def detach(self, link: Link) -> None:
        """Remove a lost connection."""
        self.hub.leave(self.clients.pop(link))

    def publish(self, changes: Sequence[Change]) -> None:
        """Send changes, ordered by seq."""
        self.hub.publish(ChangeBatch(changes, self.now))
        self._mark_slow()

    def run(self) -> None:
        """Advance the clock by a second and make the calls that are due."""
        self.now += 1.0
        calls, self.calls = self.calls, []
        for due, callback in calls:
            if due <= self.now:
                callback()
            else:
                self.calls.append((due, callback))
        self._mark_slow()

    def call_later(self, delay: float, callback: Callable[[], Any]) -> None:
        """Call back in the ``run`` at which the delay has passed."""
        self.calls.append((self.now + delay, callback))

    def _mark_slow(self) -> None:
        # A client is up to date unless the hub still has to send it something.
        for link, client in self.clients.items():
            link.is_slow = bool(self.calls) or client.slow_since is not None


@dataclass(eq=False)
class Wire:
    """A transport of the hub whose far end reads when the state machine says so."""

    link: Link

    def write(self, data: bytes) -> int:
        """Queue frames without blocking."""
        self.link.unread.extend(texts_of(data))
        return self.pending()

    def pending(self) -> int:
        """Return how many bytes are unread."""
        return sum(map(len, self.link.unread))

    def close(self, code: int, reason: str) -> None:
        """Fail: no rule lets the hub close a client."""
        raise AssertionError((code, reason))

    def abort(self) -> None:
        """Fail: no rule lets the hub abort a client."""
        raise AssertionError


def texts_of(data: bytes) -> list[str]:
    """Return the payloads of unmasked text frames (RFC 6455 section 5.2)."""
    texts = []
    while data:
        assert data[0] == 0x81
        size, head = data[1], 2
        if size > 125:
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[2:head], "big")
        texts.append(data[head : head + size].decode())
        data = data[head + size :]
    return texts


@dataclass
class Client:
    """A dashboard: its copy, and its connection, if any."""

    mirror: Mirror = field(default_factory=Mirror)
    link: Link | None = None


Report = tuple[str, str]
ALL = 10_000
clients = st.integers(0, 2)
batches = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f"]),
        st.sampled_from(["prompt", "tool_start", "stop", "forget", "forget"]),
    ),
    min_size=1,
    max_size=8,
)


class Convergence(RuleBasedStateMachine):
    """Agents, a store, a server and three clients."""

    make_server: Callable[[Stored], Server]

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.n_stores = 0
        self.stored = self.new_store()
        self.server = self.make_server(self.stored)
        self.clients = [Client() for _ in range(3)]

    def new_store(self) -> Stored:
        """Return an empty store with a new epoch."""
        self.n_stores += 1
        limits = Limits(idle_timeout_s=60, offline_timeout_s=120, forget_after_s=600)
        return Stored(f"epoch{self.n_stores}", Roster(limits))

    def commit(self, events: Sequence[Event]) -> None:
        """Number, apply and publish events as one transaction."""
        changes = []
        for event in events:
            self.stored.seq += 1
            changes.append(self.stored.roster.apply(event, self.stored.seq, self.now))
            if event.event_type == "forget":
                self.stored.forgotten_seq = self.stored.seq
        self.stored.roster.commit()
        self.server.publish(changes)

    def lose(self, client: Client) -> None:
        """Drop a connection; its unread frames are lost."""
        if client.link is not None:
            self.server.detach(client.link)
            client.link = None

    def connect(self, client: Client, memory: str) -> None:
        """Connect a client with its cursor, with only its old copy, or as a new client."""
        self.lose(client)
        if memory == "nothing":
            client.mirror = Mirror()
        client.link = Link()
        self.server.attach(client.link, client.mirror.cursor if memory == "cursor" else None)

    def take(self, client: Client, n_frames: int) -> None:
        """Let a client read up to ``n_frames`` frames."""
        while client.link is not None and client.link.unread and n_frames > 0:
            text = client.link.unread.popleft()
            client.link.read.append(text)
            client.mirror.apply(decode(text))
            n_frames -= 1

    def start_server(self, n_frames: int) -> None:
        """Start a server on the current store; all clients reconnect and read some frames."""
        self.server = self.make_server(self.stored)
        for client in self.clients:
            client.link = None
            self.connect(client, "cursor")
            self.take(client, n_frames)

    @initialize(batch=batches)
    def connect_all(self, batch: list[Report]) -> None:
        """Agents have reported when the clients connect."""
        self.report(batch, 0)
        for client in self.clients:
            self.connect(client, "cursor")

    @rule(batch=batches, late_s=st.integers(0, 50))
    def report(self, batch: list[Report], late_s: int) -> None:
        """Agents report, perhaps late, or are removed."""
        at = self.now - timedelta(seconds=late_s)
        self.commit([Event(agent_id=name, event_type=kind, timestamp=at) for name, kind in batch])

    @rule(seconds=st.sampled_from([1, 60, 600]))
    def time_passes(self, seconds: int) -> None:
        """Timers make agents idle, offline or removed, and the server does its timed work."""
        self.now += timedelta(seconds=seconds)
        due = self.stored.roster.expired_timers(self.now)
        if due:
            self.commit(due)
        self.server.run()

    @rule(which=clients, n_frames=st.sampled_from([1, 2, ALL]))
    def read(self, which: int, n_frames: int) -> None:
        """A client reads some frames."""
        self.take(self.clients[which], n_frames)

    @rule(n_frames=st.sampled_from([1, 2, ALL]))
    def all_read(self, n_frames: int) -> None:
        """All clients read some frames, and the server sends more."""
        for client in self.clients:
            self.take(client, n_frames)
        self.server.run()

    @rule(which=clients)
    def read_again(self, which: int) -> None:
        """A client applies all earlier frames of its connection again, except full states."""
        client = self.clients[which]
        if client.link is not None:
            for message in map(decode, client.link.read):
                assert message.get("full") or client.mirror.apply(message) == set()

    @rule(which=clients, memory=st.sampled_from(["cursor", "cursor", "copy", "nothing"]))
    def reconnect(self, which: int, memory: str) -> None:
        """A connection is lost between two frames; the client reconnects at once."""
        self.connect(self.clients[which], memory)

    @rule(which=clients, batch=batches, n_frames=st.sampled_from([0, 1, 2, ALL]))
    def miss(self, which: int, batch: list[Report], n_frames: int) -> None:
        """A client misses changes, reconnects with its cursor and reads some frames."""
        client = self.clients[which]
        self.lose(client)
        self.report(batch, 0)
        self.connect(client, "cursor")
        self.take(client, n_frames)

    @rule(batch=batches, n_frames=st.sampled_from([0, 1, 2, ALL]))
    def restart(self, batch: list[Report], n_frames: int) -> None:
        """Another server process continues with the same store."""
        self.start_server(n_frames)
        self.report(batch, 0)

    @rule(batch=batches, n_frames=st.sampled_from([0, 1, 2, ALL]))
    def replace_store(self, batch: list[Report], n_frames: int) -> None:
        """The database is deleted and created again."""
        self.stored = self.new_store()
        self.server = self.make_server(self.stored)
        for client in self.clients:
            client.link = None
        self.report(batch, 0)
        self.start_server(n_frames)

    @rule(batch=batches, n_frames=st.sampled_from([1, ALL]))
    def lose_commits(self, batch: list[Report], n_frames: int) -> None:
        """A crash loses commits that clients have seen; they find an older store.

        They reconnect before its seq exceeds their cursors. After that, reused numbers could not
        be detected.
        """
        older = self.stored.copy()
        self.report(batch, 0)
        for client in self.clients:
            self.take(client, n_frames)
        self.stored = older
        self.start_server(ALL)

    @invariant()
    def clients_that_read_everything_agree(self) -> None:
        """A client that is not slow and has read all its frames has the roster's state."""
        for client in self.clients:
            if client.link is not None and not client.link.unread and not client.link.is_slow:
                self.assert_equal(client)

    def assert_equal(self, client: Client) -> None:
        """Compare a client's copy with the roster."""
        assert client.mirror.agents == self.stored.presences
        assert client.mirror.epoch == self.stored.epoch
        # A server need not send a change that is not visible.
        assert client.mirror.seq <= self.stored.seq

    def teardown(self) -> None:
        """Finally every client reads everything and agrees."""
        for _ in range(4):
            for client in self.clients:
                self.take(client, ALL)
            self.server.run()
        for client in self.clients:
            assert client.link is None or not client.link.is_slow
        self.clients_that_read_everything_agree()


class PlainConvergence(Convergence):
    """The mirror with the model of the protocol."""

    make_server = PlainServer


class HubConvergence(Convergence):
    """The mirror with the server's published state and hub."""

    make_server = HubServer


@pytest.mark.parametrize("machine", [PlainConvergence, HubConvergence])
def test_clients_converge(machine: type[Convergence], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client that has read all frames has the state of the roster."""
    monkeypatch.setattr(protocol, "STATE_PART_AGENTS", PART_AGENTS)
    monkeypatch.setattr(published_state, "MAX_TOMBSTONES", KEPT_REMOVALS)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None)
    )


def test_frames_of_any_length_are_parsed() -> None:
    """The parser of frames in this file reads the frames of the hub."""
    from htmlgraph_server.hub.hub import encode_frame

    texts = [json.dumps("ü" * size) for size in (0, 60, 61, 62, 200, 32_765, 40_000)]
    assert texts_of(b"".join(map(encode_frame, texts))) == texts
