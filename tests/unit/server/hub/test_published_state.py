"""The published state by itself: what is encoded once, and what a resuming dashboard is told."""

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
    """Return a presence that the change ``seq`` made."""
    return AgentPresence(agent_id, last_activity=T0, seq=seq, **fields)  # type: ignore[arg-type]


def test_a_full_state_is_encoded_once_for_all() -> None:
    """The same list as long as nothing changes; a filter gets one of its own."""
    published = PublishedState(Cursor(EPOCH, 1), [presence("a", 1)])
    first = published.state_messages(None, MATCH_ALL, at(0))
    assert published.state_messages(None, MATCH_ALL, at(1)) is first
    assert published.state_messages(None, Filter(agents=frozenset("b")), at(1)) != first
    published.put(presence("b", 2))
    published.advance(2)
    fresh = published.state_messages(None, MATCH_ALL, at(2))
    assert fresh is not first
    assert [agent["agent_id"] for agent in json.loads(fresh[0])["agents"]] == ["a", "b"]


def test_a_state_since_names_who_left_the_filter() -> None:
    """A dashboard must not keep an agent that its filter no longer wants."""
    active = Filter(statuses=frozenset({"active"}))
    published = PublishedState(Cursor(EPOCH, 2), [presence("a", 1), presence("b", 2)])
    published.put(presence("a", 3, status=PresenceStatus.ACTIVE))
    published.put(presence("b", 4))
    published.advance(4)
    (text,) = published.state_messages(Cursor(EPOCH, 2), active, at(0))
    state = json.loads(text)
    assert [agent["agent_id"] for agent in state["agents"]] == ["a"]
    assert state["removed"] == ["b"]


def test_an_agent_that_comes_back_is_no_longer_removed() -> None:
    """It was forgotten and reports again: the delta holds it as an agent only."""
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


def test_updates_tell_the_same_as_a_state() -> None:
    """In the order of their seq, with the removals since the cursor between them."""
    published = PublishedState(
        Cursor(EPOCH, 3), [presence("a", 1), presence("b", 2), presence("c", 3)]
    )
    published.remove("b", 4)
    published.put(presence("a", 5))
    published.advance(5)

    def told(since: Cursor | None) -> list[tuple[str, int]]:
        texts = published.update_messages(since, MATCH_ALL, at(0))
        return [(message["agent_id"], message["seq"]) for message in map(json.loads, texts)]

    assert told(None) == [("c", 3), ("a", 5)]
    assert told(Cursor(EPOCH, 3)) == [("b", 4), ("a", 5)]
    assert told(Cursor("other", 3)) == [("c", 3), ("a", 5)]


@given(gone=st.lists(st.sampled_from("abcdef"), max_size=20), kept=st.integers(1, 4))
def test_removals_are_remembered_within_bounds(gone: list[str], kept: int) -> None:
    """The latest ones, and who resumes from before them gets everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_state, "MAX_TOMBSTONES", kept)
        published = PublishedState(Cursor(EPOCH, 0), [])
        for seq, name in enumerate(gone, 1):
            published.remove(name, seq)
            published.advance(seq)
        assert len(published.removed) <= kept
        latest = {name: seq for seq, name in enumerate(gone, 1)}
        for since in range(len(gone) + 1):
            (text,) = published.state_messages(Cursor(EPOCH, since), MATCH_ALL, at(0))
            state = json.loads(text)
            missed = {name for name, seq in latest.items() if seq > since}
            assert state["full"] or set(state["removed"]) == missed
            if since == len(gone):
                assert not state["full"]
