"""Kiro CLI's hook input to events, pure.

Source of the format: https://kiro.dev/docs/cli/hooks/ and https://kiro.dev/docs/cli/v3/hooks/, and
inputs of versions 2.2 and 3 in https://github.com/kirodotdev/Kiro/issues/8430 and 10308. Version 2
writes the names of hooks in camel case; version 3 those of Claude Code. Tool calls have no ids.
Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ...core.validation import format_value
from ...errors import InvalidEvent
from ..hooks import HookFormat, events_from_payload
from .constants import AGENT
from .session import tool_name

_COMMON_NAMES = {
    "userPromptSubmit": "UserPromptSubmit",
    "preToolUse": "PreToolUse",
    "postToolUse": "PostToolUse",
    "stop": "Stop",
}
_TYPES = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "prompt",
    "PreToolUse": "tool_start",
    "PostToolUse": "tool_execute",
    "Stop": "stop",
}
# agentSpawn runs for each prompt in some versions. The others run when a file or a task changes.
_IGNORED = frozenset(
    "agentSpawn PostFileSave PostFileCreate PostFileDelete PreTaskExec PostTaskExec Manual".split()
)
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _IGNORED, reports_failure=False)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``."""
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = payload.get("hook_event_name")
    fields = dict(payload)
    if isinstance(hook, str):
        fields["hook_event_name"] = _COMMON_NAMES.get(hook, hook)
    fields["tool_name"] = tool_name(payload.get("tool_name"))
    return events_from_payload(HOOK_FORMAT, fields, received_at)
