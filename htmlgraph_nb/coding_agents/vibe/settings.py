"""Mistral Vibe's hooks; source: README.md of mistralai/mistral-vibe, as of version 2.18.4."""

from __future__ import annotations

from ..hook_settings import HandlerEntry, HookSettings, command_handler


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    return command_handler(command, waits)


SETTINGS = HookSettings(
    home_variable="VIBE_HOME",
    folder=".vibe",
    file="hooks.toml",
    events={},
    handler=_handler,
)
