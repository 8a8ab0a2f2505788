"""Parsing of request bodies into events. Pure functions."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import decode_json
from htmlgraph_nb.errors import InvalidEvent

MAX_REQUEST_EVENTS = 10_000
"""Maximum number of events in one request or frame."""
MAX_NDJSON_LINES = 2 * MAX_REQUEST_EVENTS
"""Maximum number of NDJSON lines, empty lines included."""


def parse_events(value: Any) -> list[Event]:
    """Return the events of a JSON value: one object or an array of them.

    Raises:
        InvalidEvent: an event is invalid; ``field`` contains its index.
    """
    if not isinstance(value, list):
        return [Event.from_dict(value)]
    if len(value) > MAX_REQUEST_EVENTS:
        raise InvalidEvent(f"at most {MAX_REQUEST_EVENTS} events allowed, got {len(value)}")
    events: list[Event] = []
    for index, item in enumerate(value):
        try:
            events.append(Event.from_dict(item))
        except InvalidEvent as error:
            raise error.within(f"[{index}]") from None
    return events


def parse_ndjson(body: bytes) -> list[Event]:
    """Return the events of NDJSON, one object per line; empty lines are skipped.

    Raises:
        WireError: a line is not JSON; the message contains its number.
        InvalidEvent: an event is invalid; ``field`` contains its line number.
    """
    events: list[Event] = []
    lines = body.split(b"\n", MAX_NDJSON_LINES)
    if len(lines) > MAX_NDJSON_LINES:
        raise InvalidEvent(f"at most {MAX_NDJSON_LINES} lines allowed")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(events) >= MAX_REQUEST_EVENTS:
            raise InvalidEvent(f"at most {MAX_REQUEST_EVENTS} events allowed")
        try:
            events.append(Event.from_dict(decode_json(line, f"line {number}")))
        except InvalidEvent as error:
            raise error.within(f"line {number}") from None
    return events
