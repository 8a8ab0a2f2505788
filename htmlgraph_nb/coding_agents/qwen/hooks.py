"""Qwen Code's hook input to events, pure.

Source of the format: docs/users/features/hooks.md of QwenLM/qwen-code, and the program itself, both
as of version 0.24.4. The hooks have the names and form of Claude Code's. ``tool_use_id`` is made up
for each hook; ``tool_call_id`` is the id of the call in session files. UserPromptSubmit also runs,
with an empty prompt, when the results of tools are sent to the model. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
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
    "Stop": "stop",
    "StopFailure": "error",
    "SessionEnd": "session_end",
    "SubagentStart": "subagent_start",
    "SubagentStop": "subagent_stop",
}
# They run while the agent is idle, for each piece of a response, or repeat what other hooks report.
_IGNORED = frozenset(
    "PostToolBatch UserPromptExpansion SessionDelete MessageDisplay TodoCreated TodoCompleted "
    "InstructionsLoaded ConfigChange CwdChanged FileChanged QueryEnd TeammateIdle WorktreeCreate "
    "WorktreeRemove".split()
)
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _IGNORED, EXTRA_FIELDS, QUESTION_TOOLS, CANNOT_WORK)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``."""
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    fields = dict(payload)
    if "tool_use_id" in payload or "tool_call_id" in payload:
        fields["tool_use_id"] = payload.get("tool_call_id")
    events = events_from_payload(HOOK_FORMAT, fields, received_at)
    is_continued = payload.get("is_continued") is True or payload.get("prompt") == ""
    return [] if payload.get("hook_event_name") == "UserPromptSubmit" and is_continued else events
