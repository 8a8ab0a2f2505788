"""Mistral Vibe's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.vibe.hooks import events_from_hook
from htmlgraph_nb.core.model import Event
from tests.helpers.hook_inputs import NOW

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"


def report(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "parent_session_id": None}
    return events_from_hook({**common, "hook_event_name": hook, **fields}, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("before_tool", {}, ("tool_start", None)),
        ("after_tool", {"tool_status": "success"}, ("tool_execute", "ok")),
        ("after_tool", {"tool_status": "failure"}, ("tool_error", "error")),
        ("after_tool", {"tool_status": "cancelled"}, ("answered", None)),
        ("post_agent_turn", {}, ("stop", None)),
    ],
)
def test_hooks_report_one_event(hook: str, fields: dict[str, Any], expected: Any) -> None:
    """Tool calls have the ids of the session file."""
    (event,) = report(hook, tool_name="bash", tool_call_id="c1", **fields)
    assert (event.event_type, event.status) == expected
    if hook != "post_agent_turn":
        assert (event.tool_name, event.tool_use_id) == ("bash", "c1")
        assert event.event_id is not None
        assert event.event_id.startswith(f"{SESSION}:c1:")


def test_hooks_of_sessions_with_a_parent_are_left_to_the_files() -> None:
    """Hooks do not tell a subagent from a session that continues another one."""
    assert report("before_tool", tool_name="bash", parent_session_id="p") == []
