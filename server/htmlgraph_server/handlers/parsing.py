"""Parsing of request bodies into events. Pure functions."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent

from ..decoding.json_steps import STEP_CHARS, json_steps

T = TypeVar("T")

MAX_REQUEST_EVENTS = 10_000
"""Maximum number of events in one request or frame."""
MAX_NDJSON_LINES = 2 * MAX_REQUEST_EVENTS
"""Maximum number of NDJSON lines, empty lines included."""


STEP_EVENTS = 50
"""Number of events that one step checks, about a millisecond."""
STEP_LINES = 2_000
"""Number of empty lines that one step skips."""


def parse_events(value: Any) -> list[Event]:
    """Return the events of a JSON value: one object or an array of them.

    Raises:
        InvalidEvent: an event is invalid; ``field`` contains its index.
    """
    return [Event.from_dict(value)] if not isinstance(value, list) else finish(event_steps(value))


def event_steps(items: list[Any]) -> Generator[None, None, list[Event]]:
    """Check the events of a JSON array; yield between the steps, return the events.

    Raises:
        InvalidEvent: an event is invalid; ``field`` contains its index.
    """
    if len(items) > MAX_REQUEST_EVENTS:
        raise InvalidEvent(f"at most {MAX_REQUEST_EVENTS} events allowed, got {len(items)}")
    events: list[Event] = []
    for index, item in enumerate(items):
        try:
            events.append(Event.from_dict(item))
        except InvalidEvent as error:
            raise error.within(f"[{index}]") from None
        if index % STEP_EVENTS == STEP_EVENTS - 1:
            yield
    return events


def ndjson_steps(body: bytes) -> Generator[None, None, list[Event]]:
    """Read the events of NDJSON, one object per line; yield between the steps, return the events.

    Empty lines are skipped.

    Raises:
        WireError: a line is not JSON; the message contains its number.
        InvalidEvent: an event is invalid; ``field`` contains its line number.
    """
    events: list[Event] = []
    lines = body.split(b"\n", MAX_NDJSON_LINES)
    if len(lines) > MAX_NDJSON_LINES:
        raise InvalidEvent(f"at most {MAX_NDJSON_LINES} lines allowed")
    n_bytes = 0
    for number, line in enumerate(lines, 1):
        if number % STEP_LINES == 0:
            yield
        if not line.strip():
            continue
        if len(events) >= MAX_REQUEST_EVENTS:
            raise InvalidEvent(f"at most {MAX_REQUEST_EVENTS} events allowed")
        n_bytes += len(line)
        if n_bytes > STEP_CHARS or len(events) % STEP_EVENTS == STEP_EVENTS - 1:
            n_bytes = len(line)
            yield
        value = yield from json_steps(line, f"line {number}")
        try:
            events.append(Event.from_dict(value))
        except InvalidEvent as error:
            raise error.within(f"line {number}") from None
    return events


def finish(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end at once; return its value."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
