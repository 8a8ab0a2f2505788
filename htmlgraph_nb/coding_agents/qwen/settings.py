"""Qwen Code's hook settings; source: docs/users/features/hooks.md of QwenLM/qwen-code, 0.24.4."""

from __future__ import annotations

from ..hook_settings import HOOK_TIMEOUT_S, HandlerEntry, HookSettings, command_handler


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    # Timeouts were milliseconds; since they are seconds, 1000 and more still are milliseconds.
    return {"name": "htmlgraph", **command_handler(command, waits, HOOK_TIMEOUT_S * 1_000)}


SETTINGS = HookSettings(
    file="settings.json",
    events={
        **dict.fromkeys(
            "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure "
            "PermissionRequest PermissionDenied Notification SubagentStart SubagentStop "
            "PreCompact PostCompact".split(),
            False,
        ),
        # The process may exit right after these, and with it a hook that it does not wait for.
        **dict.fromkeys(("Stop", "StopFailure", "SessionEnd"), True),
    },
    handler=_handler,
)
