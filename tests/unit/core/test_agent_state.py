"""AgentState: properties of the evidence, and the stored form."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.agent_state import AgentState, from_json, to_json
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.roster import timer_event
from tests.helpers.states import END, fold, has_open_work
from tests.helpers.strategies import T0, at, histories


@given(histories(), st.sampled_from(["session_end", "process_exit"]))
def test_session_end_closes_all(history: list[Event], kind: str) -> None:
    """If the end of the session is the latest event, nothing is open and the agent is offline."""
    end = Event(agent_id="claude-1", session_id="s1", event_type=kind, timestamp=END)
    state = fold([*history, end])
    calls = (state.open_tools, state.waiting_calls)
    assert not any((*calls, state.children, state.questions, state.background))
    assert not has_open_work(state)
    assert state.presence.status is PresenceStatus.OFFLINE
    assert not state.presence.attention


@given(histories(), histories(), st.integers(0, 400))
def test_stored_state_round_trip(history: list[Event], after: list[Event], shift_s: int) -> None:
    """A state read from its JSON is equal, and leads to the same states after further events."""
    state = fold(history)
    text = to_json(state)
    row = json.loads(json.dumps(state.presence.to_dict()))
    restored = from_json(AgentPresence.from_dict(row), text)
    assert restored == state
    idle = timer_event("claude-1", "idle", END, 300.0)
    assert fold([idle], before=restored) == fold([idle], before=state)
    assert fold(after, before=restored) == fold(after, before=state)


def test_stored_keys_are_those_of_older_versions() -> None:
    """Databases of older versions have these keys, whatever the names of the fields are."""
    asks = {"tool_name": "AskUserQuestion", "tool_use_id": "t1", "extra": {"asks": "input"}}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("tool_execute", {"tool_name": "Bash", "tool_use_id": "t0"}),
        ("subagent_stop", {"extra": {"child_agent_id": "c0"}}),
        ("subagent_start", {"extra": {"child_agent_id": "c1"}}),
        ("tool_start", asks),
        ("permission_request", {"tool_name": "Edit"}),
    ]
    state = fold(
        [
            Event(agent_id="a", event_type=kind, timestamp=at(second), **fields)
            for second, (kind, fields) in enumerate(steps)
        ]
    )
    stored = json.loads(to_json(state))
    names = ("closed", "stopped", "children", "open_tools", "asking", "questions")
    assert [list(stored[name]) for name in names] == [
        ["Bash", "t0"],
        ["c0"],
        ["c1"],
        ["t1"],
        ["t1"],
        ["Edit"],
    ]


def test_new_state_has_no_open_work() -> None:
    """Without events there is no session end, no turn end and no question."""
    state = AgentState.new("a", T0)
    assert not has_open_work(state)
    assert (state.session_end_reason, state.turn_end_reason, state.waiting) == (None, None, None)
    assert json.loads(to_json(state)) == {"last_event": ["", ""], "silent": True}


def test_waiting_returns_the_oldest_question() -> None:
    """Questions by event and by open call are compared by their time."""
    state = fold(
        [
            Event(agent_id="a", event_type="permission_request", tool_name="Bash", timestamp=at(2)),
            Event(
                agent_id="a",
                event_type="tool_start",
                tool_use_id="t1",
                tool_name="AskUserQuestion",
                timestamp=at(1),
                extra={"asks": "input"},
            ),
        ]
    )
    assert state.waiting == ("input", "")
    assert has_open_work(state)
