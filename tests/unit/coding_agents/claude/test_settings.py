"""Claude Code's hook settings: all useful hooks, waiting only where the process may exit."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.claude.settings import SETTINGS


def test_settings_wait_only_for_the_last_hooks() -> None:
    """Other hooks run in the background."""
    waiting = {hook for hook, waits in SETTINGS.events.items() if waits}
    assert waiting == {"Stop", "StopFailure", "SessionEnd"}
    assert SETTINGS.handler("c", "Stop", True) == {"type": "command", "command": "c", "timeout": 5}
    assert SETTINGS.handler("c", "PreToolUse", False)["async"] is True


def test_settings_allow_http_hooks() -> None:
    """Claude Code can POST hooks by itself."""
    assert SETTINGS.has_http_hooks
