"""Mistral Vibe's hook input to events, pure.

Source of the format: vibe/core/hooks/models.py of mistralai/mistral-vibe, as of version 2.18.4. The
hooks are experimental. ``before_tool`` runs before Vibe asks the user, so it says nothing about a
wait. A session with a parent is that of a subagent, or continues after a compaction; hooks do not
say which, so only its files are read. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT, QUESTION_TOOLS

_COMMON_NAMES = {
    "before_tool": "PreToolUse",
    "after_tool": "PostToolUse",
    "post_agent_turn": "Stop",
}
_TYPES = {
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "PostToolUseFailure": "tool_error",
    "PermissionDenied": "answered",
    "Stop": "stop",
}
_ENDS = {"failure": "PostToolUseFailure", "cancelled": "PermissionDenied"}
HOOK_FORMAT = HookFormat(AGENT, _TYPES, question_tools=QUESTION_TOOLS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``."""
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = payload.get("hook_event_name")
    common = _COMMON_NAMES.get(hook, hook) if isinstance(hook, str) else hook
    if hook == "after_tool":
        common = _ENDS.get(str(payload.get("tool_status")), common)
    fields = {**payload, "hook_event_name": common, "tool_use_id": payload.get("tool_call_id")}
    events = events_from_payload(HOOK_FORMAT, fields, received_at)
    return [] if payload.get("parent_session_id") else events
