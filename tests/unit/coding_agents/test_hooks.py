"""The hooks of Codex and Gemini CLI: what each is evidence for, and that no input raises."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.codex import hooks as codex
from htmlgraph_nb.coding_agents.gemini import hooks as gemini
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.strategies import json_values

NOW = datetime(2025, 1, 14, 14, 50, tzinfo=UTC)
CODEX_SESSION = "0199f0b2-6a35-7e21-9d3a-5d0c6c1f4a10"
GEMINI_SESSION = "7c1de1aa-2f60-4b8c-b1e3-0a4d5e6f7a8b"


def from_codex(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook of Codex, with what each of them carries."""
    common = {
        "session_id": CODEX_SESSION,
        "turn_id": "t-1",
        "transcript_path": None,
        "cwd": "/srv/shop",
        "model": "gpt-5-codex",
        "permission_mode": "default",
    }
    payload = {**common, "hook_event_name": hook, **fields}
    return codex.events_from_hook(payload, received_at=NOW)


def from_gemini(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook of Gemini CLI, with what each of them carries."""
    common = {
        "session_id": GEMINI_SESSION,
        "transcript_path": "/srv/chat.json",
        "cwd": "/srv/shop",
        "timestamp": "2025-01-14T14:50:30.123Z",
    }
    payload = {**common, "hook_event_name": hook, **fields}
    return gemini.events_from_hook(payload, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("SessionStart", {"source": "startup"}, "session_start"),
        ("UserPromptSubmit", {"prompt": "p"}, "prompt"),
        ("PreToolUse", {"tool_name": "Bash", "tool_use_id": "c1"}, "tool_start"),
        ("PermissionRequest", {"tool_name": "Bash"}, "permission_request"),
        ("PostToolUse", {"tool_name": "Bash", "tool_use_id": "c1"}, "tool_execute"),
        ("Stop", {"stop_hook_active": False, "last_assistant_message": "x"}, "stop"),
        ("Interrupt", {}, "interrupt"),
        ("SessionEnd", {"reason": "other"}, "session_end"),
        ("PreCompact", {"trigger": "auto"}, "activity"),
        ("PostCompact", {"trigger": "auto"}, "activity"),
        ("SomethingNew", {}, "activity"),
    ],
)
def test_codex_hooks(hook: str, fields: dict[str, Any], expected: str) -> None:
    """Each hook is the event it proves, of an agent with its own name, model and project."""
    (event,) = from_codex(hook, **fields)
    assert event.event_type == expected
    assert event.agent_id == f"codex-{CODEX_SESSION}"
    assert (event.model, event.project, event.source) == ("gpt-5-codex", "shop", "codex-hook")


@pytest.mark.parametrize("hook", ["PreModelRequest", "PostModelRequest"])
def test_codex_requests_to_the_model_prove_nothing(hook: str) -> None:
    """They come many times for one answer."""
    assert from_codex(hook) == []


def test_codex_does_not_say_whether_a_tool_failed() -> None:
    """Its PostToolUse comes for both, so the outcome stays open."""
    (event,) = from_codex("PostToolUse", tool_name="Bash", tool_response="exit code 1")
    assert event.status is None


def test_codex_subagents_are_children() -> None:
    """A start tells of parent and child."""
    parent, child = from_codex("SubagentStart", agent_id="a1b2c3d4e5f60718", agent_type="explorer")
    assert (parent.event_type, child.event_type) == ("subagent_start", "prompt")
    assert child.agent_id == "codex-a1b2c3d4"
    assert child.parent_agent_id == parent.agent_id


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("SessionStart", {"source": "startup"}, ("session_start", None, None)),
        ("BeforeAgent", {"prompt": "p"}, ("prompt", None, None)),
        ("BeforeTool", {"tool_name": "read_file"}, ("tool_start", "read_file", None)),
        (
            "AfterTool",
            {"tool_name": "read_file", "tool_response": {"llmContent": "x"}},
            ("tool_execute", "read_file", "ok"),
        ),
        (
            "AfterTool",
            {"tool_name": "read_file", "tool_response": {"error": {"message": "x"}}},
            ("tool_error", "read_file", "error"),
        ),
        ("AfterTool", {"tool_name": "t", "is_error": True}, ("tool_error", "t", "error")),
        (
            "Notification",
            {"notification_type": "ToolPermission", "message": "m"},
            ("permission_request", None, None),
        ),
        ("AfterAgent", {"prompt": "p"}, ("stop", None, None)),
        ("SessionEnd", {"reason": "exit"}, ("session_end", None, None)),
    ],
)
def test_gemini_hooks(
    hook: str, fields: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    """Each hook is the event it proves; a failed tool is told by its result."""
    (event,) = from_gemini(hook, **fields)
    assert (event.event_type, event.tool_name, event.status) == expected
    assert (event.agent_id, event.source) == ("gemini-7c1de1aa", "gemini-hook")


@pytest.mark.parametrize(
    "hook", ["BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"]
)
def test_gemini_pieces_of_an_answer_prove_nothing(hook: str) -> None:
    """They come many times for one answer."""
    assert from_gemini(hook, llm_request={"model": "m"}) == []


def test_all_hooks_of_the_programs_are_known() -> None:
    """Those that Codex 0.169 has schemas for and that Gemini CLI 0.61 lists: mapped or silent."""
    listed = {
        "codex": "SessionStart SessionEnd UserPromptSubmit PreToolUse PostToolUse PreCompact "
        "PostCompact PermissionRequest SubagentStart SubagentStop Stop Interrupt",
        "gemini": "SessionStart SessionEnd BeforeAgent AfterAgent BeforeModel AfterModel "
        "BeforeToolSelection BeforeTool AfterTool Notification PreCompress",
    }
    signs_of_life = {"PreCompact", "PostCompact"}
    for agent, names in listed.items():
        for hook in names.split():
            payload = {"session_id": "s", "hook_event_name": hook, "agent_id": "a"}
            events = AGENTS[agent].events_from_hook(payload, received_at=NOW)
            unknown = {event.event_type for event in events} == {"activity"}
            assert not unknown or hook in signs_of_life, (agent, hook)


def test_no_text_of_the_conversation_reaches_an_event() -> None:
    """Prompts, inputs, results and messages stay where they are."""
    secret = "Xq7-secret"
    fields = dict.fromkeys(
        "prompt tool_input tool_response prompt_response message details "
        "last_assistant_message".split(),
        secret,
    )
    hooks = ("BeforeTool", "AfterTool", "BeforeAgent", "AfterAgent", "Notification", "PreToolUse")
    for hook in hooks:
        assert secret not in repr(from_gemini(hook, **fields))
        assert secret not in repr(from_codex(hook, **fields))


@given(
    st.sampled_from(list(AGENTS)),
    json_values
    | st.fixed_dictionaries(
        {"session_id": st.text(min_size=1) | json_values, "hook_event_name": st.text()},
        optional=dict.fromkeys(
            ("tool_name", "tool_response", "notification_type", "htmlgraph"), json_values
        ),
    ),
)
def test_no_input_raises_anything_but_a_refusal(agent: str, payload: Any) -> None:
    """Whatever comes is an event or is refused by name."""
    try:
        events = AGENTS[agent].events_from_hook(payload, received_at=NOW)
    except InvalidEvent:
        return
    for event in events:
        event.checked()
