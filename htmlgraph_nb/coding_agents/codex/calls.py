"""Tool calls in Codex's session files; see ``session``. Pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..content_rules import question_extra
from ..fields import identifier, mapping, milliseconds, safe_keyword, string
from ..input_hash import HashInput
from ..session import UNKNOWN_CALL, CallKeys, OpenCall, remember_call
from .constants import QUESTION_TOOLS
from .lines import SHELL, Record, has_failed, tool_name


@dataclass(slots=True)
class Calls:
    """The open calls of one session.

    Args:
        hash_input: returns the ``input_hash`` of calls.

    Attributes:
        keys: names the calls.
        failed: ids of calls that failed although their output does not say so.
    """

    hash_input: HashInput
    failed: set[str] = field(default_factory=set)
    keys: CallKeys = field(default_factory=CallKeys)
    _open: dict[str, OpenCall] = field(default_factory=dict)

    def start(self, payload: Record, at: datetime) -> tuple[str, dict[str, Any]] | None:
        """Return the name of a call and the fields of the event of its start; None: no id."""
        call = identifier(payload.get("call_id"))
        if call is None:
            return None
        own_name = string(payload.get("name")) or safe_keyword(payload.get("type"))
        name = tool_name(own_name, payload.get("namespace"))
        hashed = self.hash_input(hook_input(name, payload))
        key = self._open.get(call, UNKNOWN_CALL).key or self.keys.key_of(call, at)
        remember_call(self._open, call, OpenCall(name, at, hashed, key))
        extra = question_extra(name, QUESTION_TOOLS)
        return key, {"tool_name": name, "tool_use_id": call, "input_hash": hashed, "extra": extra}

    def end(self, payload: Record, at: datetime) -> tuple[str, dict[str, Any]] | None:
        """Return the name of a call and the fields of the event of its end; None: no id."""
        call = identifier(payload.get("call_id"))
        if call is None:
            return None
        name, called_at, hashed, key = self._open.pop(call, UNKNOWN_CALL)
        is_error = has_failed(payload.get("output")) or call in self.failed
        return key or call, {
            "tool_name": name,
            "tool_use_id": call,
            "status": "error" if is_error else "ok",
            "duration_ms": milliseconds(called_at, at),
            "input_hash": hashed,
        }


def hook_input(name: str | None, payload: Record) -> object:
    """Return the input of a call as hooks report it; None if the line has none.

    Source: ``pre_tool_use_payload`` of the handlers in codex-rs/core/src/tools/handlers of
    openai/codex: of a shell only the command, of a patch its text, else the arguments as JSON.

    Args:
        name: the name of the tool in hooks.
        payload: the line of the call.
    """
    custom = payload.get("input")
    if custom is not None:
        return {"command": custom}
    if payload.get("type") == "local_shell_call":
        arguments: object = mapping(payload.get("action"))
    else:
        arguments = _parsed(payload.get("arguments"))
    if name != SHELL or not isinstance(arguments, dict):
        return arguments
    command = arguments.get("cmd", arguments.get("command"))
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        command = shlex.join(command)
    return {"command": command}


def _parsed(arguments: object) -> object:
    """Return the value of arguments in JSON; other text as it is."""
    if not isinstance(arguments, str):
        return arguments
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
