"""Codex's hook settings; source: https://developers.openai.com/codex/hooks."""

from __future__ import annotations

from ..hook_settings import HOOK_TIMEOUT_S, HandlerEntry, HookSettings, command_handler

_CAPPED_S = 3
"""Longest timeout of these hooks; Codex warns at each start if more is requested."""
_CAPPED = frozenset({"Interrupt", "SessionEnd"})


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    return command_handler(command, waits, _CAPPED_S if hook in _CAPPED else HOOK_TIMEOUT_S)


SETTINGS = HookSettings(
    file="hooks.json",
    events={
        **dict.fromkeys(
            "SessionStart UserPromptSubmit PreToolUse PermissionRequest PostToolUse PreCompact "
            "PostCompact SubagentStart SubagentStop".split(),
            False,
        ),
        # The process may exit right after these, and with it a hook that it does not wait for.
        **dict.fromkeys(("Stop", "Interrupt", "SessionEnd"), True),
    },
    handler=_handler,
    note="Codex runs new hooks once you trust them: type /hooks in Codex.",
)
