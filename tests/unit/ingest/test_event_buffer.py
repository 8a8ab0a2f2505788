"""EventBuffer returns the same events as a file that is read as a whole, in bounded memory."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.event_buffer import EventBuffer, EventIds, event_time, final_events
from tests.helpers.strategies import T0

HELD = 6


def completion(number: int, output_tokens: int, second: float | None = None) -> Event:
    """Return a copy of the completion with this number."""
    at = T0 + timedelta(seconds=number if second is None else second)
    return Event(
        agent_id="a",
        event_type="completion",
        event_id=f"m{number}",
        timestamp=at,
        output_tokens=output_tokens,
    )


@st.composite
def files(draw: st.DrawFn) -> list[Event]:
    """Return the events of a file: copies and disorder reach over fewer than HELD events."""
    events = []
    for number in range(draw(st.integers(0, 60))):
        second = number + draw(st.integers(0, 2))
        if draw(st.booleans()):
            name = draw(st.none() | st.just(f"e{number}"))
            at = T0 + timedelta(seconds=second)
            events.append(Event(agent_id="a", event_type="prompt", timestamp=at, event_id=name))
        else:
            copied = max(0, number - draw(st.integers(0, 1)))
            events.append(completion(copied, draw(st.integers(0, 3)), second))
    return events


def chunked(events: list[Event], held: int = HELD) -> list[list[Event]]:
    """Return the parts in which a buffer returns the events."""
    buffer = EventBuffer(held=held)
    parts = []
    for event in events:
        buffer.add(event)
        parts.append(buffer.ready())
    return [*parts, buffer.finish()]


@given(files())
def test_event_buffer_parts_equal_the_whole(events: list[Event]) -> None:
    """The parts, one after the other, are the events of the whole file in the same order."""
    whole = final_events(events)
    assert [event for part in chunked(events) for event in part] == whole
    assert [event_time(event) for event in whole] == sorted(map(event_time, whole))


def test_event_buffer_keeps_few_events() -> None:
    """At most twice the number of held events is kept, and each part holds some back."""
    buffer = EventBuffer(held=10)
    n_returned = 0
    for number in range(1_000):
        buffer.add(completion(number, 1))
        n_returned += len(buffer.ready())
        assert number + 1 - n_returned < 20
    assert n_returned == 990
    assert len(buffer.finish()) == 10


def test_event_buffer_takes_the_final_copy_across_parts() -> None:
    """A copy with more tokens wins although a part was returned in between."""
    events = [completion(number, 1) for number in range(13)]
    parts = chunked([*events, completion(12, 50)])
    assert [len(part) for part in parts if part] == [6, 7]
    assert parts[-1][-1].output_tokens == 50


def test_event_ids_are_equal_each_time() -> None:
    """Events without an id get ids by their position among equal ones."""
    event = Event(agent_id="a", event_type="completion", timestamp=T0)
    first, second = EventIds(), EventIds()
    ids = [first.with_id(event).event_id for _ in range(3)]
    assert ids == [second.with_id(event).event_id for _ in range(3)]
    assert len(set(ids)) == 3
    kept = Event(agent_id="a", event_id="x")
    assert first.with_id(kept) is kept
