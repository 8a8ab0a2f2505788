"""Copilot CLI's hook input to events, pure.

Source of the format: content/copilot/reference/hooks-reference.md of github/docs, and inputs of
version 1.0.102. Hooks whose names are written as those of Claude Code get the same form, without
the ids of tool calls. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT, EXTRA_FIELDS, QUESTION_TOOLS

_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "PostToolUseFailure": "tool_error",
    "Stop": "stop",
    "SessionEnd": "session_end",
    "SubagentStart": "subagent_start",
    "SubagentStop": "subagent_stop",
}
# They also run for what needs no person, or for each attempt of a request.
_IGNORED = frozenset({"PermissionRequest", "ErrorOccurred", "Notification"})
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _IGNORED, EXTRA_FIELDS, QUESTION_TOOLS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``.

    Without a terminal, SessionEnd runs after each turn with the reason "complete".
    """
    return events_from_payload(HOOK_FORMAT, payload, received_at)
