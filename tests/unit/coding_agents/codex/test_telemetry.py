"""Codex's telemetry is translated as its hooks and session files."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.signals import LogRecord
from tests.helpers.otlp_signals import (
    NOW,
)


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("exec_command", "functions", "Bash"),
        ("say_it", "mcp__demo", "mcp__demo__say_it"),
        ("view_image", "functions", "view_image"),
        ("shell", None, "Bash"),
    ],
)
def test_telemetry_tools_have_the_names_of_hooks(
    name: str, namespace: str | None, expected: str
) -> None:
    """Tool decisions and tool results have the tool names of hooks."""
    common = {"conversation.id": "s", "tool_name": name, "call_id": "c1"}
    if namespace is not None:
        common["tool_namespace"] = namespace
    for kind, extra in (("tool_result", {}), ("tool_decision", {"source": "User"})):
        values = {**common, **extra, "event.name": f"codex.{kind}"}
        (event,) = events_from_log(LogRecord({}, "", "", values, 0), received_at=NOW)
        assert event.tool_name == expected
