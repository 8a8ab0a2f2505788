"""Codex's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.hook_inputs import CODEX_SESSION, from_codex


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
def test_hook_reports_its_event(hook: str, fields: dict[str, Any], expected: str) -> None:
    """Each hook reports its event, with the name, model and project of the agent."""
    (event,) = from_codex(hook, **fields)
    assert event.event_type == expected
    assert event.agent_id == f"codex-{CODEX_SESSION}"
    assert (event.model, event.project, event.source) == ("gpt-5-codex", "shop", "codex-hook")


@pytest.mark.parametrize("hook", ["PreModelRequest", "PostModelRequest"])
def test_hook_of_a_model_request_is_ignored(hook: str) -> None:
    """These hooks run many times for each completion."""
    assert from_codex(hook) == []


def test_hook_after_a_tool_has_no_status() -> None:
    """PostToolUse runs after success and failure, so the status is unknown."""
    (event,) = from_codex("PostToolUse", tool_name="Bash", tool_response="exit code 1")
    assert event.status is None


def test_hook_of_a_subagent_reports_parent_and_child() -> None:
    """SubagentStart reports on both agents."""
    parent, child = from_codex("SubagentStart", agent_id="a1b2c3d4e5f60718", agent_type="explorer")
    assert (parent.event_type, child.event_type) == ("subagent_start", "prompt")
    assert child.agent_id == "codex-a1b2c3d4"
    assert child.parent_agent_id == parent.agent_id
