"""What follows for the agents of a past session from time and process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.ingest.live_processes import AgentProcess, LiveSessions
from htmlgraph_nb.ingest.processes.process_events import start_ids
from htmlgraph_nb.ingest.processes.process_ids import place_of_processes
from htmlgraph_nb.ingest.session_end import closing_events, process_of
from tests.helpers.strategies import T0

PATH = "/p/s.jsonl"
PROCESS = AgentProcess(7, 123.456, "claude")
ALIVE = LiveSessions({PATH: PROCESS})
DEAD = LiveSessions({}, frozenset({PATH}))
UNKNOWN = LiveSessions()
ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE


def agent(detail: str = "tool", status: PresenceStatus = ACTIVE) -> AgentPresence:
    """Return an agent that was last active at T0."""
    return AgentPresence("a", status, last_activity=T0, session_id="s", detail=detail)


def closing(
    presence: AgentPresence, live: LiveSessions, minutes: float, path: str = PATH
) -> list[tuple[str, float]]:
    """Return type of each closing event, and the minutes from T0 to its time."""
    now = T0 + timedelta(minutes=minutes)
    events = closing_events([presence], path, live, Limits(), now)
    assert [event.checked() for event in events] == events
    return [
        (event.event_type, (event.timestamp - T0) / timedelta(minutes=1))
        for event in events
        if event.timestamp is not None
    ]


@pytest.mark.parametrize("detail", ["tool", "waiting_input", "background", "working"])
def test_closing_events_of_unknown_process_are_timers(detail: str) -> None:
    """Open work of a session without a process keeps no agent active."""
    assert closing(agent(detail), UNKNOWN, 4) == []
    assert closing(agent(detail), UNKNOWN, 12) == [("idle", 5)]
    assert closing(agent(detail), UNKNOWN, 40) == [("offline", 30)]
    assert closing(agent(detail), UNKNOWN, 25 * 60) == [("forget", 24 * 60)]


def test_closing_events_of_live_process() -> None:
    """A live process keeps open work active and the agent in the roster."""
    for minutes in (12, 40, 72 * 60):
        assert closing(agent("waiting_input"), ALIVE, minutes) == [("process_start", minutes)]
        expected = [("process_start", minutes), ("idle", 5)]
        assert closing(agent("working"), ALIVE, minutes) == expected
    known = replace(agent("waiting_input"), alive=True)
    assert closing(known, ALIVE, 12) == []


def test_closing_events_of_ended_process() -> None:
    """The exit is dated by the last activity, as its own time is not known."""
    assert closing(agent("tool"), DEAD, 1) == [("process_exit", 0)]
    assert closing(agent("done", OFFLINE), DEAD, 12) == []
    assert closing(agent("tool"), DEAD, 25 * 60) == [("process_exit", 0), ("forget", 24 * 60)]


def test_closing_events_of_idle_agent_do_not_repeat_its_status() -> None:
    """An agent whose turn is over is not marked idle again."""
    assert closing(agent("done", IDLE), UNKNOWN, 12) == []
    assert closing(agent("done", OFFLINE), UNKNOWN, 40) == []


def test_closing_events_of_subagent_use_the_process_of_its_parent() -> None:
    """A subagent keeps working while the process of its session runs."""
    child = replace(agent("tool"), parent_agent_id="p")
    path = "/p/s/subagents/agent-1.jsonl"
    assert closing(child, ALIVE, 40, path) == []
    assert closing(child, UNKNOWN, 40, path) == [("offline", 30)]
    assert process_of(path, ALIVE) == PROCESS
    assert process_of("/p/t/subagents/agent-1.jsonl", ALIVE) is None


def test_closing_events_have_the_same_ids_each_time() -> None:
    """A repeated import adds none of them twice; the start names the process."""
    now = T0 + timedelta(minutes=40)
    first = closing_events([agent("working")], PATH, ALIVE, Limits(), now)
    again = closing_events([agent("working")], PATH, ALIVE, Limits(), now + timedelta(hours=1))
    assert [event.event_id for event in first] == [event.event_id for event in again]
    start = first[0]
    place = place_of_processes()
    assert start.extra == {"pid": 7, "started_at": 123.46, "place": place}
    low, high = start_ids("a")
    assert low < str(start.event_id) < high
    assert not low < "start:ab:s:7:123.46" < high
