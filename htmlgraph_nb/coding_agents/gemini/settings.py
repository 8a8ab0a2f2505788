"""Gemini CLI's hook settings; source: https://geminicli.com/docs/hooks/reference."""

from __future__ import annotations

from ..hook_settings import TIMEOUT_S, Handler, HookSettings


def _handler(command: str, hook: str, waits: bool) -> Handler:
    # Timeouts are milliseconds here.
    entry: Handler = {"name": "htmlgraph", "type": "command", "command": command}
    return {**entry, "timeout": TIMEOUT_S * 1_000}


SETTINGS = HookSettings(
    home_variable="",
    folder=".gemini",
    file="settings.json",
    # BeforeModel, AfterModel and PreCompress are left out: they run for each request or chunk.
    events=dict.fromkeys(
        "SessionStart SessionEnd BeforeAgent AfterAgent BeforeTool AfterTool Notification".split(),
        True,
    ),
    handler=_handler,
)
