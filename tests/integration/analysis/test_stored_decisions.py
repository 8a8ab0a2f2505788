"""The timeline of a stored history shows the server's decisions, for live and past events.

A parent whose subagent has been silent does not work, whichever way its past was stored.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import SDK, load_history, load_presence, load_transcripts, timeline
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.claude_lines import CHILD_ID, call, completion, final, record, result, user
from tests.helpers.server_process import running
from tests.helpers.session_lines import MAIN, SESSION
from tests.integration.server.cli.test_cli import run
from tests.unit.analysis.test_status_intervals import active_s, frame_of, lost_subagent_stop

OTHER = "2b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"


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


@pytest.mark.filterwarnings("ignore::htmlgraph_nb.errors.HistoryWarning")
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


def lost_work(resumes: bool) -> list[Event]:
    """Return events of a parent and of a subagent that was killed; another agent works later.

    Args:
        resumes: whether the parent gets a prompt hours later.
    """
    start, numbers = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9), itertools.count()

    def event(agent: str, kind: str, seconds: float, **fields: Any) -> Event:
        at = start + timedelta(seconds=seconds)
        key = f"e{next(numbers)}"
        return Event(
            agent_id=agent,
            event_type=kind,
            timestamp=at,
            event_id=key,
            session_id="s-2" if agent == "other" else "s-1",
            **fields,
        )

    parent = [
        event("parent", "session_start", 0),
        event("parent", "prompt", 1),
        event("parent", "subagent_start", 10, extra={"child_agent_id": "child"}),
        event("parent", "tool_execute", 12, tool_name="Read"),
    ]
    if resumes:
        parent += [event("parent", "prompt", 3 * 3600), event("parent", "stop", 3 * 3600 + 10)]
    child = [
        event("child", "prompt", 10, parent_agent_id="parent"),
        event("child", "tool_execute", 20, parent_agent_id="parent", tool_name="Read"),
    ]
    other = [event("other", "prompt", 40 * 3600), event("other", "stop", 40 * 3600)]
    return [*parent, *child, *other]


def by_time(events: list[Event]) -> list[Event]:
    """Return events in the order in which they happened."""
    return sorted(events, key=attrgetter("timestamp"))


def ingest_in_time_order(folder: Path, events: list[Event]) -> str:
    """Store the events at once."""
    ingest_at_once(str(folder / "h.db"), by_time(events))
    return str(folder / "h.db")


def ingest_by_agent(folder: Path, events: list[Event]) -> str:
    """Store the events of the parent before those of its subagent, as an import of files does."""
    ingest_at_once(str(folder / "h.db"), events)
    return str(folder / "h.db")


def ingest_between_ticks(folder: Path, events: list[Event]) -> str:
    """Store the events one by one, while the timers of the present run."""
    clock = SteppedClock(datetime.now(UTC))
    with PresenceManager(str(folder / "h.db"), clock=clock) as manager:
        for event in by_time(events):
            manager.ingest([event])
            assert manager.tick() == []
            clock.now += timedelta(seconds=2)
        clock.now += timedelta(seconds=60)
        assert set(manager.tick()) == {"parent", "child", "other"}
        assert manager.agents == {}
    return str(folder / "h.db")


def post(folder: Path, events: list[Event]) -> str:
    """Send the events to a server in one request."""
    with running(folder, "--no-watch", "--backfill", "off") as server:
        response = server.post("/api/events", [event.to_dict() for event in by_time(events)])
        assert response.status == 200, response.text
        return str(server.db)


def report_by_sdk(folder: Path, events: list[Event]) -> str:
    """Report the events by the SDK, with their times."""
    with running(folder, "--no-watch", "--backfill", "off") as server:
        with SDK("parent", url=server.url) as sdk:
            for event in by_time(events):
                sdk.report(**{**event.to_dict(), "timestamp": event.timestamp})
            assert sdk.flush()
        return str(server.db)


WAYS = [ingest_in_time_order, ingest_by_agent, ingest_between_ticks, post, report_by_sdk]


@pytest.mark.parametrize("store", WAYS)
@pytest.mark.parametrize("resumes", [True, False])
def test_timeline_ends_the_wait_for_a_killed_subagent(
    tmp_path: Path, store: Callable[[Path, list[Event]], str], resumes: bool
) -> None:
    """Active and idle times are those of the events in the order in which they happened."""
    events = lost_work(resumes)
    intervals = timeline(load_history(store(tmp_path, events)))
    expected = timeline(frame_of(by_time(events)))
    assert active_s(expected, "parent") < 1_000
    for agent in ("parent", "child"):
        for status in ("active", "idle"):
            own, right = (
                frame[(frame["agent_id"] == agent) & (frame["status"] == status)]["duration"].sum()
                for frame in (intervals, expected)
            )
            assert own == right, (agent, status)


def test_timeline_of_imported_sessions_ends_the_wait_for_a_killed_subagent(tmp_path: Path) -> None:
    """The file of a parent is imported before those of its subagents."""
    folder = tmp_path / "projects" / "shop"
    task = {"isAsync": True, "agentId": CHILD_ID, "status": "async_launched"}
    read = {"type": "tool_use", "id": "toolu_read", "name": "Read", "input": {}}
    output = {"type": "tool_result", "tool_use_id": "toolu_read", "content": "x"}
    own = {"isSidechain": True, "agentId": CHILD_ID}
    files = {
        f"{SESSION}.jsonl": [
            user("go", 0),
            call(5, "Task"),
            result(6, output=task),
            final(8),
            user("again", 3 * 3600),
            final(3 * 3600 + 9, key="msg_again"),
        ],
        f"{SESSION}/subagents/agent-{CHILD_ID}.jsonl": [
            user("go", 7, **own),
            completion("msg_read", 5, 20, content=[read], **own),
            record("user", 21, message={"content": [output]}, **own),
        ],
        f"{OTHER}.jsonl": [user("go", 40 * 3600, sessionId=OTHER)],
    }
    for name, lines in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")
        # The last completion of a file that was just written could still grow.
        os.utime(path, (0, 0))
    database = str(tmp_path / "h.db")
    done = run(tmp_path, "import", "claude", str(folder), "--db", database)
    assert done.returncode == 0, done
    intervals = timeline(load_history(database))
    expected = timeline(load_transcripts(folder, progress=False))
    assert "background" in set(load_history(database)["agent_detail"])
    assert active_s(intervals, MAIN) == active_s(expected, MAIN) < 3_600
