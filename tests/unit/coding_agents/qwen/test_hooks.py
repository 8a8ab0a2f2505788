"""Qwen Code's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.qwen.hooks import events_from_hook
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.hook_inputs import NOW

SESSION = "7c1de1aa-2f60-4b8c-b1e3-0a4d5e6f7a8b"
CHILD = "general-purpose-call_8609bc56875641f48c3f922da661670b"


def report(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "permission_mode": "default"}
    return events_from_hook({**common, "hook_event_name": hook, **fields}, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("SessionStart", {"source": "startup"}, ["session_start"]),
        ("UserPromptSubmit", {"prompt": "p"}, ["prompt"]),
        ("UserPromptSubmit", {"prompt": ""}, []),
        ("UserPromptSubmit", {"is_continued": True}, []),
        ("PermissionRequest", {"tool_name": "edit"}, ["permission_request"]),
        ("PostToolUseFailure", {"tool_name": "edit"}, ["tool_error"]),
        (
            "PostToolUseFailure",
            {"tool_name": "edit", "is_interrupt": True},
            ["tool_error", "interrupt"],
        ),
        ("Stop", {"background_tasks": []}, ["stop"]),
        ("SessionEnd", {"reason": "prompt_input_exit"}, ["session_end"]),
        ("SubagentStart", {"agent_id": CHILD, "agent_type": "x"}, ["subagent_start", "prompt"]),
        ("PostToolBatch", {}, []),
        ("MessageDisplay", {}, []),
        ("SomethingNew", {}, ["activity"]),
    ],
)
def test_hooks_report_events(hook: str, fields: dict[str, Any], expected: list[str]) -> None:
    """Requests with results of tools are no prompts; pieces of a response are no events."""
    assert [event.event_type for event in report(hook, **fields)] == expected


def test_hooks_use_the_call_ids_of_the_session_file() -> None:
    """``tool_use_id`` is made up for the hook, ``tool_call_id`` is the id of the call."""
    ids = {"tool_use_id": "toolu_1796062526014_kjtb8ndh0", "tool_call_id": "call_4"}
    (event,) = report("PreToolUse", tool_name="edit", **ids)
    assert (event.tool_use_id, event.event_id) == ("call_4", f"{SESSION}:call_4:PreToolUse")
    (event,) = report("PreToolUse", tool_name="edit", tool_use_id=ids["tool_use_id"])
    assert event.tool_use_id is None


def test_hooks_say_why_a_turn_failed() -> None:
    """The kind of the error is a keyword."""
    (event,) = report("StopFailure", error="rate_limit")
    assert event.extra == {"error": "rate_limit", "cannot_work": "rate_limited"}


def test_hooks_reject_what_is_no_object() -> None:
    """The message says what was expected."""
    payload: Any = [1]
    with pytest.raises(InvalidEvent, match="expected an object"):
        events_from_hook(payload, received_at=NOW)
