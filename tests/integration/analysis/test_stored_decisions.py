"""The timeline of a stored history shows the server's decisions, for live and past events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from htmlgraph_nb import load_history, load_presence, timeline
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.unit.analysis.test_status_intervals import active_s, lost_subagent_stop


class SteppedClock:
    """A clock that the test advances."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def ingest_at_once(path: str, events: list[Event]) -> None:
    """Store events of the past in one transaction, like an import."""
    with PresenceManager(path) as manager:
        manager.ingest(events)


def ingest_live(path: str, events: list[Event]) -> None:
    """Store each event at its time, with a server that ticks once a second."""
    clock = SteppedClock(events[0].timestamp or datetime.now(UTC))
    with PresenceManager(path, clock=clock) as manager:
        for event in events:
            end = event.timestamp or clock.now
            while clock.now + timedelta(seconds=1) < end:
                clock.now += timedelta(seconds=1 if end - clock.now < timedelta(hours=1) else 600)
                manager.tick()
            clock.now = end
            manager.ingest([event])


@pytest.mark.parametrize("ingest", [ingest_at_once, ingest_live])
def test_timeline_ends_lost_subagent_of_stored_history(tmp_path: Path, ingest) -> None:
    """A subagent without a reported end does not keep its parent active, live or imported."""
    path = str(tmp_path / "history.db")
    ingest(path, lost_subagent_stop())
    frame = load_history(path)
    assert frame["agent_status"].notna().all()
    assert active_s(timeline(frame), "parent") == pytest.approx(110, abs=1)
    assert "subagent_stop" in set(frame["event_type"])


def test_timeline_of_past_events_applies_timers(tmp_path: Path) -> None:
    """Between distant events of the past the agent was idle, then offline; no row is added."""
    path = str(tmp_path / "history.db")
    start = datetime(2025, 1, 14, tzinfo=UTC)
    times = [start, start + timedelta(minutes=2), start + timedelta(hours=2)]
    ingest_at_once(path, [Event(agent_id="a", event_type="prompt", timestamp=at) for at in times])
    frame = load_history(path)
    assert frame["event_type"].tolist() == ["prompt", "prompt", "prompt"]
    intervals = timeline(frame)
    assert intervals["status"].tolist() == ["active", "idle", "offline", "active"]
    assert intervals["duration"].head(2).tolist() == [
        pd.Timedelta(minutes=7),
        pd.Timedelta(minutes=25),
    ]
    assert load_presence(path)["status"].tolist() == ["active"]


def test_late_event_counts_from_the_event_before(tmp_path: Path) -> None:
    """A late event counts from the timestamp of the event before it."""
    path = str(tmp_path / "history.db")
    start = datetime(2025, 1, 14, tzinfo=UTC)
    offsets = {"prompt": 0, "stop": 60, "permission_request": 30, "session_end": 90}
    ingest_at_once(
        path,
        [
            Event(agent_id="a", event_type=kind, timestamp=start + timedelta(seconds=seconds))
            for kind, seconds in offsets.items()
        ],
    )
    intervals = timeline(load_history(path))
    assert intervals["status"].tolist() == ["active", "idle", "offline"]
    assert intervals["duration"].dt.total_seconds().tolist() == [60, 30, 0]
