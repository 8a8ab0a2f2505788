"""reader_problems finds what is wrong with a reader, and nothing with those of the agents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.agent_check.reader_properties import reader_problems
from htmlgraph_nb.coding_agents import Event, parse_record
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.benchmarks.recordings import ADAPTERS, Recording
from tests.helpers.paths import ROOT

RECORDINGS = sorted(
    path.parent for path in (ROOT / "tests/payloads/recordings").rglob("events.jsonl")
)
AT = datetime(2026, 9, 1, tzinfo=UTC)
CONTENT = b"".join(
    json.dumps({"type": "user", "id": f"m{n}", "n": {"in": n}}).encode() + b"\n" for n in range(6)
)


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_reader_problems_of_recorded_sessions_are_none(folder: Path, tmp_path: Path) -> None:
    """The readers of all agents keep to what the documentation says."""
    recording = Recording.read(folder)
    checked = 0
    for session in recording.sessions.values():
        if not session.content:
            continue
        checked += 1
        agent = type(AGENTS[session.agent])()
        path = tmp_path / session.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(session.content)
        problems = reader_problems(
            lambda agent=agent, path=path: agent.session_reader(str(path)),
            session.content,
            agent.session_source,
        )
        assert problems == [], session.name
    assert checked
    assert {session.agent for session in recording.sessions.values()} <= {*ADAPTERS.values()}


class Reader:
    """A correct reader of CONTENT."""

    QUIET_THRESHOLDS_S = ()
    source = "x-session"

    def feed(self, line: bytes) -> list[Event]:
        """Return an event for each line."""
        return self.read(parse_record(line))

    def read(self, record: Any) -> list[Event]:
        """Return an event for each message."""
        name = record.get("id")
        if not isinstance(name, str) or not name or not name.isprintable():
            return []
        return [self.event(f"prompt:{name[:99]}")]

    def event(self, name: str | None, **fields: Any) -> Event:
        """Return a prompt."""
        fields = {"event_type": "prompt", "timestamp": AT, "source": self.source, **fields}
        return Event(agent_id="x-1", event_id=name, **fields)

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return nothing."""
        return []

    def finish(self) -> list[Event]:
        """Return nothing."""
        return []


class Raises(Reader):
    """Trusts that counts are counts."""

    def read(self, record: Any) -> list[Event]:
        """Add up what may be anything."""
        return super().read(record) if record.get("n", {"in": 1})["in"] + 1 else []


class RaisesAtOnce(Reader):
    """Does not read its own format."""

    def read(self, record: Any) -> list[Event]:
        """Fail for each line."""
        raise KeyError("n")


class Rejects(Reader):
    """Raises InvalidEvent for an object."""

    def read(self, record: Any) -> list[Event]:
        """Validate too much."""
        return [event.checked() for event in [self.event(record.get("id"))]]


class Counts(Reader):
    """Numbers the events of all readers."""

    n = 0

    def read(self, record: Any) -> list[Event]:
        """Return events with a new id each time."""
        Counts.n += 1
        return [self.event(str(Counts.n))]


class Silent(Reader):
    """Forgets a message at a silence."""

    last: Event | None = None

    def read(self, record: Any) -> list[Event]:
        """Keep the last one back."""
        before, self.last = self.last, next(iter(super().read(record)), None)
        return [] if before is None else [before]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Drop it."""
        self.last = None
        return []


class OtherSource(Reader):
    """Names another source."""

    source = "y"


class SameId(Reader):
    """Gives two events an id."""

    def read(self, record: Any) -> list[Event]:
        """Return two events with one id."""
        return [self.event("a"), self.event("a", event_type="stop")]


class NoTime(Reader):
    """Leaves out the time."""

    def read(self, record: Any) -> list[Event]:
        """Return an event without a timestamp."""
        return [self.event("a", timestamp=None)]


class Nothing(Reader):
    """Reads nothing."""

    def read(self, record: Any) -> list[Event]:
        """Return no events."""
        return []


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        (Reader, ""),
        (Raises, "raised TypeError"),
        (RaisesAtOnce, "reading the file raised KeyError"),
        (Rejects, "skip what is invalid"),
        (Counts, "twice gives other events"),
        (Silent, "line by line, with silences"),
        (OtherSource, "events have the source 'y', expected 'x-session'"),
        (SameId, "events of the types prompt, stop have the same event_id"),
        (NoTime, "an event has no timestamp"),
        (Nothing, "the file has no events"),
    ],
)
def test_reader_problems_name_the_defect(reader: type[Reader], problem: str) -> None:
    """Each defect is found."""
    problems = reader_problems(reader, CONTENT, "x-session")
    assert any(problem in text for text in problems) if problem else problems == [], problems
