"""Codex's hook settings: capped timeouts, and a note about trusting hooks."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.codex.settings import SETTINGS


def test_settings_cap_the_timeout_of_the_last_hooks() -> None:
    """Codex warns if these hooks request more than three seconds."""
    timeouts = {
        hook: SETTINGS.handler("c", hook, waits)["timeout"]
        for hook, waits in SETTINGS.events.items()
    }
    assert {hook for hook, timeout in timeouts.items() if timeout == 3} == {
        "Interrupt",
        "SessionEnd",
    }
    assert set(timeouts.values()) == {3, 5}


def test_settings_ask_the_user_to_trust_the_hooks() -> None:
    """Codex ignores new hooks until the user trusts them."""
    assert "/hooks" in SETTINGS.note
