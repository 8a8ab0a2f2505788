"""Lines of session files for tests, recorded or generated."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.coding_agents.input_hash import KEY_BYTES, input_hash
from htmlgraph_nb.coding_agents.session import SessionReader
from htmlgraph_nb.core.dedup import supersedes
from htmlgraph_nb.core.model import TOKEN_FIELDS, Event
from tests.helpers.paths import ROOT

PAYLOADS = ROOT / "tests/payloads" / "sessions"
CONTENT = "never-keep-this"
SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
MAIN = "claude-0b9d6f4e"
START = datetime(2026, 5, 30, 17, 0, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return the time ``seconds`` after START in the format of the agents."""
    timestamp = START + timedelta(seconds=seconds)
    return timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(record: dict[str, Any]) -> bytes:
    """Return a record as a line of a session file, without a line end."""
    return json.dumps(record, separators=(",", ":")).encode()


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a recorded file."""
    return path.read_bytes().splitlines()


def read(reader: SessionReader, lines: Iterable[bytes]) -> list[Event]:
    """Return all events of a file."""
    events = [event for each in lines for event in reader.feed(each)]
    return events + reader.finish()


def hashed(value: object) -> int | None:
    """Return the ``input_hash`` of an input under a fixed key."""
    return input_hash(value, bytes(KEY_BYTES))


def once(events: Iterable[Event]) -> list[Event]:
    """Return each event once, completions with their final counts."""
    final: dict[str, Event] = {}
    for index, event in enumerate(events):
        key = event.event_id or f"#{index}"
        if key not in final or supersedes(event, final[key]):
            final[key] = event
    return list(final.values())


def tokens(events: Iterable[Event]) -> tuple[int, ...]:
    """Return the sums of the five token kinds; each completion counts once."""
    completions = [event for event in once(events) if event.event_type == "completion"]
    return tuple(sum(getattr(event, name) or 0 for event in completions) for name in TOKEN_FIELDS)


def kinds(events: Iterable[Event]) -> list[str]:
    """Return the event types in order."""
    return [event.event_type for event in events]


def check(events: Iterable[Event]) -> None:
    """Assert that the server accepts the events and that they contain no content."""
    for event in events:
        assert event.checked() == event
        assert CONTENT not in json.dumps(event.to_dict())
