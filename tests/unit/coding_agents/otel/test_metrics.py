"""Token counters: exact totals, and repetition adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel.signals import Point
from tests.helpers.counters import Counters, totals
from tests.helpers.otlp_signals import attributes, check, point, times


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=12), st.booleans(), st.data())
def test_counters_add_up(steps: list[int], delta: bool, data: st.DataObject) -> None:
    """The total is exact for delta and cumulative points, sent once or repeatedly."""
    exports: list[list[Point]] = []
    total = 0
    for at, step in enumerate(steps, 2):
        total += step
        sent = [point(float(step if delta else total), at, delta=delta)]
        exports += [sent] * data.draw(st.integers(1, 2))
    assert totals(Counters(), exports) == sum(steps)


@given(
    st.lists(st.integers(0, 1_000), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.booleans(),
)
def test_counters_count_a_repeated_export(
    steps: list[int], failing: list[bool], delta: bool
) -> None:
    """An export that could not be stored is sent again and counts once."""
    counters = Counters()
    total = counted = 0
    for at, (step, fails) in enumerate(zip(steps, failing, strict=False), 2):
        total += step
        sent = [point(float(step if delta else total), at, delta=delta)]
        if fails:
            counters.stage(sent)
        counted += sum(event.total_tokens for event in counters.stage(sent))
        counters.commit()
    assert counted == sum(steps)


def test_counters_after_a_restart_count_only_growth() -> None:
    """The last values of streams that were read before a restart are unknown."""
    cumulative = [[point(50, 2, delta=False)], [point(70, 3, delta=False)]]
    assert totals(Counters(read_until={"s": 1}), cumulative) == 20
    assert totals(Counters(read_until={"other": 1}), cumulative) == 70
    assert totals(Counters(read_until={"s": 0}), cumulative) == 70, "it started later"
    assert totals(Counters(read_until={"s": 1}), [[point(50, 2, delta=True)]]) == 50


def test_counters_date_a_sum_by_its_latest_point() -> None:
    """After a restart, none of its streams may seem to have started later."""
    points = [point(5, 2_000_000_000_000_000_000, delta=False)]
    points.append(point(7, 1_900_000_000_000_000_000, delta=False, kind="output"))
    for sent in (points, points[::-1]):
        (event,) = Counters().stage(sent)
        assert event.timestamp is not None
        assert event.timestamp.timestamp() == 2_000_000_000


@given(
    st.lists(
        st.builds(
            Point,
            resource=attributes,
            scope=st.just(""),
            metric=st.sampled_from(
                ["claude_code.token.usage", "gemini_cli.token.usage", "codex.turn.token_usage", "x"]
            ),
            attributes=attributes,
            value=st.floats() | st.integers(-5, 5).map(float),
            start_ns=times,
            at_ns=times,
            delta=st.booleans(),
        ),
        max_size=6,
    )
)
def test_counters_accept_any_point(points: list[Point]) -> None:
    """Any point gives tokens or nothing."""
    check(Counters().stage(iter(points)))


def test_counters_accept_an_iterator() -> None:
    """The decoders yield points."""

    def stream() -> Iterator[Point]:
        yield point(5, 2, delta=True)
        yield point(7, 2, delta=True, kind="output")

    (event,) = Counters().stage(stream())
    assert (event.input_tokens, event.output_tokens) == (5, 7)


def test_counters_separate_fast_from_standard_requests() -> None:
    """Their prices differ, so they are two events of one export."""
    standard = point(100, 2, delta=True)
    fast = replace(standard, attributes={**standard.attributes, "speed": "fast"}, value=7.0)
    events = Counters().stage([standard, fast])
    assert [(event.speed, event.input_tokens) for event in events] == [(None, 100), ("fast", 7)]
    assert len({event.event_id for event in events}) == 2


def test_counters_report_the_time_that_an_increase_covers() -> None:
    """Completions of that time, also of long before the first export, are in the increase."""
    second = 10**9
    zero = 1_748_000_000 * second
    counters = Counters()
    covered = []
    for at, delta in ((7_200, False), (7_260, False), (7_270, True)):
        points = [point(at, zero + at * second, start=zero, delta=delta)]
        (event,) = counters.stage(points)
        counters.commit()
        covered.append(event.extra)
    assert covered == [{"interval_s": 7_200}, {"interval_s": 60}, {"interval_s": 7_270}]
    (event,) = Counters().stage([point(5, zero, start=0, delta=True)])
    assert event.extra is None
