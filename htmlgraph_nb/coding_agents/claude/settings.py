"""Claude Code's hook settings; source: https://code.claude.com/docs/en/hooks."""

from __future__ import annotations

from ..hook_settings import HookSettings

SETTINGS = HookSettings(
    file="settings.json",
    events={
        **dict.fromkeys(
            "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure "
            "PermissionRequest PermissionDenied Notification Elicitation ElicitationResult "
            "SubagentStart SubagentStop PreCompact PostCompact PostModelSwitch".split(),
            False,
        ),
        # The process may exit right after these, and with it a hook that it does not wait for.
        **dict.fromkeys(("Stop", "StopFailure", "SessionEnd"), True),
    },
    has_http_hooks=True,
    has_statusline=True,
    note="For its usage limits and the size of the context: "
    "htmlgraph-nb connect claude --statusline",
)
