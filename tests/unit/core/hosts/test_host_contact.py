"""Agents of a host that is lost and returns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from htmlgraph_nb.core.agent_state import from_json, to_json
from htmlgraph_nb.core.hosts.host_contact import (
    UNREACHABLE,
    drop_times,
    found_host,
    keep_times,
    kept_since,
    lost_host,
    lost_since,
)
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Roster
from tests.helpers.states import fold
from tests.helpers.strategies import at

HOST = {"host_id": "abc"}


def event(kind: str, seconds: float, **fields: object) -> Event:
    """Return an event of the agent."""
    values = {"agent_id": "a", "event_type": kind, "timestamp": at(seconds), **fields}
    return Event.from_dict(values)


WORK = [
    event("host_seen", 0, extra=HOST),
    event("process_start", 0),
    event("prompt", 1),
    event("tool_start", 2, tool_name="Bash", tool_use_id="t1"),
]
LOST = event("host_lost", 30)


def test_lost_since_lasts_until_the_host_is_seen_or_the_agent_is_active() -> None:
    """A later event of the agent, or of the host, ends the loss; an earlier one does not."""
    times = lost_host({}, at(5))
    assert lost_since(times, at(4)) == at(5)
    assert lost_since(times, at(6)) is None
    assert lost_since(times, None) == at(5)
    assert lost_since(found_host(times, at(4)), None) == at(5)
    assert lost_since(found_host(times, at(5)), None) is None
    assert found_host({"title": at(1)}, at(9)) == {"title": at(1)}


def test_kept_since_returns_the_times_of_an_equal_status_only() -> None:
    """Another status or detail began after the loss."""
    times = keep_times({"title": at(1)}, "active", at(2), "tool", at(3))
    assert kept_since(times, "active", "tool") == (at(2), at(3))
    assert kept_since(times, "idle", "done") == (None, None)
    assert drop_times(times) == {"title": at(1)}


def test_host_lost_makes_an_agent_unreachable_and_its_return_makes_it_as_before() -> None:
    """Status, since, detail and process are those from before the loss."""
    before = fold(WORK).presence
    assert (before.status, before.detail, before.alive) == (PresenceStatus.ACTIVE, "tool", True)
    lost = fold([*WORK, LOST]).presence
    assert (lost.status, lost.detail, lost.alive) == (PresenceStatus.OFFLINE, UNREACHABLE, False)
    assert lost.reason == f"host unreachable since {at(30):%H:%M} UTC"
    assert lost.since == at(30)
    again = fold([*WORK, LOST, event("host_seen", 90, extra=HOST)]).presence
    assert again == replace(before, seq=again.seq)


def test_host_lost_is_over_when_the_agent_is_active_again() -> None:
    """Events of the agent that arrive after the return count before the host is up to date."""
    state = fold([*WORK, LOST, event("tool_result", 40, tool_name="Bash", tool_use_id="t1")])
    assert (state.presence.status, state.presence.detail) == (PresenceStatus.ACTIVE, "working")
    assert state.presence.since == at(1)


@pytest.mark.parametrize("end", ["session_end", "process_exit"])
def test_host_lost_leaves_an_agent_whose_session_is_over(end: str) -> None:
    """An agent that has ended stays ended."""
    presence = fold([*WORK, event(end, 10), LOST]).presence
    assert (presence.status, presence.detail) == (PresenceStatus.OFFLINE, "done")


def test_host_lost_ends_neither_subagents_nor_their_parent() -> None:
    """Nothing follows from a host that is silent."""
    roster = Roster()
    child = {"agent_id": "b", "parent_agent_id": "a"}
    events = [
        event("prompt", 1),
        event("subagent_start", 2, extra={"child_agent_id": "b"}),
        event("tool_start", 3, tool_name="Bash", **child),
        event("host_lost", 30),
        event("host_lost", 30, **child),
    ]
    for seq, one in enumerate(events, 1):
        roster.apply(one, seq, at(60))
    roster.commit()
    assert roster.implied_ends() == []
    assert {state.presence.detail for state in roster.agents.values()} == {UNREACHABLE}
    assert [one.event_type for one in roster.timers_due(at(1_000_000))] == ["forget", "forget"]


def test_to_json_keeps_the_host_and_its_loss() -> None:
    """A restart of the server changes nothing."""
    state = fold([*WORK, LOST])
    stored = from_json(state.presence, to_json(state))
    assert stored.reported_by == ("abc", at(0))
    assert fold([event("host_seen", 90, extra=HOST)], before=stored).presence.detail == "tool"
