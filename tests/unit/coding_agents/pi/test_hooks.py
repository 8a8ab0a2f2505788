"""What Pi's extension reports gives the right events."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.pi.hooks import events_from_hook
from htmlgraph_nb.core.model import Event
from tests.helpers.hook_inputs import NOW

SESSION = "01a02964-a85c-723a-86dd-e21128028d99"


def report(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one report of the extension."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "model": "gpt-5.5"}
    return events_from_hook({**common, "hook_event_name": hook, **fields}, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("SessionStart", {"source": "startup"}, "session_start"),
        ("UserPromptSubmit", {}, "prompt"),
        ("PreToolUse", {"tool_name": "bash", "tool_use_id": "c1"}, "tool_start"),
        ("PostToolUse", {"tool_name": "bash", "tool_use_id": "c1"}, "tool_execute"),
        ("PostToolUseFailure", {"tool_name": "bash", "tool_use_id": "c1"}, "tool_error"),
        ("Notification", {"notification_type": "agent_needs_input"}, "notification"),
        ("ElicitationResult", {}, "answered"),
        ("Stop", {"stop_reason": "stop"}, "stop"),
        ("Stop", {"stop_reason": "aborted"}, "interrupt"),
        ("agent_settled", {}, "stop"),
        ("StopFailure", {"error": "rate_limit"}, "error"),
        ("SessionEnd", {"reason": "quit"}, "session_end"),
    ],
)
def test_hooks_report_one_event(hook: str, fields: dict[str, Any], expected: str) -> None:
    """Each report is one event of the agent of the session."""
    (event,) = report(hook, **fields)
    assert event.event_type == expected
    assert event.agent_id == f"pi-{SESSION}"
    assert event.source == "pi-hook"


def test_hooks_say_why_a_turn_failed() -> None:
    """The extension derives a keyword from the text of the error."""
    (event,) = report("StopFailure", error="rate_limit")
    assert event.extra == {"error": "rate_limit", "cannot_work": "rate_limited"}
    (event,) = report("StopFailure")
    assert event.extra is None


def test_hooks_use_the_call_ids_of_the_session_file() -> None:
    """So that a call counts once, whichever source reports it first."""
    (event,) = report("PreToolUse", tool_name="bash", tool_use_id="call_1|fc_2")
    assert event.event_id == f"{SESSION}:call_1|fc_2:PreToolUse"
