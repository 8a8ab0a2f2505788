"""State machine of the hub: clients converge to their filter's agents, within bounded memory.

Connections are reset at any call of the hub; the other clients must not notice.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import MATCH_ALL, Filter
from htmlgraph_nb.errors import JoinRefused
from htmlgraph_server.hub.clients import Client
from tests.helpers.hub_harness import FakeDashboard, HubHarness

MAX_QUEUE_BYTES = 1_500
STALL_S = 20.0
AGENTS = ["a", "b", "c", "d"]

filters = st.builds(
    Filter,
    agents=st.sampled_from([frozenset(), frozenset("ab")]),
    statuses=st.sampled_from([frozenset(), frozenset({"active"})]),
)
reports = st.builds(
    Event,
    agent_id=st.sampled_from(AGENTS),
    event_type=st.sampled_from(["prompt", "tool_start", "stop", "session_end", "forget"]),
)


class HubMachine(RuleBasedStateMachine):
    """One hub, reporting agents, and dashboards that connect, subscribe, stall and leave."""

    dashboards = Bundle("dashboards")

    def __init__(self) -> None:
        super().__init__()
        self.harness = HubHarness(
            start=AGENTS[:2],
            tick_s=1.0,
            drain_check_s=0.5,
            max_queue_bytes=MAX_QUEUE_BYTES,
            stall_timeout_s=STALL_S,
            max_clients=6,
        )
        self.clients: dict[FakeDashboard, Client] = {}
        self.filters_of: dict[FakeDashboard, Filter] = {}

    @property
    def state_bytes(self) -> int:
        """An upper bound of the size of one state of this roster."""
        return 1_000 * len(AGENTS)

    @rule(target=dashboards, reading=st.booleans(), legacy_state=st.booleans())
    def join(self, reading: bool, legacy_state: bool) -> FakeDashboard:
        """A dashboard connects, unless the server is full."""
        dashboard = FakeDashboard(reading)
        try:
            self.clients[dashboard] = self.harness.hub.join(dashboard, legacy_state=legacy_state)
        except JoinRefused:
            assert len(self.harness.hub.clients) == 6
        return dashboard

    @rule(target=dashboards, old=consumes(dashboards), n_bytes=st.integers(0, 3_000))
    def reconnect(self, old: FakeDashboard, n_bytes: int) -> FakeDashboard:
        """A dashboard loses its connection in the middle of a frame and resumes.

        It subscribes again, because the server does not keep filters across connections.
        """
        old.read(n_bytes)
        filter_ = self.filters_of.get(old, MATCH_ALL)
        self.leave(old)
        new = FakeDashboard()
        new.mirror = old.mirror
        try:
            self.clients[new] = self.harness.hub.join(new, cursor=old.mirror.cursor)
        except JoinRefused:
            assert len(self.harness.hub.clients) == 6
        if filter_ != MATCH_ALL:
            self.subscribe(new, filter_)
        return new

    @rule(dashboard=consumes(dashboards))
    def leave(self, dashboard: FakeDashboard) -> None:
        """A dashboard leaves; it may have been dropped before."""
        client = self.clients.pop(dashboard, None)
        if client is not None:
            self.harness.hub.leave(client)

    @rule(dashboard=dashboards, filter_=filters)
    def subscribe(self, dashboard: FakeDashboard, filter_: Filter) -> None:
        """A dashboard changes its filter."""
        if dashboard in self.clients:
            self.filters_of[dashboard] = filter_
            self.harness.hub.subscribe(self.clients[dashboard], filter_)

    @rule(dashboard=dashboards, n_calls=st.integers(0, 6), in_part=st.booleans())
    def reset_later(self, dashboard: FakeDashboard, n_calls: int, in_part: bool) -> None:
        """A connection is reset; the hub finds out in one of its next calls."""
        if dashboard in self.clients and dashboard.calls_until_reset is None:
            dashboard.calls_until_reset, dashboard.in_part = n_calls, in_part

    @rule(
        reading=st.booleans(),
        session=st.sampled_from([None, "s"]),
        n_calls=st.integers(0, 3),
        in_part=st.booleans(),
    )
    def join_and_reset(
        self, reading: bool, session: str | None, n_calls: int, in_part: bool
    ) -> None:
        """A dashboard connects, and is reset before or soon after its first state."""
        dashboard = FakeDashboard(reading)
        dashboard.calls_until_reset, dashboard.in_part = n_calls, in_part
        try:
            self.clients[dashboard] = self.harness.hub.join(dashboard, session=session)
        except JoinRefused:
            assert len(self.harness.hub.clients) == 6

    @rule(dashboard=dashboards)
    def stop_reading(self, dashboard: FakeDashboard) -> None:
        """A dashboard stops reading."""
        dashboard.reading = False

    @rule(dashboard=dashboards, n_bytes=st.integers(1, 4_000))
    def read_some(self, dashboard: FakeDashboard, n_bytes: int) -> None:
        """A dashboard reads some bytes, perhaps half a frame."""
        dashboard.read(n_bytes)

    @rule(dashboard=dashboards)
    def read_on(self, dashboard: FakeDashboard) -> None:
        """A dashboard reads everything and continues to read."""
        dashboard.reading = True
        dashboard.read()

    @rule(events=st.lists(reports, min_size=1, max_size=5))
    def report(self, events: list[Event]) -> None:
        """Agents report, or are forgotten, in one transaction."""
        self.harness.publish(*events)

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        """The hub's timers run."""
        self.harness.loop.advance(seconds)

    @invariant()
    def memory_is_bounded(self) -> None:
        """No dashboard has more unsent bytes than its limit, or a state and one write."""
        for dashboard in self.clients:
            # A client without unsent bytes gets a whole tick, however long it is.
            longest = max(map(len, dashboard.writes), default=0)
            assert dashboard.peak <= max(MAX_QUEUE_BYTES, longest) + self.state_bytes

    @invariant()
    def dropped_clients_are_removed(self) -> None:
        """A client that the hub aborted, or whose connection failed, is no longer a client."""
        for dashboard, client in self.clients.items():
            assert dashboard.aborted == (client not in self.harness.hub.clients)

    def teardown(self) -> None:
        """All dashboards read on and converge; after all have left, the hub is empty."""
        hub = self.harness.hub
        for dashboard in self.clients:
            self.read_on(dashboard)
        self.harness.loop.advance(3.0)
        self.harness.report("a")
        self.harness.loop.advance(3.0)
        assert not any(dashboard.is_reset and not dashboard.aborted for dashboard in self.clients)
        assert (hub.n_slow, hub.queue_bytes(), self.harness.loop.n_calls) == (0, 0, 0)
        for dashboard, client in list(self.clients.items()):
            if not dashboard.aborted:
                filter_ = self.filters_of.get(dashboard, MATCH_ALL)
                assert dashboard.mirror.agents == self.harness.expected(filter_)
            hub.leave(client)
        assert (hub.clients, hub.sessions) == ({}, {})
        assert hub.groups.filters == [MATCH_ALL]
        assert (hub._awaiting_state, hub._slow) == ({}, {})
        assert all(group.n_members == 0 for group in hub.groups)


@pytest.mark.state_machine
def test_hub_clients_converge() -> None:
    """A state machine drives a real hub with dashboards that parse its real frames."""
    run_state_machine_as_test(
        HubMachine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None)
    )
