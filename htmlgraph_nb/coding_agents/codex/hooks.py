"""Codex's hook input to Event, pure.

Source of the format: the "Hooks" page of the Codex documentation
(https://developers.openai.com/codex/hooks) and codex-rs/hooks/src/schema.rs of openai/codex, as of
version 0.169, whose schemas the program carries. It is Claude Code's form with the model in each
input and the hook ``Interrupt``; a tool that fails has no hook of its own. Unknown fields are
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.model import Event
from ..hooks import HookFormat, events_of
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
# They come for each request to the model.
_SILENT = frozenset({"PreModelRequest", "PostModelRequest"})
HOOK_FORMAT = HookFormat(AGENT, _TYPES, _SILENT, EXTRA_FIELDS, QUESTION_TOOLS, tells_failure=False)


def events_from_hook(payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
    """Return the events that one hook of Codex is evidence for; see ``hooks.events_of``."""
    return events_of(HOOK_FORMAT, payload, received_at)
