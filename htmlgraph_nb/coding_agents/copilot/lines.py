"""Single lines of Copilot CLI's session files; see ``session``. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ...core.ids import agent_id_of
from ..failures import kind_of_status
from ..fields import count, label, mappings, safe_keyword, string
from ..session import type_matcher
from ..titles import is_from_prompt
from .constants import AGENT, CANNOT_WORK

Record = Mapping[str, Any]
"""JSON object of a line, or its ``data``."""

TYPES = (
    *("session.start", "session.resume", "session.context_changed", "session.shutdown"),
    *("session.model_change", "session.auto_mode_resolved", "session.error"),
    *("session.compaction_start", "session.compaction_complete", "session.usage_checkpoint"),
    *("session.usage_record", "user.message", "abort"),
    *("assistant.turn_start", "assistant.message", "assistant.turn_end"),
    *("tool.user_requested", "tool.execution_start", "tool.execution_complete"),
    *("permission.requested", "permission.completed"),
    *("subagent.started", "subagent.completed", "subagent.failed"),
)
may_have_events = type_matcher(TYPES)
"""Return whether a line can have a type that is read; see ``type_matcher``."""

_HOOK_NAMES = {
    **dict.fromkeys(("bash", "powershell"), "Bash"),
    "view": "Read",
    "create": "Write",
    **dict.fromkeys(("edit", "str_replace_editor", "apply_patch"), "Edit"),
    **dict.fromkeys(("grep", "rg"), "Grep"),
    "glob": "Glob",
    "web_fetch": "WebFetch",
    "web_search": "WebSearch",
    "ask_user": "AskUserQuestion",
    "update_todo": "TodoWrite",
    "task": "Agent",
}
"""Tool → its name in hooks (https://docs.github.com/en/copilot/reference/hooks-reference)."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


def tool_name(data: Record) -> str | None:
    """Return the name of a tool in hooks; tools without one keep their own."""
    name = string(data.get("toolName"))
    return _HOOK_NAMES.get(name or "", name)


def model_name(value: object) -> str | None:
    """Return the name of a model; None for "auto", which stands for one that is not chosen yet."""
    name = string(value)
    return None if name == "auto" else name


def child_agent_id(session: str, identifier: str) -> str:
    """Return the agent id of a subagent.

    Versions before 1.0.81 identify a subagent by the tool call that started it. Gateways repeat the
    ids of calls, so such an agent id is derived from the session, too.
    """
    if not _UUID.fullmatch(identifier):
        identifier = sha256(f"{session}:{identifier}".encode()).hexdigest()
    return agent_id_of(identifier, AGENT)


def requests_tools(message: Record) -> bool:
    """Return whether a message calls tools, so that its turn is not the last one."""
    return bool(mappings(message.get("toolRequests")))


def error_kind(data: Record) -> tuple[str | None, str | None]:
    """Return the keyword of an error, and why the agent cannot work."""
    error = safe_keyword(data.get("errorType"))
    return error, CANNOT_WORK.get(error or "") or kind_of_status(count(data.get("statusCode")))


def workspace_values(data: bytes) -> dict[str, str]:
    """Return the values of ``workspace.yaml`` that are one line each; {} if it is no text."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return {}
    values = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.isidentifier() and (text := _scalar(value.strip())):
            values[name] = text
    return values


def _scalar(value: str) -> str:
    """Return a plain or quoted YAML value; "" for one that spans several lines."""
    if value.startswith('"'):
        try:
            text = json.loads(value)
        except ValueError:
            return ""
        return text if isinstance(text, str) else ""
    if value.startswith("'"):
        return value[1:-1].replace("''", "'") if value.endswith("'") else ""
    return "" if value.startswith(("|", ">", "&", "*", "!", "[", "{")) else value


def title_of(values: Mapping[str, str], prompt: str) -> tuple[str | None, bool]:
    """Return the name of a session, and whether a person gave it.

    Copilot CLI names a session after its first prompt until a model has found a better name. Such
    a name is left out, because prompts are not kept.

    Args:
        values: those of ``workspace.yaml``.
        prompt: result of ``start_of_prompt`` for the first prompt; "": it is not known yet, and
            only a name that a person gave can be distinguished from it.
    """
    title, is_named = label(values.get("name")), values.get("user_named") == "true"
    if is_named or title is None or (prompt and not is_from_prompt(title, prompt)):
        return title, is_named
    return None, False
