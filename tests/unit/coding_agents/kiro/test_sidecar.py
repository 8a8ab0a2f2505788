"""The file beside a session file of Kiro CLI 2 is read as far as it is valid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.kiro.sidecar import Sidecar
from tests.helpers.session_lines import START, at
from tests.helpers.strategies import json_values


def sidecar(**fields: Any) -> Sidecar:
    """Return what a file with these fields says."""
    found = Sidecar.of(json.dumps(fields).encode())
    assert found is not None
    return found


def test_sidecar_context_is_a_part_of_the_window() -> None:
    """Without a window the percentage says nothing; 0 % is not known."""
    info = {"context_window_tokens": 200_000, "model_id": "claude-sonnet-4.5"}
    state = {"model_info": info, "context_usage_percentage": 2.5}
    found = sidecar(session_state={"rts_model_state": state})
    assert (found.context_tokens, found.context_window) == (5_000, 200_000)
    assert found.model == "claude-sonnet-4.5"
    found = sidecar(session_state={"rts_model_state": {"context_usage_percentage": 2.5}})
    assert found.context_tokens is None


def test_sidecar_only_a_session_with_a_parent_is_a_subagent() -> None:
    """All sessions have the reason "subagent" but those that were rewound."""
    assert not sidecar(session_created_reason="subagent").is_child
    assert sidecar(session_created_reason="subagent", parent_session_id="x").is_child
    assert not sidecar(session_created_reason="rewind", parent_session_id="x").is_child


def test_sidecar_turns() -> None:
    """A turn is found by each of its messages, its end by the last one."""
    ended = {"message_ids": ["a", "b", 7], "end_timestamp": at(0), "result": {"Err": {"x": 1}}}
    state = {"conversation_metadata": {"user_turn_metadatas": [ended, 3, {}]}}
    found = sidecar(session_state=state)
    assert set(found.turns) == {"a", "b"}
    assert set(found.last) == {"b"}
    assert (found.last["b"].at, found.last["b"].failure) == (START, '{"x": 1}')


def test_sidecar_of_other_data_is_none() -> None:
    """It may be half written."""
    assert Sidecar.of(b"{") is Sidecar.of(b"[]") is Sidecar.of(b"\xff") is None


@settings(max_examples=50)
@given(
    st.recursive(
        json_values,
        lambda inner: st.dictionaries(
            st.sampled_from(
                "session_state rts_model_state model_info context_window_tokens title cwd "
                "context_usage_percentage conversation_metadata user_turn_metadatas message_ids "
                "end_timestamp end_reason result Err created_at".split()
            ),
            inner,
            max_size=5,
        ),
        max_leaves=12,
    )
)
def test_sidecar_of_any_json_is_read_or_none(value: Any) -> None:
    """No value makes it fail."""
    Sidecar.of(json.dumps(value).encode())
