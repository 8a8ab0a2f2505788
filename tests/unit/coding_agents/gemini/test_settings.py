"""Gemini CLI's hook settings: named entries, timeouts in milliseconds, no background hooks."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.gemini.settings import SETTINGS


def test_settings_use_milliseconds_and_a_name() -> None:
    """Gemini CLI lists hooks by name and always waits for them."""
    assert all(SETTINGS.events.values())
    assert SETTINGS.handler("c", "AfterTool", True) == {
        "name": "htmlgraph",
        "type": "command",
        "command": "c",
        "timeout": 5000,
    }


def test_settings_leave_out_hooks_of_each_request() -> None:
    """Hooks that run for every request or chunk would slow the agent down."""
    assert not {"BeforeModel", "AfterModel", "PreCompress"} & set(SETTINGS.events)
