"""Gemini CLI's hook input to events, pure.

Source of the format: the "Hooks reference" of the Gemini CLI documentation
(https://geminicli.com/docs/hooks/reference), docs/hooks/reference.md of google-gemini/gemini-cli,
and the 11 hooks that the program itself lists as of version 0.61.0. Its hooks have other names than
Claude Code's, tool calls have no ids, and the result of a failed tool contains the error. Unknown
fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
from ..content_rules import tool_failed
from ..hooks import HookFormat, events_from_payload
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
# The first three run for every request or chunk of a response, PreCompress before every request,
# even if nothing is compressed.
_IGNORED = frozenset({"BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"})
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _IGNORED, EXTRA_FIELDS, QUESTION_TOOLS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``.

    Args:
        payload: the JSON object that the hook received. ``is_error`` may replace the result of a
            tool: true if the result contains an error.
    """
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = payload.get("hook_event_name")
    common = _COMMON_NAMES.get(hook, hook) if isinstance(hook, str) else hook
    if hook == "AfterTool" and tool_failed(payload):
        common = "PostToolUseFailure"
    elif hook == "Notification" and payload.get("notification_type") == "ToolPermission":
        common = "PermissionRequest"
    return events_from_payload(HOOK_FORMAT, {**payload, "hook_event_name": common}, received_at)
