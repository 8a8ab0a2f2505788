"""PublishedState: shared encoding and the messages for resuming dashboards."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.protocol import MATCH_ALL, Cursor, Filter
from htmlgraph_server.hub import published_state
from htmlgraph_server.hub.published_state import PublishedState
from tests.helpers.strategies import T0, at

EPOCH = "e0"


def presence(agent_id: str, seq: int, **fields: object) -> AgentPresence:
    """Return a presence as of the change ``seq``."""
    return AgentPresence(agent_id, last_activity=T0, seq=seq, **fields)  # type: ignore[arg-type]


def test_full_state_is_encoded_once() -> None:
    """The same list is returned until something changes; a filter gets a list of its own."""
    published = PublishedState(Cursor(EPOCH, 1), [presence("a", 1)])
    first = published.state_messages(None, MATCH_ALL, at(0))
    assert published.state_messages(None, MATCH_ALL, at(1)) is first
    assert published.state_messages(None, Filter(agents=frozenset("b")), at(1)) != first
    published.put(presence("b", 2))
    published.advance(2)
    second = published.state_messages(None, MATCH_ALL, at(2))
    assert second is not first
    assert [agent["agent_id"] for agent in json.loads(second[0])["agents"]] == ["a", "b"]


def test_partial_state_removes_agents_that_left_the_filter() -> None:
    """A dashboard must not keep an agent that its filter no longer matches."""
    active = Filter(statuses=frozenset({"active"}))
    published = PublishedState(Cursor(EPOCH, 2), [presence("a", 1), presence("b", 2)])
    published.put(presence("a", 3, status=PresenceStatus.ACTIVE))
    published.put(presence("b", 4))
    published.advance(4)
    (text,) = published.state_messages(Cursor(EPOCH, 2), active, at(0))
    state = json.loads(text)
    assert [agent["agent_id"] for agent in state["agents"]] == ["a"]
    assert state["removed"] == ["b"]


def test_returning_agent_is_no_longer_removed() -> None:
    """An agent that was forgotten and reports again is listed as an agent only."""
    published = PublishedState(Cursor(EPOCH, 1), [presence("a", 1)])
    entry = published.remove("a", 2)
    assert entry is not None
    assert entry.presence.seq == 1
    assert published.remove("a", 2) is None
    published.put(presence("a", 3))
    published.advance(3)
    (text,) = published.state_messages(Cursor(EPOCH, 1), MATCH_ALL, at(0))
    state = json.loads(text)
    assert ([agent["seq"] for agent in state["agents"]], state["removed"]) == ([3], [])


def test_update_messages_are_equivalent_to_state() -> None:
    """Updates are ordered by seq and include the removals since the cursor."""
    published = PublishedState(
        Cursor(EPOCH, 3), [presence("a", 1), presence("b", 2), presence("c", 3)]
    )
    published.remove("b", 4)
    published.put(presence("a", 5))
    published.advance(5)

    def updates(since: Cursor | None) -> list[tuple[str, int]]:
        messages = published.update_messages(since, MATCH_ALL, at(0))
        return [(message["agent_id"], message["seq"]) for message in map(json.loads, messages)]

    assert updates(None) == [("c", 3), ("a", 5)]
    assert updates(Cursor(EPOCH, 3)) == [("b", 4), ("a", 5)]
    assert updates(Cursor("other", 3)) == [("c", 3), ("a", 5)]


@given(removals=st.lists(st.sampled_from("abcdef"), max_size=20), kept=st.integers(1, 4))
def test_tombstones_are_bounded(removals: list[str], kept: int) -> None:
    """The latest are kept; a cursor from before them gets the full state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_state, "MAX_TOMBSTONES", kept)
        published = PublishedState(Cursor(EPOCH, 0), [])
        for seq, name in enumerate(removals, 1):
            published.remove(name, seq)
            published.advance(seq)
        assert len(published.removed) <= kept
        latest = {name: seq for seq, name in enumerate(removals, 1)}
        for since in range(len(removals) + 1):
            (text,) = published.state_messages(Cursor(EPOCH, since), MATCH_ALL, at(0))
            state = json.loads(text)
            missed = {name for name, seq in latest.items() if seq > since}
            assert state["full"] or set(state["removed"]) == missed
            if since == len(removals):
                assert not state["full"]
