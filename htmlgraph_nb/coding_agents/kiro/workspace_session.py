"""Convert the session files of Kiro CLI 3 and Kiro IDE 1 to events. Pure.

``~/.kiro/sessions/<workspace>/<session>/messages.jsonl``, with ``session.json`` beside it and the
subagents' files in ``sub-executions``. Both programs write the same form. Kiro is not open source;
the format is that of a recorded session of Kiro IDE 1.0.411 and of the program text of its agent,
version 1.0.776 (https://github.com/superbasedapp/observer, testdata/kirocli). Unknown lines and
fields are ignored.

A line is ``{"id", "timestamp", "payload": {"type", …}}``. Calls of tools are written when they end.
No file has token counts; the used part of the context is a percentage of an unknown window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ..content_rules import is_question
from ..failures import failure_extra
from ..fields import (
    count,
    identifier,
    label,
    local_project_name,
    mapping,
    mappings,
    milliseconds,
    safe_keyword,
    string,
    timestamp,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import UNKNOWN_CALL, CallKeys, OpenCall, cached_agent_id, parse_record, remember_call
from ..titles import is_from_prompt, start_of_prompt
from .constants import AGENT, SESSION_SOURCE
from .session import tool_name

_BROKEN = ("cancel", "interrupt", "abort")
_FAILED = ("error", "fail")
SESSION_FILE = "session.json"
Record = Mapping[str, Any]


@dataclass(slots=True)
class KiroWorkspaceSession:
    """Reader of one session file of Kiro CLI 3; see ``session.SidecarReader``.

    Args:
        session: id of the session, or of the subagent.
        parent: id of the session whose subagent it is; None: it is none.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = ()

    session: str
    parent: str | None = None
    hash_input: HashInput = no_hash
    _at: datetime | None = None
    _cwd: str | None = None
    _model: str | None = None
    _prompt: str = ""
    _is_open: bool = False
    _asks: bool = False
    _is_started: bool = False
    _known: tuple[object, ...] = ()
    _keys: CallKeys = field(default_factory=CallKeys)
    _open: dict[str, OpenCall] = field(default_factory=dict)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        record = parse_record(line)
        payload = mapping(record.get("payload"))
        kind = payload.get("type")
        read = _READERS.get(kind if isinstance(kind, str) else "")
        at = self._at = timestamp(record.get("timestamp")) or self._at
        if read is None or at is None:
            return []
        name = identifier(record.get("id")) or f"{kind}:{at.isoformat()}"
        start = [] if self._is_started else [self._start()]
        return [*start, *read(self, payload, name, at)]

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return title, folder and model of the session in ``session.json``."""
        try:
            record = mapping(json.loads(data))
        except (ValueError, RecursionError):
            # Half written: it is read again when it changes.
            return []
        paths = record.get("workspacePaths") or record.get("rootPaths")
        self._cwd = whole_path(paths[0] if isinstance(paths, list) and paths else None)
        self._model, title = string(record.get("modelId")), label(record.get("title"))
        if title is not None and (not self._prompt or is_from_prompt(title, self._prompt)):
            title = None
        known = (title, self._cwd, self._model)
        if known == self._known or not any(known) or not self._is_started or self.parent:
            return []
        self._known = known
        extra = None if title is None else {"title_generated": True}
        at = "" if self._at is None else self._at.isoformat()
        fields = {"title": title, "model": self._model, "extra": extra}
        return [self._event("session_info", f"Info:{at}", **fields)]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return no events: none depends on a later line."""
        return []

    def finish(self) -> list[Event]:
        """Return no events: none depends on a later line."""
        return []

    @property
    def _parent_id(self) -> str | None:
        return None if self.parent is None else cached_agent_id(self.parent, AGENT)

    def _event(self, event_type: str, key: str, **fields: Any) -> Event:
        return Event(
            event_type=event_type,
            timestamp=self._at,
            session_id=self.parent or self.session,
            event_id=shorten_id(f"{self.session}:{key}"),
            project=local_project_name(self._cwd),
            cwd=self._cwd,
            source=SESSION_SOURCE,
            **{
                "agent_id": cached_agent_id(self.session, AGENT),
                "parent_agent_id": self._parent_id,
                **fields,
            },
        )

    def _start(self) -> Event:
        self._is_started = True
        if self.parent is None:
            return self._event("session_start", "SessionStart")
        return self._child_event("subagent_start", "SubagentStart", self.session, self._parent_id)

    def _child_event(
        self, kind: str, key: str, child: str, parent: str | None, **more: Any
    ) -> Event:
        extra = {"child_agent_id": cached_agent_id(child, AGENT), **more}
        return self._event(kind, key, agent_id=parent, parent_agent_id=None, extra=extra)

    def _prompted(self, payload: Record, name: str, _at: datetime) -> list[Event]:
        content = payload.get("content")
        texts = [each.get("text") for each in mappings(content)] or [content]
        self._prompt = self._prompt or start_of_prompt(texts[0])
        self._is_open, self._asks = True, False
        return [self._event("prompt", name)]

    def _turn_started(self, _payload: Record, name: str, _at: datetime) -> list[Event]:
        was_open, self._is_open, self._asks = self._is_open, True, False
        return [] if was_open else [self._event("activity", name)]

    def _said(self, payload: Record, _name: str, _at: datetime) -> list[Event]:
        if payload.get("operationType") in (None, "Say"):
            self._asks = is_question(payload.get("content"))
        return []

    def _turn_ended(self, payload: Record, name: str, at: datetime) -> list[Event]:
        self._is_open = False
        reason = safe_keyword(payload.get("stopReason"))
        word = (reason or "").lower()
        extra = without_none(reason=None if reason == "end_turn" else reason)
        if any(part in word for part in _BROKEN):
            return [self._event("interrupt", name, extra=extra)]
        if any(part in word for part in _FAILED):
            return [self._event("error", name, extra=extra)]
        asks = {"question": True} if self._asks else {}
        return [self._event("stop", name, extra={**(extra or {}), **asks} or None)]

    def _failed(self, payload: Record, name: str, at: datetime) -> list[Event]:
        self._is_open = False
        text = payload.get("message", payload.get("content"))
        return [self._event("error", name, extra=failure_extra(None, text, at) or None)]

    def _called(self, payload: Record, _name: str, at: datetime) -> list[Event]:
        call = identifier(payload.get("toolCallId"))
        if call is None:
            return []
        tool, hashed = tool_name(payload.get("toolName")), self.hash_input(payload.get("args"))
        key = self._open.get(call, UNKNOWN_CALL).key or self._keys.key_of(call, at)
        remember_call(self._open, call, OpenCall(tool, at, hashed, key))
        fields = {"tool_name": tool, "tool_use_id": call, "input_hash": hashed}
        return [self._event("tool_start", f"{key}:PreToolUse", **fields)]

    def _returned(self, payload: Record, _name: str, at: datetime) -> list[Event]:
        call = identifier(payload.get("toolCallId"))
        if call is None:
            return []
        tool, called_at, hashed, key = self._open.pop(call, UNKNOWN_CALL)
        failed = payload.get("success") is False
        duration = count(payload.get("durationMs"))
        if duration is None and called_at != at:
            duration = milliseconds(called_at, at)
        fields = {
            "tool_name": tool,
            "tool_use_id": call,
            "status": "error" if failed else "ok",
            "duration_ms": duration,
            "input_hash": hashed,
        }
        kind = "tool_error" if failed else "tool_execute"
        return [self._event(kind, f"{key or call}:PostToolUse", **fields)]

    def _asked(self, payload: Record, name: str, _at: datetime) -> list[Event]:
        if payload.get("interactionType") in (None, "tool_approval"):
            return [self._event("permission_request", name)]
        extra = {"notification_type": "agent_needs_input"}
        return [self._event("notification", name, extra=extra)]

    def _resolved(self, _payload: Record, name: str, _at: datetime) -> list[Event]:
        return [self._event("answered", name)]

    def _compacted(self, payload: Record, name: str, _at: datetime) -> list[Event]:
        if payload.get("kind") != "summarization":
            # The user went back to an earlier message.
            return []
        extra = {"hook_event_name": "PostCompact", "compacted": True}
        return [self._event("activity" if self._is_open else "idle", name, extra=extra)]

    def _child_started(self, payload: Record, name: str, _at: datetime) -> list[Event]:
        child = identifier(payload.get("subSessionId"))
        if child is None:
            return []
        own = cached_agent_id(self.session, AGENT)
        start = self._child_event("subagent_start", name, child, own)
        if (title := label(payload.get("subAgentName"))) is None:
            return [start]
        ids = {"agent_id": cached_agent_id(child, AGENT), "parent_agent_id": own}
        extra = {"title_default": True}
        return [
            start,
            self._event("session_info", f"{name}:Title", title=title, extra=extra, **ids),
        ]

    def _child_ended(self, payload: Record, name: str, _at: datetime) -> list[Event]:
        child = identifier(payload.get("subSessionId"))
        if child is None:
            return []
        own = cached_agent_id(self.session, AGENT)
        stop = self._child_event("subagent_stop", name, child, own)
        ids = {"agent_id": cached_agent_id(child, AGENT), "parent_agent_id": own}
        return [stop, self._event("session_end", f"{name}:End", **ids)]


_READERS = {
    "user": KiroWorkspaceSession._prompted,
    "turn_start": KiroWorkspaceSession._turn_started,
    "assistant": KiroWorkspaceSession._said,
    "turn_end": KiroWorkspaceSession._turn_ended,
    "error": KiroWorkspaceSession._failed,
    "tool_call": KiroWorkspaceSession._called,
    "tool_result": KiroWorkspaceSession._returned,
    "pending_interaction": KiroWorkspaceSession._asked,
    "interaction_resolved": KiroWorkspaceSession._resolved,
    "tombstone": KiroWorkspaceSession._compacted,
    "sub_agent_start": KiroWorkspaceSession._child_started,
    "sub_agent_complete": KiroWorkspaceSession._child_ended,
}
