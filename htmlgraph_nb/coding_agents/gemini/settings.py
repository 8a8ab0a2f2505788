"""Gemini CLI's hook settings; source: https://geminicli.com/docs/hooks/reference."""

from __future__ import annotations

from ..hook_settings import HOOK_TIMEOUT_S, HandlerEntry, HookSettings


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    # Timeouts are milliseconds here.
    entry: HandlerEntry = {"name": "htmlgraph", "type": "command", "command": command}
    return {**entry, "timeout": HOOK_TIMEOUT_S * 1_000}


SETTINGS = HookSettings(
    file="settings.json",
    # BeforeModel, AfterModel and PreCompress are left out: they run for each request or chunk.
    events=dict.fromkeys(
        "SessionStart SessionEnd BeforeAgent AfterAgent BeforeTool AfterTool Notification".split(),
        True,
    ),
    handler=_handler,
)
