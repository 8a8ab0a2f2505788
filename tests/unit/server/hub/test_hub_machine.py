"""Whatever dashboards do, each ends with what its filter wants, and the hub's memory is bounded."""

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

BOUND = 1_500
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
    """One hub, agents that report, and dashboards that come, read, choose, stall and go."""

    dashboards = Bundle("dashboards")

    def __init__(self) -> None:
        super().__init__()
        self.bench = HubHarness(
            start=AGENTS[:2],
            tick_s=1.0,
            drain_check_s=0.5,
            max_queue_bytes=BOUND,
            stall_timeout_s=STALL_S,
            max_clients=6,
        )
        self.clients: dict[FakeDashboard, Client] = {}
        self.value_filters: dict[FakeDashboard, Filter] = {}

    @property
    def state_bytes(self) -> int:
        """An upper bound of the bytes of one state of this roster."""
        return 1_000 * len(AGENTS)

    @rule(target=dashboards, reading=st.booleans(), legacy_state=st.booleans())
    def join(self, reading: bool, replay: bool) -> FakeDashboard:
        """A dashboard connects, unless the server is full."""
        dashboard = FakeDashboard(reading)
        try:
            self.clients[dashboard] = self.bench.hub.join(dashboard, legacy_state=replay)
        except JoinRefused:
            assert len(self.bench.hub.clients) == 6
        return dashboard

    @rule(target=dashboards, old=consumes(dashboards), n_bytes=st.integers(0, 3_000))
    def reconnect(self, old: FakeDashboard, n_bytes: int) -> FakeDashboard:
        """A dashboard loses its connection in the middle of a frame and resumes.

        It says anew what it wants, as the server does not know who comes back.
        """
        old.read(n_bytes)
        wish = self.value_filters.get(old, MATCH_ALL)
        self.leave(old)
        fresh = FakeDashboard()
        fresh.mirror = old.mirror
        try:
            self.clients[fresh] = self.bench.hub.join(fresh, cursor=old.mirror.cursor)
        except JoinRefused:
            assert len(self.bench.hub.clients) == 6
        if wish != MATCH_ALL:
            self.subscribe(fresh, wish)
        return fresh

    @rule(dashboard=consumes(dashboards))
    def leave(self, dashboard: FakeDashboard) -> None:
        """A dashboard goes; it may have been dropped before."""
        client = self.clients.pop(dashboard, None)
        if client is not None:
            self.bench.hub.leave(client)

    @rule(dashboard=dashboards, wish=filters)
    def subscribe(self, dashboard: FakeDashboard, wish: Filter) -> None:
        """A dashboard wants something else."""
        if dashboard in self.clients:
            self.value_filters[dashboard] = wish
            self.bench.hub.subscribe(self.clients[dashboard], wish)

    @rule(dashboard=dashboards)
    def stop_reading(self, dashboard: FakeDashboard) -> None:
        """A dashboard reads nothing for now."""
        dashboard.reading = False

    @rule(dashboard=dashboards, n_bytes=st.integers(1, 4_000))
    def read_some(self, dashboard: FakeDashboard, n_bytes: int) -> None:
        """A dashboard reads some bytes, perhaps half a frame."""
        dashboard.read(n_bytes)

    @rule(dashboard=dashboards)
    def read_on(self, dashboard: FakeDashboard) -> None:
        """A dashboard reads all and goes on reading."""
        dashboard.reading = True
        dashboard.read()

    @rule(events=st.lists(reports, min_size=1, max_size=5))
    def report(self, events: list[Event]) -> None:
        """Agents report, or are forgotten, in one transaction."""
        self.bench.publish(*events)

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        """The hub's timers run."""
        self.bench.timer.advance(seconds)

    @invariant()
    def memory_is_bounded(self) -> None:
        """No dashboard has more unsent than its bound, or a state and one write."""
        for dashboard in self.clients:
            # A tick goes out whole to who has nothing unsent, however long it is.
            longest = max(map(len, dashboard.writes), default=0)
            assert dashboard.peak <= max(BOUND, longest) + self.state_bytes

    @invariant()
    def the_dropped_are_forgotten(self) -> None:
        """Whom the hub aborted is no client of it any more."""
        for dashboard, client in self.clients.items():
            assert dashboard.aborted == (client not in self.bench.hub.clients)

    def teardown(self) -> None:
        """All read on: each mirror is what its filter wants; all go: nothing stays behind."""
        hub = self.bench.hub
        for dashboard in self.clients:
            self.read_on(dashboard)
        self.bench.timer.advance(3.0)
        self.bench.report("a")
        self.bench.timer.advance(3.0)
        assert (hub.n_slow, hub.queue_bytes(), self.bench.timer.n_calls) == (0, 0, 0)
        for dashboard, client in list(self.clients.items()):
            if not dashboard.aborted:
                wish = self.value_filters.get(dashboard, MATCH_ALL)
                assert dashboard.mirror.agents == self.bench.wanted(wish)
            hub.leave(client)
        assert (hub.clients, hub.sessions) == ({}, {})
        assert list(hub._groups) == [MATCH_ALL]
        assert hub._awaiting_state == []


@pytest.mark.state_machine
def test_dashboards_converge_whatever_they_do() -> None:
    """A state machine drives a real hub with dashboards that parse its real frames."""
    run_state_machine_as_test(
        HubMachine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None)
    )
