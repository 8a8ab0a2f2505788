"""Qwen Code's hook settings: Claude Code's form, with a name and a timeout for all versions."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.qwen.settings import SETTINGS


def test_settings_time_out_after_five_seconds_in_all_versions() -> None:
    """Newer versions read 1000 and more as milliseconds, as older ones did."""
    assert SETTINGS.handler("c", "PreToolUse", False) == {
        "name": "htmlgraph",
        "type": "command",
        "command": "c",
        "timeout": 5000,
        "async": True,
    }


def test_settings_wait_for_the_last_hooks_only() -> None:
    """The process may exit after them."""
    waits = {hook for hook, wait in SETTINGS.events.items() if wait}
    assert waits == {"Stop", "StopFailure", "SessionEnd"}
    assert not {"MessageDisplay", "PostToolBatch"} & set(SETTINGS.events)
