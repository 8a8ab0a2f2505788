"""Gemini CLI's hook input to Event, pure.

Source of the format: the "Hooks reference" of the Gemini CLI documentation
(https://geminicli.com/docs/hooks/reference), docs/hooks/reference.md of google-gemini/gemini-cli,
and the 11 hooks that the program itself lists as of version 0.61.0. It has names of its own, no ids
of tool calls, and tells of a failed tool inside of its result. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
from ..content_rules import tool_failed
from ..hooks import HookFormat, events_of
from .constants import AGENT, EXTRA_FIELDS, QUESTION_TOOLS

_COMMON_NAMES = {
    "BeforeAgent": "UserPromptSubmit",
    "AfterAgent": "Stop",
    "BeforeTool": "PreToolUse",
    "AfterTool": "PostToolUse",
}
_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "PostToolUseFailure": "tool_error",
    "PermissionRequest": "permission_request",
    "Notification": "notification",
    "Stop": "stop",
    "SessionEnd": "session_end",
}
# The first three come for each request or piece of an answer, PreCompress before each request, too,
# whether anything is compressed or not.
_SILENT = frozenset({"BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"})
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _SILENT, EXTRA_FIELDS, QUESTION_TOOLS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook of Gemini CLI is evidence for; see ``hooks.events_of``.

    Args:
        payload: the JSON object that the hook got; instead of a tool's result it may carry
            ``is_error``, true where that names an error.
    """
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = payload.get("hook_event_name")
    common = _COMMON_NAMES.get(hook, hook) if isinstance(hook, str) else hook
    if hook == "AfterTool" and tool_failed(payload):
        common = "PostToolUseFailure"
    elif hook == "Notification" and payload.get("notification_type") == "ToolPermission":
        common = "PermissionRequest"
    return events_of(HOOK_FORMAT, {**payload, "hook_event_name": common}, received_at)
