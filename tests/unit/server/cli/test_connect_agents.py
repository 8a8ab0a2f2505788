"""What is put into each agent's settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.cli.connect.agents import groups_of
from tests.helpers.paths import ROOT

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"


def test_claude_hooks_are_complete() -> None:
    """Those that say more than that the agent is alive, and compaction; no others."""
    telling = {"PreCompact", "PostCompact"}
    for path in sorted(PAYLOADS.glob("*.json")):
        payload = json.loads(path.read_text())
        events = events_from_hook(payload, received_at=datetime.now(UTC))
        if any(event.event_type not in ("activity", "idle") for event in events):
            telling.add(payload["hook_event_name"])
    assert set(AGENTS["claude"].hook_settings().events) == telling


def test_the_agent_waits_only_where_its_process_may_end() -> None:
    """Elsewhere the hook runs beside it; Gemini CLI waits always, and counts in milliseconds."""
    for name, last in (
        ("claude", {"Stop", "StopFailure", "SessionEnd"}),
        ("codex", {"Stop", "Interrupt", "SessionEnd"}),
    ):
        groups = groups_of(AGENTS[name], "htmlgraph-hook", None)
        handlers = {event: group["hooks"][0] for event, group in groups.items()}
        assert {event for event, one in handlers.items() if "async" not in one} == last
        capped = {"Interrupt", "SessionEnd"} if name == "codex" else set()
        assert {event for event, one in handlers.items() if one["timeout"] == 3} == capped
        assert {one["timeout"] for one in handlers.values()} <= {3, 5}
    gemini = groups_of(AGENTS["gemini"], "htmlgraph-hook gemini", None)
    assert gemini["AfterTool"] == {
        "hooks": [
            {
                "name": "htmlgraph",
                "type": "command",
                "command": "htmlgraph-hook gemini",
                "timeout": 5000,
            }
        ]
    }


def test_http_hooks_are_claudes_only() -> None:
    """The others have none, and say so."""
    with pytest.raises(ConfigError, match="Gemini CLI has no http hooks"):
        groups_of(AGENTS["gemini"], "htmlgraph-hook", "http://127.0.0.1:8000")
