"""The simulated agents of ``htmlgraph-nb demo``."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_server.cli.demo import DemoStep, simulated_agents

START = datetime(2025, 1, 14, 12, tzinfo=UTC)


def first_steps(seed: int, count: int = 9, n_steps: int = 400) -> list[list[DemoStep]]:
    """Return the first steps of each agent."""
    return [
        list(itertools.islice(agent.steps(), n_steps)) for agent in simulated_agents(count, seed)
    ]


def comparable(steps: list[list[DemoStep]]) -> list[tuple[float, dict[str, object]]]:
    """Return the steps without the fields that differ in every run."""
    return [
        (pause_s, {name: value for name, value in event.to_dict().items() if name not in VARYING})
        for agent in steps
        for pause_s, event in agent
    ]


VARYING = ("event_id", "timestamp")


def test_simulated_agents_depend_on_the_seed() -> None:
    """The same seed gives the same steps, another seed gives others."""
    assert comparable(first_steps(seed=1)) == comparable(first_steps(seed=1))
    assert comparable(first_steps(seed=1)) != comparable(first_steps(seed=2))


def test_simulated_agents_do_not_depend_on_their_number() -> None:
    """More agents do not change the steps of the first ones."""
    assert comparable(first_steps(seed=1, count=12)[:3]) == comparable(first_steps(seed=1, count=3))


def test_simulated_agents_have_unique_ids() -> None:
    """Ids are unique, and each vendor has about as many agents."""
    names = [agent.agent_id for agent in simulated_agents(100, 1)]
    assert len(set(names)) == 100
    vendors = Counter(name.split("-")[0] for name in names)
    assert max(vendors.values()) - min(vendors.values()) <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simulated_sessions_are_consistent(seed: int) -> None:
    """Sessions do not overlap, each call ends once, and no pause is negative."""
    for steps in first_steps(seed, n_steps=1_500):
        session: str | None = None
        running: set[str] = set()
        for pause_s, event in steps:
            assert pause_s >= 0
            if event.event_type == "session_start":
                assert session is None
                session = event.session_id
            assert event.session_id == session
            assert event.session_id is not None
            if event.event_type == "tool_start":
                assert event.tool_use_id not in running
                running.add(str(event.tool_use_id))
            if event.event_type in ("tool_execute", "tool_error"):
                running.remove(str(event.tool_use_id))
            if event.event_type == "session_end":
                session = None
                assert not running


def test_simulated_agents_produce_all_event_types() -> None:
    """The demo has turns, tools, errors, permission requests and session ends."""
    seen = Counter(event.event_type for steps in first_steps(1) for _, event in steps)
    assert set(seen) >= {
        "session_start",
        "prompt",
        "completion",
        "tool_start",
        "tool_execute",
        "tool_error",
        "permission_request",
        "answered",
        "stop",
        "error",
        "session_end",
    }


def timeline(steps: list[list[DemoStep]]) -> list[tuple[datetime, Event]]:
    """Return the events of all agents in time order."""
    events: list[tuple[datetime, Event]] = []
    for agent in steps:
        at = START
        for pause_s, event in agent:
            at += timedelta(seconds=pause_s)
            events.append((at, event))
    return sorted(events, key=lambda item: item[0])


def test_simulated_agents_reach_every_status() -> None:
    """Under the real status rules agents are active, idle, offline or need attention."""
    roster = Roster(Limits())
    seen: Counter[str] = Counter()
    for seq, (at, event) in enumerate(timeline(first_steps(1)), 1):
        change = roster.apply(event, seq, at)
        roster.commit()
        assert change.presence is not None
        seen[change.presence.status.value] += 1
        seen["attention"] += change.presence.attention
    assert set(seen) == {"active", "idle", "offline", "attention"}
    assert min(seen.values()) > 10
