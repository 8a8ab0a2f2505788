"""Gemini CLI's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.hook_inputs import from_gemini


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
def test_hook_reports_its_event(
    hook: str, fields: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    """Each hook reports its event; the result of a failed tool contains the error."""
    (event,) = from_gemini(hook, **fields)
    assert (event.event_type, event.tool_name, event.status) == expected
    assert (event.agent_id, event.source) == ("gemini-7c1de1aa", "gemini-hook")


@pytest.mark.parametrize(
    "hook", ["BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"]
)
def test_hook_of_a_chunk_is_ignored(hook: str) -> None:
    """These hooks run many times for each completion."""
    assert from_gemini(hook, llm_request={"model": "m"}) == []
