"""Where Pi's extension is installed; source: docs/extensions.md and src/config.ts of Pi 1.6.0."""

from __future__ import annotations

from ..hook_settings import HandlerEntry, HookSettings, command_handler


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    return command_handler(command, waits)


SETTINGS = HookSettings(
    home_variable="PI_CODING_AGENT_DIR",
    folder=".pi/agent",
    file="extensions/htmlgraph.js",
    events={},
    handler=_handler,
)
