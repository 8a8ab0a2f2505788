"""Streams of counters: exact totals for several processes of one session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel.signals import Point
from tests.helpers.counters import Counters, totals
from tests.helpers.otlp_signals import point

KINDS = ("input", "output", "cacheRead")


def test_streams_differ_by_start_time() -> None:
    """Two processes of a session export counters with the same labels in turn."""
    exports = [
        [point(100_000, 60, start=0, delta=False)],
        [point(40_000, 130, start=100, delta=False)],
        [point(150_000, 150, start=0, delta=False)],
        [point(60_000, 190, start=100, delta=False)],
        [point(150_000, 210, start=0, delta=False)],
        [point(60_000, 250, start=100, delta=False)],
    ]
    assert totals(Counters(), exports) == 210_000


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize(
    "other",
    [{"resource": {"service.instance.id": "b"}}, {"scope": "b"}, {"start_ns": 0}],
    ids=str,
)
def test_streams_differ_by_resource_and_scope(other: dict[str, object], delta: bool) -> None:
    """Both are part of the identity of a stream, as are its labels."""
    first = point(50, 9, delta=delta)
    second = replace(first, value=20.0, **other)  # type: ignore[arg-type]
    assert totals(Counters(), [[first], [second], [first], [second]]) == 70
    assert totals(Counters(), [[first, second, first, second]]) == 70


def test_streams_count_a_late_delta_point() -> None:
    """Delta points of two processes arrive in any order; each counts once."""
    first = point(5, 60, start=0, delta=True)
    second = point(7, 59, start=10, delta=True)
    late = point(11, 30, start=0, delta=True)
    assert totals(Counters(), [[first], [second], [late], [first], [second]]) == 23


def test_streams_ignore_older_cumulative_points() -> None:
    """The later point includes their tokens."""
    newer, older = point(70, 9, delta=False), point(50, 5, delta=False)
    assert totals(Counters(), [[newer], [older], [newer]]) == 70
    assert totals(Counters(), [[older], [older, newer]]) == 70


def test_streams_continue_a_counter_of_unknown_value() -> None:
    """Its first point has its own time as start time."""
    exports = [[point(50, 9, start=9, delta=False)], [point(70, 12, start=9, delta=False)]]
    assert totals(Counters(), exports) == 20


def test_streams_without_start_time_detect_a_reset() -> None:
    """A smaller value is the only sign of one."""
    values = ((50, 2), (80, 3), (20, 4), (30, 5))
    exports = [[point(value, at, start=0, delta=False)] for value, at in values]
    assert totals(Counters(), exports) == 110


@dataclass
class Process:
    """A process with token counters; ``delivered`` is what the server must have counted of it."""

    session: str
    start_ns: int
    delta: bool
    values: dict[str, int] = field(default_factory=dict)
    collected_at: int = 0
    delivered_at: int = 0
    delivered: dict[str, int] = field(default_factory=dict)

    def collect(self, at: int) -> list[Point]:
        """Return the points of one collection, which resets the counters if they are deltas."""
        start = (self.collected_at or self.start_ns) if self.delta else self.start_ns
        points = [
            replace(
                point(value, at, start=start, delta=self.delta, kind=kind),
                attributes={"session.id": self.session, "type": kind, "model": "m"},
            )
            for kind, value in self.values.items()
        ]
        self.collected_at = at
        if self.delta:
            self.values = {}
        return points

    def deliver(self, points: list[Point], is_repeated: bool) -> None:
        """Record that points reached the server."""
        for each in points:
            kind = str(each.attributes["type"])
            if self.delta and not is_repeated:
                self.delivered[kind] = self.delivered.get(kind, 0) + int(each.value)
            elif not self.delta and each.at_ns > self.delivered_at:
                self.delivered[kind] = int(each.value)
        self.delivered_at = max([self.delivered_at, *(each.at_ns for each in points)])


class Simulation:
    """Processes that export to one server, over a connection that drops, repeats and delays."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.stored: dict[str | None, int] = {}
        self.processes: list[Process] = []
        self.reset_tokens = 0
        self.now = 10
        self.sent: list[tuple[Process, list[Point]]] = []
        self.delayed: list[tuple[Process, list[Point]]] = []

    def step(self, action: str, which: int, kind: str, amount: int) -> None:
        """Run one action of the process that ``which`` selects."""
        self.now += 1 + amount % 3
        if action == "start" or not self.processes:
            session = ("s", "t")[which % 2]
            self.processes.append(Process(session, self.now, delta=amount % 4 == 0))
            return
        process = self.processes[which % len(self.processes)]
        if action == "use":
            process.values[kind] = process.values.get(kind, 0) + amount
        elif action == "export":
            self._send([(process, process.collect(self.now))])
        elif action == "drop":
            process.collect(self.now)
        elif action == "delay":
            self.delayed.append((process, process.collect(self.now)))
        elif action == "late":
            delayed, self.delayed = self.delayed[which:], self.delayed[:which]
            self._send(delayed[::-1])
        elif action == "repeat" and self.sent:
            self._send([self.sent[amount % len(self.sent)]], is_repeated=True)
        elif action == "fail":
            export = process.collect(self.now)
            self.counters.stage(export)
            self._send([(process, export)])
        elif action == "reset" and not process.delta:
            self._reset(process)

    def _reset(self, process: Process) -> None:
        """Restart a process with its start time; the values of the first export are smaller."""
        self.delayed = [each for each in self.delayed if each[0] is not process]
        self.reset_tokens += sum(process.delivered.values())
        process.values = {kind: value // 2 for kind, value in process.delivered.items() if value}
        process.delivered = {}
        self._send([(process, process.collect(self.now))])

    def _send(self, exports: list[tuple[Process, list[Point]]], is_repeated: bool = False) -> None:
        points = [each for _, export in exports for each in export]
        for event in self.counters.stage(points):
            self.stored.setdefault(event.event_id, event.total_tokens)
        self.counters.commit()
        for process, export in sorted(exports, key=lambda each: [p.at_ns for p in each[1]]):
            process.deliver(export, is_repeated)
        if not is_repeated:
            self.sent += exports

    @property
    def expected(self) -> int:
        """The tokens that the server must have counted."""
        delivered = sum(sum(process.delivered.values()) for process in self.processes)
        return delivered + self.reset_tokens


actions = st.tuples(
    st.sampled_from(
        "start use use use export export drop delay delay late repeat fail reset".split()
    ),
    st.integers(0, 5),
    st.sampled_from(KINDS),
    st.integers(0, 1_000),
)


@given(st.lists(actions, min_size=1, max_size=60))
def test_streams_add_up(steps: list[tuple[str, int, str, int]]) -> None:
    """The total is that of all processes, whatever the connection repeats, delays or drops."""
    simulation = Simulation()
    for step in steps:
        simulation.step(*step)
        assert sum(simulation.stored.values()) == simulation.expected, step
