"""Claude Code's hook input to events, pure.

Source of the format: the "Hooks reference" of the Claude Code documentation
(https://code.claude.com/docs/en/hooks), as of version 2.1.240, and the 34 hooks that the program
itself lists as of version 2.1.332. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT, CANNOT_WORK, EXTRA_FIELDS, QUESTION_TOOLS

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
    # Not evidence of work: the user can switch at the prompt, and a resumed session does.
    "PostModelSwitch": "notification",
}
# They run while the agent is idle, report on another agent, or repeat the events of a tool call.
_IGNORED = frozenset(
    "Setup InstructionsLoaded ConfigChange CwdChanged DirectoryAdded FileChanged WorktreeCreate "
    "WorktreeRemove MessageDisplay TaskCreated TaskCompleted TeammateIdle PreModelSwitch "
    "PreSkillShellCommand".split()
)
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _IGNORED, EXTRA_FIELDS, QUESTION_TOOLS, CANNOT_WORK)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``."""
    if isinstance(payload, Mapping) and payload.get("hook_event_name") == "PostModelSwitch":
        payload = {**payload, "model": payload.get("to_model")}
    return events_from_payload(HOOK_FORMAT, payload, received_at)
