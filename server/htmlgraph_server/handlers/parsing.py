"""Request bodies to Events: pure."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import decode_json
from htmlgraph_nb.errors import InvalidEvent

MAX_EVENTS = 10_000
"""Most events in one request or frame."""
MAX_LINES = 2 * MAX_EVENTS
"""Most lines of NDJSON, empty ones included."""


def events_of(value: Any) -> list[Event]:
    """Return the events of a JSON value: one object or an array of them.

    Raises:
        InvalidEvent: one of them does not fit; its field is named with its place.
    """
    if not isinstance(value, list):
        return [Event.from_dict(value)]
    if len(value) > MAX_EVENTS:
        raise InvalidEvent(f"{len(value)} events, expected at most {MAX_EVENTS} at once")
    events: list[Event] = []
    for place, item in enumerate(value):
        try:
            events.append(Event.from_dict(item))
        except InvalidEvent as error:
            raise error.within(f"[{place}]") from None
    return events


def events_of_lines(body: bytes) -> list[Event]:
    """Return the events of NDJSON: one object a line; empty lines are skipped.

    Raises:
        WireError, InvalidEvent: a line cannot be read; its number is named.
    """
    events: list[Event] = []
    lines = body.split(b"\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise InvalidEvent(f"more than {MAX_LINES} lines at once")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(events) >= MAX_EVENTS:
            raise InvalidEvent(f"more than {MAX_EVENTS} events at once")
        try:
            events.append(Event.from_dict(decode_json(line, f"line {number}")))
        except InvalidEvent as error:
            raise error.within(f"line {number}") from None
    return events
