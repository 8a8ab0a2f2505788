"""Claude Code's hook input to Event, pure.

Source of the format: the "Hooks reference" of the Claude Code documentation
(https://code.claude.com/docs/en/hooks), as of version 2.1.240, and the 34 hooks that the program
itself lists as of version 2.1.332. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_of
from .constants import AGENT, EXTRA_FIELDS, QUESTION_TOOLS

_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "PostToolUseFailure": "tool_error",
    "PermissionRequest": "permission_request",
    "PermissionDenied": "answered",
    "Notification": "notification",
    "Elicitation": "notification",
    "ElicitationResult": "answered",
    "Stop": "stop",
    "StopFailure": "error",
    "SessionEnd": "session_end",
    "SubagentStart": "subagent_start",
    "SubagentStop": "subagent_stop",
    # No sign of work: the user can switch at the prompt, and a session that is resumed does.
    "PostModelSwitch": "notification",
}
# They can fire while the agent rests, tell of another agent, or repeat a tool call's own events.
_SILENT = frozenset(
    "Setup InstructionsLoaded ConfigChange CwdChanged DirectoryAdded FileChanged WorktreeCreate "
    "WorktreeRemove MessageDisplay TaskCreated TaskCompleted TeammateIdle PreModelSwitch".split()
)
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _SILENT, EXTRA_FIELDS, QUESTION_TOOLS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook of Claude Code is evidence for; see ``hooks.events_of``."""
    if isinstance(payload, Mapping) and payload.get("hook_event_name") == "PostModelSwitch":
        payload = {**payload, "model": payload.get("to_model")}
    return events_of(HOOK_FORMAT, payload, received_at)
