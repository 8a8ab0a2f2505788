"""The simulated agents of ``htmlgraph-nb demo``."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_server.cli.demo import Step, simulated_agents

START = datetime(2025, 1, 14, 12, tzinfo=UTC)


def first_steps(seed: int, count: int = 9, n_steps: int = 400) -> list[list[Step]]:
    """Return the first steps of each agent."""
    return [
        list(itertools.islice(agent.steps(), n_steps)) for agent in simulated_agents(count, seed)
    ]


def said(steps: list[list[Step]]) -> list[tuple[float, dict[str, object]]]:
    """Return what was said as values that compare; ids that are drawn for each event left out."""
    return [
        (pause, {name: value for name, value in event.to_dict().items() if name not in DRAWN})
        for agent in steps
        for pause, event in agent
    ]


DRAWN = ("event_id", "timestamp")


def test_a_seed_tells_everything() -> None:
    """The same seed gives the same lives, another seed others."""
    assert said(first_steps(seed=1)) == said(first_steps(seed=1))
    assert said(first_steps(seed=1)) != said(first_steps(seed=2))


def test_more_agents_change_nothing_for_the_first() -> None:
    """An agent's life does not depend on how many others there are."""
    assert said(first_steps(seed=1, count=12)[:3]) == said(first_steps(seed=1, count=3))


def test_names_are_unique() -> None:
    """Each agent has a name of its own, from each vendor about as many."""
    names = [agent.agent_id for agent in simulated_agents(100, 1)]
    assert len(set(names)) == 100
    vendors = Counter(name.split("-")[0] for name in names)
    assert max(vendors.values()) - min(vendors.values()) <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_makes_sense(seed: int) -> None:
    """Sessions begin and end in turn, calls end once after they began, no pause is negative."""
    for steps in first_steps(seed, n_steps=1_500):
        session: str | None = None
        running: set[str] = set()
        for pause, event in steps:
            assert pause >= 0
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


def test_every_kind_of_event_happens() -> None:
    """The demo shows turns, tools, errors, waits for a person, and ends."""
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


def timeline(steps: list[list[Step]]) -> list[tuple[datetime, Event]]:
    """Return the events of all agents in the order of their times."""
    found: list[tuple[datetime, Event]] = []
    for agent in steps:
        at = START
        for pause, event in agent:
            at += timedelta(seconds=pause)
            found.append((at, event))
    return sorted(found, key=lambda item: item[0])


def test_the_roster_sees_every_status() -> None:
    """Folded by the real rules, the demo shows active, idle, offline and attention."""
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
