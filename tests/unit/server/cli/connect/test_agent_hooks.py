"""The hooks that are added to each agent's settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.cli.connect.agent_hooks import hook_groups
from tests.helpers.paths import ROOT

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"


def test_hook_groups_cover_all_claude_hooks_with_information() -> None:
    """Hooks that only show that the agent is alive are not used, except compaction."""
    expected = {"PreCompact", "PostCompact"}
    for path in sorted(PAYLOADS.glob("*.json")):
        payload = json.loads(path.read_text())
        events = events_from_hook(payload, received_at=datetime.now(UTC))
        if any(event.event_type not in ("activity", "idle") for event in events):
            expected.add(payload["hook_event_name"])
    assert set(AGENTS["claude"].hook_settings().events) == expected


def test_hook_groups_block_the_agent_only_before_its_process_may_end() -> None:
    """Other hooks run asynchronously. Gemini CLI always waits, and its timeout is in ms."""
    for name, last in (
        ("claude", {"Stop", "StopFailure", "SessionEnd"}),
        ("codex", {"Stop", "Interrupt", "SessionEnd"}),
    ):
        groups = hook_groups(AGENTS[name], "htmlgraph-hook", None)
        handlers = {event: group["hooks"][0] for event, group in groups.items()}
        assert {event for event, handler in handlers.items() if "async" not in handler} == last
        capped = {"Interrupt", "SessionEnd"} if name == "codex" else set()
        assert {event for event, handler in handlers.items() if handler["timeout"] == 3} == capped
        assert {handler["timeout"] for handler in handlers.values()} <= {3, 5}
    gemini = hook_groups(AGENTS["gemini"], "htmlgraph-hook gemini", None)
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


def test_hook_groups_over_http_are_only_for_claude() -> None:
    """Other agents have no HTTP hooks; the error says so."""
    with pytest.raises(ConfigError, match="Gemini CLI has no HTTP hooks"):
        hook_groups(AGENTS["gemini"], "htmlgraph-hook", "http://127.0.0.1:8000")
