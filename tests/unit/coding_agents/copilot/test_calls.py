"""Tool calls of a session begin and end once."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.copilot.calls import Calls
from htmlgraph_nb.coding_agents.input_hash import no_hash
from tests.helpers.session_lines import START


def test_calls_pair_ends_with_starts() -> None:
    """The end has the tool of the start; without a start it has none."""
    calls = Calls(no_hash)
    started = calls.start({"toolCallId": "c", "toolName": "view"}, START)
    ended = calls.end({"toolCallId": "c", "success": False}, START)
    assert started is not None
    assert ended is not None
    assert (started[0], started[2]["tool_name"]) == ("tool_start", "Read")
    assert (ended[0], ended[2]["status"]) == ("tool_error", "error")
    alone = calls.end({"toolCallId": "d"}, START)
    assert alone is not None
    assert alone[2]["tool_name"] is None
    assert calls.start({}, START) is calls.end({"toolCallId": 7}, START) is None


def test_calls_of_the_user_are_none_of_the_agent() -> None:
    """Neither the start nor the end is reported."""
    calls = Calls(no_hash)
    calls.requested_by_user({"toolCallId": "c"})
    assert calls.start({"toolCallId": "c"}, START) is calls.end({"toolCallId": "c"}, START) is None


def test_calls_permission_names_the_open_call() -> None:
    """A request for an unknown call has no tool."""
    calls = Calls(no_hash)
    calls.start({"toolCallId": "c", "toolName": "edit"}, START)
    wanted = {"permissionRequest": {"toolCallId": "c"}}
    assert calls.permission(wanted) == {"tool_name": "Edit", "tool_use_id": "c"}
    assert calls.permission({}) == {"tool_name": None, "tool_use_id": None}
