"""Tool calls in Copilot CLI's session files; see ``session``. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..content_rules import question_extra
from ..fields import identifier, mapping, milliseconds
from ..input_hash import HashInput
from ..session import UNKNOWN_CALL, CallKeys, OpenCall, remember_call
from .constants import QUESTION_TOOLS
from .lines import Record, tool_name

_MAX_USER_CALLS = 1_000
_DENIALS = ("denied", "rejected")

CallEvent = tuple[str, str, dict[str, Any]]
"""Event type, name of the call in event ids, and fields of an event of a call."""


@dataclass(slots=True)
class Calls:
    """The open calls of one session.

    Args:
        hash_input: returns the ``input_hash`` of calls.
    """

    hash_input: HashInput
    _keys: CallKeys = field(default_factory=CallKeys)
    _open: dict[str, OpenCall] = field(default_factory=dict)
    _by_user: set[str] = field(default_factory=set)

    def requested_by_user(self, data: Record) -> None:
        """Record a command that the user runs with ``!``; the agent waits at its prompt."""
        call = identifier(data.get("toolCallId"))
        if call is not None and len(self._by_user) < _MAX_USER_CALLS:
            self._by_user.add(call)

    def start(self, data: Record, at: datetime) -> CallEvent | None:
        """Return the start of a call of the agent; None: it is not one."""
        call = identifier(data.get("toolCallId"))
        if call is None or call in self._by_user:
            return None
        name, hashed = tool_name(data), self.hash_input(data.get("arguments"))
        key = self._open.get(call, UNKNOWN_CALL).key or self._keys.key_of(call, at)
        remember_call(self._open, call, OpenCall(name, at, hashed, key))
        extra = question_extra(name, QUESTION_TOOLS)
        fields = {"tool_name": name, "tool_use_id": call, "input_hash": hashed, "extra": extra}
        return "tool_start", f"{key}:PreToolUse", fields

    def end(self, data: Record, at: datetime) -> CallEvent | None:
        """Return the end of a call of the agent; None: it is not one."""
        call = identifier(data.get("toolCallId"))
        if call is None or call in self._by_user or data.get("isUserRequested") is True:
            return None
        name, called_at, hashed, key = self._open.pop(call, UNKNOWN_CALL)
        fields: dict[str, Any] = {"tool_name": name, "tool_use_id": call}
        key = f"{key or call}:PostToolUse"
        failed = data.get("success") is False
        if failed and mapping(data.get("error")).get("code") in _DENIALS:
            return "answered", key, {**fields, "extra": {"decision": "denied"}}
        fields |= {
            "status": "error" if failed else "ok",
            "duration_ms": milliseconds(called_at, at),
            "input_hash": hashed,
        }
        return "tool_error" if failed else "tool_execute", key, fields

    def permission(self, data: Record) -> dict[str, Any]:
        """Return the fields of a request for permission to make an open call."""
        call = identifier(mapping(data.get("permissionRequest")).get("toolCallId"))
        name = self._open.get(call or "", UNKNOWN_CALL).name
        return {"tool_name": name, "tool_use_id": call}
