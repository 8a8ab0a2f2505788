"""What the Pi extension reports to events, pure.

``extension`` writes the extension. Pi has no hooks that start a command, so that the extension
sends inputs in the common form, with the names of Claude Code's hooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT, EXTRA_FIELDS

_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "PostToolUseFailure": "tool_error",
    "Notification": "notification",
    "ElicitationResult": "answered",
    "Stop": "stop",
    "StopFailure": "error",
    "Interrupt": "interrupt",
    "SessionEnd": "session_end",
}
_BROKEN = {"aborted": "Interrupt", "error": "StopFailure"}
HOOK_FORMAT = HookFormat(AGENT, _TYPES, extra_fields=EXTRA_FIELDS)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one report of the extension contains; see ``events_from_payload``."""
    if isinstance(payload, Mapping) and payload.get("hook_event_name") == "Stop":
        name = _BROKEN.get(str(payload.get("stop_reason")), "Stop")
        payload = {**payload, "hook_event_name": name}
    return events_from_payload(HOOK_FORMAT, payload, received_at)
