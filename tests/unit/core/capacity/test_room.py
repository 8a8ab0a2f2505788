"""Which agents leave a full roster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.capacity.room import (
    HOOK,
    PROGRAM,
    SESSION,
    agents_to_remove,
    group_of_event,
)
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from tests.helpers.strategies import at

SOURCES = {HOOK: "claude-hook", SESSION: "codex-session", PROGRAM: "sdk"}
HOOKS = {HOOK: True, SESSION: False, PROGRAM: None}
_ACTIVE, _OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.OFFLINE


def state(name: str, seconds: float, status: PresenceStatus, group: str = PROGRAM) -> AgentState:
    return AgentState(AgentPresence(name, status, last_activity=at(seconds)), hooks=HOOKS[group])


def by_id(states: list[AgentState]) -> dict[str, AgentState]:
    return {one.agent_id: one for one in states}


@pytest.mark.parametrize("group", SOURCES)
def test_group_of_event_is_read_from_the_source(group: str) -> None:
    """Telemetry and programs are one group."""
    assert group_of_event(Event(agent_id="a", source=SOURCES[group])) == group
    assert group_of_event(Event(agent_id="a", source="otlp")) == PROGRAM


def test_agents_to_remove_are_offline_and_longest_inactive() -> None:
    """Active agents stay; the agents of the events stay, and so do their parents."""
    agents = by_id(
        [
            state("old", 1, _OFFLINE),
            state("older", 0, _OFFLINE),
            state("newer", 5, _OFFLINE),
            state("busy", 0, _ACTIVE),
            state("parent", -5, _OFFLINE),
            state("own", -6, _OFFLINE),
        ]
    )
    new = [Event(agent_id="new", parent_agent_id="parent"), Event(agent_id="own")]
    assert agents_to_remove(agents, new, 2, 6) == ["older", "old"]
    assert agents_to_remove(agents, new, 9, 6) == ["older", "old", "newer"]


def test_agents_to_remove_leaves_room_for_more() -> None:
    """A hundredth of the roster leaves at once, so that not every new agent causes a search."""
    agents = by_id([state(f"a{n}", n, _OFFLINE) for n in range(1_000)])
    assert agents_to_remove(agents, [Event(agent_id="new")], 1, 1_000) == [
        f"a{n}" for n in range(10)
    ]


@pytest.mark.parametrize(("filled", "new"), [(PROGRAM, HOOK), (PROGRAM, SESSION), (HOOK, PROGRAM)])
def test_agents_to_remove_of_a_large_group_for_a_small_one(filled: str, new: str) -> None:
    """Active agents of one source cannot keep out those of another."""
    agents = by_id([state(f"a{n:02}", -n, _ACTIVE, filled) for n in range(30)])
    events = [Event(agent_id=f"new{n}", source=SOURCES[new]) for n in range(3)]
    assert agents_to_remove(agents, events, 3, 30) == ["a29", "a28", "a27"]
    same = [Event(agent_id="new", source=SOURCES[filled])]
    assert agents_to_remove(agents, same, 1, 30) == []


@given(
    st.lists(st.tuples(st.sampled_from(list(SOURCES)), st.booleans()), min_size=1, max_size=60),
    st.lists(st.sampled_from(list(SOURCES)), min_size=1, max_size=60),
)
def test_groups_keep_their_share(present: list[tuple[str, bool]], new: list[str]) -> None:
    """No group is left with less than a third of the roster because others came."""
    agents = by_id(
        [
            state(f"a{n}", n, _OFFLINE if offline else _ACTIVE, group)
            for n, (group, offline) in enumerate(present)
        ]
    )
    size = len(agents)
    events = [Event(agent_id=f"n{n}", source=SOURCES[group]) for n, group in enumerate(new)]
    removed = agents_to_remove(agents, events, len(events), size)
    assert len(set(removed)) == len(removed)
    offline = sum(is_offline for _, is_offline in present)
    assert len(removed) <= max(len(events), size // 100, 1)
    for group in SOURCES:
        before = sum(1 for name, is_offline in present if name == group and not is_offline)
        lost = sum(
            1
            for name in removed
            if present[int(name[1:])][0] == group and not present[int(name[1:])][1]
        )
        assert before - lost >= min(before, size // 3)
    assert sum(present[int(name[1:])][1] for name in removed) == min(offline, len(events))


def test_agents_to_remove_never_names_a_newcomer() -> None:
    """An agent that leaves is one that is there."""
    agents = by_id([state(name, 0, _ACTIVE, PROGRAM) for name in "acd"])
    events = [Event(agent_id="b", source="claude-hook")] * 3
    assert agents_to_remove(agents, events, 1, 3) == ["a"]
