"""What the Pi extension reports to events, pure.

Pi has no hooks that start a command: the extension in ``settings`` sends inputs in the common form,
with the names of Claude Code's hooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT, CANNOT_WORK, EXTRA_FIELDS

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
HOOK_FORMAT = HookFormat(AGENT, _TYPES, extra_fields=EXTRA_FIELDS, cannot_work=CANNOT_WORK)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one report of the extension contains; see ``events_from_payload``."""
    name = payload.get("hook_event_name") if isinstance(payload, Mapping) else None
    if name in ("Stop", "agent_settled"):
        # Extensions of others report Pi's own name.
        is_aborted = payload.get("stop_reason") == "aborted"
        payload = {**payload, "hook_event_name": "Interrupt" if is_aborted else "Stop"}
    return events_from_payload(HOOK_FORMAT, payload, received_at)
