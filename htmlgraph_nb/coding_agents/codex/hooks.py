"""Codex's hook input to events, pure.

Source of the format: the "Hooks" page of the Codex documentation
(https://developers.openai.com/codex/hooks) and codex-rs/hooks/src/schema.rs of openai/codex, as of
version 0.169, whose schemas are part of the program. It is Claude Code's form, with the model in
each input and a hook ``Interrupt``, but without a hook for a failed tool. Unknown fields are
ignored.
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
    "PermissionRequest": "permission_request",
    "Stop": "stop",
    "Interrupt": "interrupt",
    "SessionEnd": "session_end",
    "SubagentStart": "subagent_start",
    "SubagentStop": "subagent_stop",
}
# They run for every request to the model.
_IGNORED = frozenset({"PreModelRequest", "PostModelRequest"})
HOOK_FORMAT = HookFormat(
    AGENT, _TYPES, _IGNORED, EXTRA_FIELDS, QUESTION_TOOLS, reports_failure=False
)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook input reports; see ``events_from_payload``."""
    return events_from_payload(HOOK_FORMAT, payload, received_at)
