"""Rules that hold for the hooks of all agents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.agent_lists import WITH_HOOKS
from tests.helpers.hook_inputs import NOW, from_codex, from_gemini
from tests.helpers.strategies import json_values


def test_hooks_of_the_programs_are_known() -> None:
    """The hooks of Codex 0.169 and Gemini CLI 0.61 have an event type or are ignored."""
    listed = {
        "codex": "SessionStart SessionEnd UserPromptSubmit PreToolUse PostToolUse PreCompact "
        "PostCompact PermissionRequest SubagentStart SubagentStop Stop Interrupt",
        "gemini": "SessionStart SessionEnd BeforeAgent AfterAgent BeforeModel AfterModel "
        "BeforeToolSelection BeforeTool AfterTool Notification PreCompress",
    }
    activities = {"PreCompact", "PostCompact"}
    for agent, names in listed.items():
        for hook in names.split():
            payload = {"session_id": "s", "hook_event_name": hook, "agent_id": "a"}
            events = AGENTS[agent].events_from_hook(payload, received_at=NOW)
            unknown = {event.event_type for event in events} == {"activity"}
            assert not unknown or hook in activities, (agent, hook)


def test_hooks_keep_no_text_of_the_conversation() -> None:
    """Prompts, inputs, results and messages are dropped."""
    text = "Xq7-secret"
    fields = dict.fromkeys(
        "prompt tool_input tool_response prompt_response message details "
        "last_assistant_message".split(),
        text,
    )
    hooks = ("BeforeTool", "AfterTool", "BeforeAgent", "AfterAgent", "Notification", "PreToolUse")
    for hook in hooks:
        assert text not in repr(from_gemini(hook, **fields))
        assert text not in repr(from_codex(hook, **fields))


def test_hooks_of_subagents_that_an_agent_lacks_are_activities() -> None:
    """As any hook that is not known, in a later version say."""
    for agent in WITH_HOOKS:
        for hook in ("SubagentStart", "SubagentStop"):
            payload = {"session_id": "s", "hook_event_name": hook, "agent_id": "a"}
            for event in AGENTS[agent].events_from_hook(payload, received_at=NOW):
                assert event.checked(), agent


@given(
    st.sampled_from(WITH_HOOKS),
    json_values
    | st.fixed_dictionaries(
        {"session_id": st.text(min_size=1) | json_values, "hook_event_name": st.text()},
        optional=dict.fromkeys(
            ("tool_name", "tool_response", "notification_type", "htmlgraph"), json_values
        ),
    ),
)
def test_hooks_raise_only_invalid_event(agent: str, payload: Any) -> None:
    """Any input is read or raises InvalidEvent."""
    try:
        events = AGENTS[agent].events_from_hook(payload, received_at=NOW)
    except InvalidEvent:
        return
    for event in events:
        event.checked()


CALL_HOOKS = {
    "claude": ("PreToolUse", "PostToolUse", "PostToolUseFailure"),
    "codex": ("PreToolUse", "PostToolUse"),
    "gemini": ("BeforeTool", "AfterTool"),
}


@pytest.mark.parametrize("agent", CALL_HOOKS)
def test_hooks_report_the_hash_of_a_call(agent: str) -> None:
    """The sender computes it; only the events of the call itself have it."""
    for hook in (*CALL_HOOKS[agent], "PermissionRequest", "SessionStart", "Stop"):
        payload = {"session_id": "s", "hook_event_name": hook, "tool_use_id": "t"}
        payload["htmlgraph"] = {"input_hash": 7}
        for event in AGENTS[agent].events_from_hook(payload, received_at=NOW):
            assert event.input_hash == (7 if hook in CALL_HOOKS[agent] else None), hook


@pytest.mark.parametrize("value", ["7", -1, 2**53, 1.5, True, {"command": "ls"}])
def test_hooks_reject_another_hash(value: Any) -> None:
    """The error names the field."""
    payload = {"session_id": "s", "hook_event_name": "PreToolUse"}
    with pytest.raises(InvalidEvent) as caught:
        AGENTS["claude"].events_from_hook(
            {**payload, "htmlgraph": {"input_hash": value}}, received_at=NOW
        )
    assert caught.value.field == "htmlgraph.input_hash"
