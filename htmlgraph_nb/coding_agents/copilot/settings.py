"""Copilot CLI's hook settings; source: content/copilot/reference/hooks-reference.md of github/docs.

Tried with version 1.0.102, which reads all files in ``hooks``, also in the form of Claude Code. A
PreToolUse command that fails denies the tool, so the command must succeed even after htmlgraph-nb
was removed.
"""

from __future__ import annotations

import os

from ..hook_settings import HOOK_TIMEOUT_S, HandlerEntry, HookSettings

_ALWAYS_SUCCEED = "; exit 0" if os.name == "nt" else " || true"


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    # There are no hooks in the background.
    return {
        "type": "command",
        "command": f"{command}{_ALWAYS_SUCCEED}",
        "timeoutSec": HOOK_TIMEOUT_S,
    }


SETTINGS = HookSettings(
    file="hooks/htmlgraph.json",
    # SubagentStart and Notification have another form in which no session is named; session files
    # report subagents. PermissionRequest runs before the rules that permit a command.
    events=dict.fromkeys(
        "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure Stop SubagentStop "
        "PreCompact SessionEnd".split(),
        True,
    ),
    handler=_handler,
    project_folder=".github",
)
