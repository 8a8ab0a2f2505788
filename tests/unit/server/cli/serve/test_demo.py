"""demo_events: the past and the speed of the demo."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from htmlgraph_nb.core.model import Event
from htmlgraph_server.cli.serve.demo import demo_events

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def first_events(count: int, speed: float = 1.0, n: int = 4_000) -> list[Event]:
    """Return the first events of the demo."""
    return list(itertools.islice(demo_events(count, 1, speed, NOW), n))


def past_of(events: list[Event]) -> list[Event]:
    """Return the events before the start."""
    return [event for event in events if event.timestamp and event.timestamp < NOW]


def test_demo_events_begin_in_the_past() -> None:
    """Nine agents have worked for 25 minutes when the demo starts."""
    first = first_events(9)[0].timestamp
    assert first is not None
    assert timedelta(minutes=24) < NOW - first < timedelta(minutes=26)


def test_demo_events_of_many_agents_have_a_short_past() -> None:
    """However many agents, the past has about as many events."""
    assert len(past_of(first_events(200))) < 2 * len(past_of(first_events(9)))


def test_demo_events_follow_the_speed() -> None:
    """Only the time after the start is faster."""
    slow, fast = first_events(9), first_events(9, speed=10.0)
    steps = [[(e.agent_id, e.event_type, e.timestamp) for e in past_of(s)] for s in (slow, fast)]
    assert steps[0] == steps[1]
    for one, other in zip(slow, fast, strict=True):
        assert one.timestamp is not None
        assert other.timestamp is not None
        if one.timestamp > NOW:
            difference = (one.timestamp - NOW) / 10 - (other.timestamp - NOW)
            assert abs(difference) < timedelta(milliseconds=1)
