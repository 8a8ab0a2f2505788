"""A client's mirror converges to the roster, whatever happens to connections and servers.

A state machine lets agents report, time pass, servers restart, stores be lost and connections fail,
be slow or repeat messages. It compares each client that has read everything with the roster.
"""

from __future__ import annotations

from copy import copy
from datetime import timedelta

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
from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_server.hub import published_state
from htmlgraph_server.hub.clients import Client
from tests.helpers.hub_harness import FakeDashboard, HubHarness

PART_AGENTS = 2
"""Agents per part of a state, so that few agents make several parts."""
TOMBSTONES = 2
"""Removed agents that a server keeps for resuming clients."""
ROSTER_LIMITS = Limits(idle_timeout_s=60, offline_timeout_s=120, forget_after_s=600)
ALL = 1_000_000

client_indexes = st.integers(0, 2)
batches = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f"]),
        st.sampled_from(["prompt", "tool_start", "stop", "forget", "forget"]),
    ),
    min_size=1,
    max_size=8,
)
byte_counts = st.sampled_from([0, 300, 900, ALL])

_Report = tuple[str, str]


class ReconnectingClient:
    """A mirror, and its connection to the current hub while it has one."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.dashboard: FakeDashboard | None = None
        self.hub_client: Client | None = None

    def disconnect(self, harness: HubHarness) -> None:
        """Cut the connection: unread bytes are lost."""
        if self.hub_client is not None:
            harness.hub.leave(self.hub_client)
        self.dashboard = self.hub_client = None

    def connect(self, harness: HubHarness, memory: str = "cursor") -> None:
        """Reconnect.

        Args:
            memory: "cursor": resume; "copy": keep only the mirror; "nothing": a new client.
        """
        self.disconnect(harness)
        if memory == "nothing":
            self.mirror = Mirror()
        cursor = self.mirror.cursor if memory == "cursor" else None
        self.dashboard = FakeDashboard(reading=False, mirror=self.mirror)
        self.hub_client = harness.hub.join(self.dashboard, cursor=cursor)

    def read(self, n_bytes: int) -> None:
        """Read up to ``n_bytes`` bytes."""
        if self.dashboard is not None:
            self.dashboard.read(n_bytes)

    def is_up_to_date(self, harness: HubHarness) -> bool:
        """Return whether the client has read everything and the hub will not send more."""
        return (
            self.dashboard is not None
            and self.hub_client is not None
            and not self.dashboard.unsent
            and self.hub_client.slow_since is None
            and not harness.loop.n_calls
        )


class ConvergenceMachine(RuleBasedStateMachine):
    """Agents, a store, a server and three clients, and the failures that they survive."""

    def __init__(self) -> None:
        super().__init__()
        self.n_stores = 0
        self.harness = self.new_store()
        self.clients = [ReconnectingClient() for _ in range(3)]

    def new_store(self) -> HubHarness:
        """Return a hub on an empty store with a new epoch."""
        self.n_stores += 1
        return HubHarness(
            epoch=f"epoch{self.n_stores}",
            roster_limits=ROSTER_LIMITS,
            max_queue_bytes=2_000,
            tick_s=1.0,
            drain_check_s=1.0,
            stall_timeout_s=1e9,
        )

    def restart_server(self, n_bytes: int) -> None:
        """Start a hub on the store; all clients resume and read some bytes."""
        self.harness.restart_server()
        for client in self.clients:
            client.hub_client = None
            client.connect(self.harness)
            client.read(n_bytes)

    @initialize(batch=batches)
    def start(self, batch: list[_Report]) -> None:
        """Agents are active when the clients connect."""
        self.report(batch, 0)
        for client in self.clients:
            client.connect(self.harness)

    @rule(batch=batches, late_s=st.integers(0, 50))
    def report(self, batch: list[_Report], late_s: int) -> None:
        """Agents report, perhaps late, or are forgotten."""
        at = self.harness.now - timedelta(seconds=late_s)
        self.harness.publish(
            *(Event(agent_id=name, event_type=kind, timestamp=at) for name, kind in batch)
        )

    @rule(seconds=st.sampled_from([1, 60, 600]))
    def time_passes(self, seconds: int) -> None:
        """Agents become idle, offline or forgotten by timers, and the hub's timers run."""
        self.harness.loop.advance(seconds)
        due = self.harness.roster.timers_due(self.harness.now)
        if due:
            self.harness.publish(*due)
        self.harness.loop.advance(1)

    @rule(index=client_indexes, n_bytes=byte_counts)
    def read(self, index: int, n_bytes: int) -> None:
        """A client reads some of its bytes, perhaps half a frame."""
        self.clients[index].read(n_bytes)

    @rule(n_bytes=byte_counts)
    def all_read(self, n_bytes: int) -> None:
        """All clients read some of their bytes, and the hub sends more."""
        for client in self.clients:
            client.read(n_bytes)
        self.harness.loop.advance(1)

    @rule(index=client_indexes)
    def read_again(self, index: int) -> None:
        """A client gets all messages of its connection again, except full states."""
        client = self.clients[index]
        if client.dashboard is not None:
            for message in client.dashboard.messages:
                assert message.get("full") or client.mirror.apply(message) == set()

    @rule(index=client_indexes, memory=st.sampled_from(["cursor", "cursor", "copy", "nothing"]))
    def reconnect(self, index: int, memory: str) -> None:
        """A connection is lost and the client reconnects at once."""
        self.clients[index].connect(self.harness, memory)

    @rule(index=client_indexes, batch=batches, n_bytes=byte_counts)
    def miss_changes(self, index: int, batch: list[_Report], n_bytes: int) -> None:
        """A client resumes after it has missed changes, and reads some bytes."""
        client = self.clients[index]
        client.disconnect(self.harness)
        self.report(batch, 0)
        client.connect(self.harness)
        client.read(n_bytes)

    @rule(batch=batches, n_bytes=byte_counts)
    def restart(self, batch: list[_Report], n_bytes: int) -> None:
        """A new server process continues with the same store."""
        self.restart_server(n_bytes)
        self.report(batch, 0)

    @rule(batch=batches, n_bytes=byte_counts)
    def replace_store(self, batch: list[_Report], n_bytes: int) -> None:
        """The database is deleted and created again."""
        self.harness = self.new_store()
        self.report(batch, 0)
        self.restart_server(n_bytes)

    @rule(batch=batches, n_bytes=st.sampled_from([300, ALL]))
    def lose_commits(self, batch: list[_Report], n_bytes: int) -> None:
        """A crash loses commits that clients have seen; the clients find an older store.

        They reconnect before the store has passed their cursors: later, nothing could detect that
        the same numbers were used twice.
        """
        harness = self.harness
        seq, forgotten_seq, agents = harness.seq, harness.forgotten_seq, copy(harness.roster.agents)
        self.report(batch, 0)
        for client in self.clients:
            client.read(n_bytes)
        harness.seq, harness.forgotten_seq = seq, forgotten_seq
        harness.roster = Roster(ROSTER_LIMITS)
        harness.roster.agents = agents
        self.restart_server(ALL)

    @invariant()
    def up_to_date_clients_agree(self) -> None:
        """A client that has read everything has the roster's state."""
        for client in self.clients:
            if client.is_up_to_date(self.harness):
                assert client.mirror.agents == self.harness.presences
                assert client.mirror.epoch == self.harness.epoch
                # A change that is invisible to the client is not sent.
                assert client.mirror.seq <= self.harness.seq

    def teardown(self) -> None:
        """In the end every client reads everything and agrees."""
        for _ in range(4):
            for client in self.clients:
                client.read(ALL)
            self.harness.loop.advance(1)
        for client in self.clients:
            assert client.dashboard is None or client.is_up_to_date(self.harness)
        self.up_to_date_clients_agree()


@pytest.mark.state_machine
def test_mirror_converges_to_the_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client that has read everything has the roster's state."""
    monkeypatch.setattr(protocol, "STATE_PART_AGENTS", PART_AGENTS)
    monkeypatch.setattr(published_state, "MAX_TOMBSTONES", TOMBSTONES)
    run_state_machine_as_test(
        ConvergenceMachine,
        settings=settings(max_examples=120, stateful_step_count=40, deadline=None),
    )


@pytest.mark.parametrize("size", [0, 120, 122, 124, 400, 65_530, 80_000])
def test_fake_dashboard_reads_frames_of_any_length(size: int) -> None:
    """The frame reader of the harness decodes what the hub encodes."""
    harness = HubHarness(tick_s=1.0)
    dashboard, _ = harness.join()
    text = "ü" * (size // 2)
    harness.report("a", event_type="feature_updated", extra={"resource_id": "f", "payload": text})
    assert dashboard.messages[-1]["payload"] == text
