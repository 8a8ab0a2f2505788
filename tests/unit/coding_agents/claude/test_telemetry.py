"""Claude Code's telemetry is translated as its hooks and session files."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.signals import LogRecord
from tests.helpers.otlp_signals import (
    NOW,
)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("mcp_tool", '{"mcp_server_name":"demo","mcp_tool_name":"say_it"}', "mcp__demo__say_it"),
        ("mcp_tool", '{"mcp_server_name":"my demo.1","mcp_tool_name":"a"}', "mcp__my_demo_1__a"),
        ("mcp_tool", '{"mcp_server_name":"demo"}', "mcp_tool"),
        ("mcp_tool", "[" * 100_000, "mcp_tool"),
        ("mcp_tool", 7, "mcp_tool"),
        ("Bash", '{"mcp_server_name":"demo","mcp_tool_name":"say_it"}', "Bash"),
    ],
)
def test_telemetry_tools_of_mcp_servers_have_their_full_names(
    name: str, parameters: object, expected: str
) -> None:
    """Tools of MCP servers have the names of hooks and session files if the log contains them."""
    values = {
        "event.name": "tool_result",
        "session.id": "s",
        "tool_use_id": "t1",
        "tool_name": name,
        "tool_parameters": parameters,
    }
    record = LogRecord({}, "com.anthropic.claude_code.events", "", values, 0)
    (event,) = events_from_log(record, received_at=NOW)
    assert event.tool_name == expected


@pytest.mark.parametrize(
    ("name", "values", "event_type", "extra"),
    [
        (
            "api_error",
            {"status_code": "401", "attempt": 1},
            "error",
            {"status_code": "401", "cannot_work": "signed_out"},
        ),
        # The exhausted retries follow.
        ("api_error", {"status_code": "529", "attempt": 11}, "activity", {"status_code": "529"}),
        ("api_error", {"status_code": "400", "attempt": 1}, "activity", {"status_code": "400"}),
        (
            "api_error",
            {"status_code": "401", "attempt": 1, "query_source": "auxiliary"},
            "activity",
            {"status_code": "401"},
        ),
        (
            "api_retries_exhausted",
            {"status_code": "529"},
            "error",
            {"status_code": "529", "cannot_work": "overloaded"},
        ),
        ("compaction", {"trigger": "auto"}, "activity", {"trigger": "auto", "compacted": True}),
        ("compaction", {"trigger": "auto", "success": "false"}, "activity", {"trigger": "auto"}),
    ],
)
def test_telemetry_of_failures_and_compactions(
    name: str, values: dict[str, object], event_type: str, extra: dict[str, object]
) -> None:
    """A request that is not repeated ends the turn; a failed compaction changes nothing."""
    attributes = {"event.name": name, "session.id": "s", **values}
    record = LogRecord({}, "com.anthropic.claude_code.events", "", attributes, 0)
    (event,) = events_from_log(record, received_at=NOW)
    assert (event.event_type, event.extra, event.agent_kind) == (event_type, extra, "claude")
