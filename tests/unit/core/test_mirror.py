"""Mirror: the effect of each message on a client's copy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.protocol import Cursor, presence_message, presence_to_wire
from htmlgraph_nb.errors import WireError
from tests.helpers.strategies import T0, json_values, presences

Message = dict[str, Any]


def agent(name: str, seq: int) -> AgentPresence:
    """Return a presence with this seq."""
    return AgentPresence(name, last_activity=T0, seq=seq)


def state(seq: int, *agents: AgentPresence, **fields: Any) -> Message:
    """Return a presence_state of epoch "e1", full by default."""
    rows = [presence_to_wire(agent) for agent in agents]
    message = {"type": "presence_state", "epoch": "e1", "seq": seq, "full": True}
    return {**message, "part": 1, "parts": 1, "agents": rows, "removed": [], **fields}


def update(name: str, seq: int) -> Message:
    """Return a presence_update."""
    return presence_message(agent(name, seq), T0)


def removed(name: str, seq: int) -> Message:
    """Return a presence_removed."""
    return {"type": "presence_removed", "agent_id": name, "seq": seq}


def mirror_of(*messages: Message) -> Mirror:
    """Return a mirror after these messages."""
    mirror = Mirror()
    for message in messages:
        mirror.apply(message)
    return mirror


def seqs(mirror: Mirror) -> dict[str, int]:
    """Return agent_id → seq of the agents in the mirror."""
    assert all(name == presence.agent_id for name, presence in mirror.agents.items())
    return {name: presence.seq for name, presence in mirror.agents.items()}


def test_mirror_starts_empty() -> None:
    """Before the first state there is no cursor to resume from."""
    assert Mirror().cursor is None
    assert Mirror().agents == {}


def test_full_state_replaces_all_agents() -> None:
    """A full state adds its agents and removes all others; the changed ids are returned."""
    mirror = mirror_of(state(5, agent("a", 1), agent("b", 5)))
    assert mirror.cursor == Cursor("e1", 5)
    assert mirror.apply(state(9, agent("a", 1), agent("c", 9))) == {"b", "c"}
    assert seqs(mirror) == {"a": 1, "c": 9}


def test_delta_state_changes_only_its_agents() -> None:
    """A delta changes and removes the listed agents and no others."""
    mirror = mirror_of(state(5, agent("a", 1), agent("b", 5), agent("c", 3)))
    changes = state(9, agent("a", 9), full=False, removed=["c", "unknown"])
    assert mirror.apply(changes) == {"a", "c"}
    assert seqs(mirror) == {"a": 9, "b": 5}
    assert mirror.seq == 9


def test_update_and_removal() -> None:
    """An update adds an agent, a removal deletes it; both advance the cursor."""
    mirror = mirror_of(state(1))
    assert mirror.apply(update("a", 2)) == {"a"}
    assert seqs(mirror) == {"a": 2}
    assert mirror.apply(removed("a", 3)) == {"a"}
    assert mirror.apply(removed("a", 4)) == set()
    assert (seqs(mirror), mirror.seq) == ({}, 4)


def test_duplicate_changes_are_ignored() -> None:
    """A change whose seq is not above that of the copy changes nothing."""
    mirror = mirror_of(state(5, agent("a", 5)), update("b", 6), removed("b", 7))
    for message in (update("a", 5), update("a", 3), update("b", 6), removed("a", 7)):
        assert mirror.apply(message) == set()
    assert (seqs(mirror), mirror.seq) == ({"a": 5}, 7)


def test_outdated_delta_neither_restores_nor_removes_agents() -> None:
    """A delta behind the copy restores no removed agent and removes no agent that came back."""
    delta = state(5, agent("a", 4), full=False, removed=["b"])
    mirror = mirror_of(state(1, agent("b", 1)), delta, removed("a", 6), update("b", 7))
    assert mirror.apply(delta) == set()
    assert (seqs(mirror), mirror.seq) == ({"b": 7}, 7)


def test_outdated_delta_does_not_break_a_state_in_parts() -> None:
    """A duplicate between the parts of a full state does not hide removed agents."""
    delta = state(5, full=False)
    mirror = mirror_of(state(1, agent("removed", 1)), delta)
    mirror.apply(state(8, agent("a", 8), parts=2))
    mirror.apply(delta)
    mirror.apply(state(8, agent("b", 8), part=2, parts=2))
    assert seqs(mirror) == {"a": 8, "b": 8}


def test_cursor_advances_with_the_last_part() -> None:
    """Until then the cursor requests the rest; the last part removes the missing agents."""
    mirror = mirror_of(state(5, agent("a", 1), agent("removed", 5)))
    assert mirror.apply(state(9, agent("a", 7), parts=2)) == {"a"}
    assert mirror.cursor == Cursor("e1", 5)
    assert mirror.apply(state(9, agent("b", 9), part=2, parts=2)) == {"b", "removed"}
    assert mirror.cursor == Cursor("e1", 9)


def test_delta_completes_an_interrupted_state() -> None:
    """An incomplete state is not a full state: a delta that follows completes it."""
    mirror = mirror_of(state(5, agent("a", 1), agent("b", 5)))
    mirror.apply(state(9, agent("a", 7), parts=3))
    mirror.apply(state(10, agent("c", 10), full=False))
    assert seqs(mirror) == {"a": 7, "b": 5, "c": 10}


def test_new_epoch_drops_everything() -> None:
    """Another database shares nothing with the copy, however high its seq is."""
    mirror = mirror_of(state(500, agent("a", 400), agent("b", 500)))
    assert mirror.apply(state(2, agent("b", 2), epoch="e2")) == {"a", "b"}
    assert seqs(mirror) == {"b": 2}
    assert mirror.cursor == Cursor("e2", 2)


def test_interrupted_state_of_new_epoch_resumes_from_zero() -> None:
    """After half a state of another database the cursor requests all of it, as a delta."""
    mirror = mirror_of(state(500, agent("old", 400)), state(9, agent("a", 1), epoch="e2", parts=2))
    assert mirror.cursor == Cursor("e2", 0)
    mirror.apply(state(9, agent("a", 1), agent("b", 9), epoch="e2", full=False))
    assert (seqs(mirror), mirror.seq) == ({"a": 1, "b": 9}, 9)


def test_older_full_state_wins() -> None:
    """A store that lost its last commits is authoritative: the copy goes back to it."""
    mirror = mirror_of(state(9, agent("a", 9), agent("b", 8)))
    assert mirror.apply(state(7, agent("a", 5))) == {"a", "b"}
    assert (seqs(mirror), mirror.seq) == ({"a": 5}, 7)
    assert mirror.apply(update("a", 8)) == {"a"}


def test_replayed_updates_without_a_state() -> None:
    """A client that requested updates instead of a state applies them in any order."""
    mirror = mirror_of(update("a", 9), update("b", 3))
    assert seqs(mirror) == {"a": 9, "b": 3}
    assert mirror.cursor is None


def test_update_without_seq_uses_the_seq_of_its_presence() -> None:
    """Messages of the seed have no seq."""
    message = update("a", 4)
    del message["seq"]
    assert seqs(mirror_of(state(1), message)) == {"a": 4}


@given(presences)
def test_update_stores_the_exact_presence(presence: AgentPresence) -> None:
    """The mirror contains exactly the presence of the server."""
    mirror = Mirror()
    mirror.apply(presence_message(presence, T0))
    assert mirror.agents == {presence.agent_id: presence}


@pytest.mark.parametrize(
    "message",
    [{"type": "pong"}, {"type": "broadcast_event", "seq": 99}, {"type": "subscribed"}, {}],
)
def test_other_messages_change_nothing(message: Message) -> None:
    """Messages that are not about presence leave the copy unchanged."""
    mirror = mirror_of(state(5, agent("a", 5)))
    assert mirror.apply(message) == set()
    assert (seqs(mirror), mirror.seq) == ({"a": 5}, 5)


INVALID: list[Message] = [
    {"type": "presence_update"},
    {"type": "presence_update", "presence": None, "seq": 9},
    {"type": "presence_update", "presence": {"agent_id": 3}, "seq": 9},
    {**update("a", 9), "seq": "9"},
    {**update("a", 9), "seq": float("inf")},
    {**update("a", 9), "seq": None},
    {"type": "presence_removed", "agent_id": "a"},
    {"type": "presence_removed", "seq": 9},
    {"type": "presence_removed", "agent_id": ["a"], "seq": 9},
    {"type": "presence_removed", "agent_id": "a", "seq": True},
    state(9, agents=None),
    state(9, agents=[{"agent_id": "b", "seq": 9}, {"status": "active"}]),
    state(9, agents=[{"agent_id": "b", "status": "asleep"}]),
    state(9, agents=[{"agent_id": "b", "seq": 9}, {"agent_id": "a", "seq": "9"}]),
    state(9, agent("b", 9), removed=[["a"]]),
    state(9, agent("b", 9), removed=3),
    state("nine", agent("b", 9)),  # type: ignore[arg-type]
    {"type": "presence_state", "seq": 9, "full": True, "agents": []},
    {"type": "presence_state", "epoch": "e2", "seq": 9, "agents": []},
]


@pytest.mark.parametrize("message", INVALID, ids=range(len(INVALID)))
def test_apply_rejects_an_invalid_message_as_a_whole(message: Message) -> None:
    """A missing or invalid field changes nothing, and the copy stays usable."""
    mirror = mirror_of(state(5, agent("a", 5)))
    with pytest.raises(WireError, match=f"invalid {message['type']} message"):
        mirror.apply(message)
    assert (seqs(mirror), mirror.cursor) == ({"a": 5}, Cursor("e1", 5))
    assert mirror.apply(update("a", 6)) == {"a"}


@given(
    st.sampled_from(["presence_update", "presence_removed", "presence_state"]),
    st.dictionaries(
        st.sampled_from(
            ["epoch", "seq", "full", "part", "parts", "agents", "removed", "agent_id", "presence"]
        ),
        json_values,
    ),
    st.booleans(),
)
def test_arbitrary_messages_only_raise_wire_error(
    kind: str, fields: Message, complete: bool
) -> None:
    """Any values in a presence message are applied or rejected with WireError."""
    base = {**state(9), **update("b", 9)} if complete else {}
    mirror = mirror_of(state(5, agent("a", 5)))
    try:
        mirror.apply({**base, **fields, "type": kind})
    except WireError as error:
        str(error).encode()
