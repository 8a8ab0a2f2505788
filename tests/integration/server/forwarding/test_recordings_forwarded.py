"""Recorded sessions, reported by hooks and session files, forwarded to another database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from htmlgraph_nb.agent_check.playback import Replay
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.forwarding.host_links import forwarded_event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.forwarding.pending_events import PendingEvents
from tests.benchmarks.recordings import Recording
from tests.helpers.paths import ROOT

FOLDERS = sorted(
    path.parent
    for path in (ROOT / "tests/payloads/recordings").rglob("events.jsonl")
    if path.parent.parent.name != "opencode"
)[::3]


class Clock:
    """A clock that is set."""

    now = datetime.min

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


def shown(manager: PresenceManager) -> dict[str, AgentPresence]:
    """Return the agents without what depends on the numbers of the database."""
    return {name: replace(one, seq=0) for name, one in manager.snapshot().items()}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.parametrize("delayed", [False, True])
def test_forwarded_events_are_all_accepted(folder: Path, tmp_path: Path, delayed: bool) -> None:
    """The receiver drops none of what the sender has accepted, and has the same agents.

    It also drops what hooks report to it directly, if the sender has reported it.
    """
    replay = Replay(Recording.read(folder), tmp_path)
    replay.run()
    clock = Clock()
    edge = PresenceManager(str(tmp_path / "edge.db"), clock=clock)
    centre = PresenceManager(str(tmp_path / "centre.db"), clock=clock)
    pending = PendingEvents(edge.db_path, edge.cursor.epoch)
    with edge, centre:
        sent = 0

        def forward() -> None:
            nonlocal sent
            while sent < edge.cursor.seq:
                batch = pending.read((sent + 1, edge.cursor.seq))
                events = [Event.from_dict(json.loads(text)) for text in batch.texts]
                result = centre.submit(events, 0.0, "host-1").result()
                assert result.accepted == len(events)
                sent = batch.last

        fed = [(at, event) for at, event in replay.fed if event.source not in ("timer", "family")]
        for at, event in fed:
            clock.now = at
            edge.ingest([event])
            edge.tick()
            if not delayed:
                forward()
                centre.tick()
        forward()
        centre.tick()
        if not delayed:
            assert shown(centre) == shown(edge)
        for name, one in shown(edge).items():
            other = shown(centre)[name]
            assert other.total_cost_tokens == one.total_cost_tokens
            assert other.total_tools_executed == one.total_tools_executed
        prompts = [event for _, event in fed if event.event_type == "prompt"]
        for n, event in enumerate(prompts):
            if str(event.source).endswith("-hook"):
                direct = replace(event, event_id=f"direct-{n}")
                assert centre.ingest([direct]).accepted == 0
    pending.close()


def test_forwarded_event_keeps_implied_events_at_home() -> None:
    """What another server derives itself is not sent; an event without an id gets one."""
    for source in ("timer", "family", "rename", "capacity", "import", "host"):
        assert forwarded_event(Event(agent_id="a", source=source), 1, "e") is None
    assert forwarded_event(Event(agent_id="a", event_type="forget"), 1, "e") is None
    plain = Event(agent_id="a")
    assert forwarded_event(plain, 7, "e") == replace(plain, event_id="e:7")
    named = Event(agent_id="a", event_id="x")
    assert forwarded_event(named, 7, "e") is named
