"""What the plugin of OpenCode reports to events, pure; see ``plugin`` for its events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
from ..failures import kind_of_status
from ..fields import count
from ..hooks import HookFormat, events_from_payload
from .constants import ABORTED, AGENT, CANNOT_WORK, QUESTION_TOOLS

_COMMON_NAMES = {
    "session.created": "SessionStart",
    "session.prompt": "UserPromptSubmit",
    "session.idle": "Stop",
    "session.error": "StopFailure",
    "session.deleted": "SessionEnd",
    "permission.asked": "PermissionRequest",
    "question.asked": "Elicitation",
}
_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "Stop": "stop",
    "StopFailure": "error",
    "SessionEnd": "session_end",
    "PermissionRequest": "permission_request",
    "Elicitation": "notification",
    "session.aborted": "interrupt",
    "session.retry": "retry",
    "permission.replied": "answered",
    "question.replied": "answered",
    "question.rejected": "answered",
}
_EXTRA_FIELDS = {
    "session.retry": ("cannot_work", "attempt", "until"),
    "permission.replied": ("decision",),
}
_KINDS = ("signed_out", "rate_limited", "usage_limited", "account_on_hold", "overloaded")
HOOK_FORMAT = HookFormat(
    AGENT,
    _TYPES,
    extra_fields=_EXTRA_FIELDS,
    question_tools=QUESTION_TOOLS,
    cannot_work={kind: kind for kind in _KINDS},
)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one report of the plugin stands for; see ``events_from_payload``."""
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = payload.get("hook_event_name")
    fields = dict(payload)
    if hook == "session.error":
        error = payload.get("error")
        if error == ABORTED:
            hook = "session.aborted"
        kind = CANNOT_WORK.get(error) if isinstance(error, str) else None
        fields["error"] = kind or kind_of_status(count(payload.get("status")))
    elif hook == "permission.replied" and payload.get("reply") == "reject":
        fields["decision"] = "denied"
    fields["hook_event_name"] = _COMMON_NAMES.get(hook, hook) if isinstance(hook, str) else hook
    return events_from_payload(HOOK_FORMAT, fields, received_at)
