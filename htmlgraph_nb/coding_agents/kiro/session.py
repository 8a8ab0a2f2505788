"""Convert the session files of Kiro CLI 2 to events. Pure.

``~/.kiro/sessions/cli/<session>.jsonl`` and ``<session>.json`` beside it (see ``sidecar``). Kiro is
not open source; the format is that of recorded files of the versions 2.5 and 2.6, and of the kinds
of lines in version 2.14 (https://github.com/ingo-eichhorst/Irrlicht, core/adapters/inbound/agents/
kirocli). Unknown lines and fields are ignored.

A turn ends with a message that calls no tools. Only prompts have a time, in whole seconds. That of
other lines is the time at which the file was written if the line is its last one, the end of the
turn in the ``.json`` file for the last message of a turn, else that of the line before. No file has
token counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ..content_rules import is_question
from ..failures import failure_extra
from ..fields import (
    identifier,
    local_project_name,
    mapping,
    mappings,
    milliseconds,
    string,
    timestamp_of_seconds,
)
from ..input_hash import HashInput, no_hash
from ..session import UNKNOWN_CALL, CallKeys, OpenCall, cached_agent_id, parse_record, remember_call
from ..titles import is_from_prompt, start_of_prompt
from .constants import AGENT, SESSION_SOURCE, TOOL_NAMES
from .sidecar import Sidecar, TurnReport

INTERRUPTED = "Response was interrupted by the user"
"""Text of the message that stands for an interrupted response."""
_SECOND, _LONGEST = timedelta(seconds=1), timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_LINE_END_BYTES = 2

FileState = tuple[datetime, int]
"""When a file was last written, and its size in bytes."""
Record = Mapping[str, Any]


def _unknown_state() -> FileState | None:
    return None


@dataclass(slots=True)
class KiroSession:
    """Reader of one session file of Kiro CLI 2; see ``session.SidecarReader``.

    Args:
        session: id of the session.
        sidecar: what the file beside it says when reading begins.
        hash_input: returns the ``input_hash`` of tool calls.
        file_state: returns the present state of the file; None: unknown.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = ()

    session: str
    sidecar: Sidecar = field(default_factory=Sidecar)
    hash_input: HashInput = no_hash
    file_state: Callable[[], FileState | None] = _unknown_state
    _at: datetime | None = None
    _is_exact: bool = False
    _read_bytes: int = 0
    _is_started: bool = False
    _is_copy: bool = False
    _prompt: str = ""
    _turn: str | None = None
    _known: tuple[object, ...] = ()
    _keys: CallKeys = field(default_factory=CallKeys)
    _open: dict[str, OpenCall] = field(default_factory=dict)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        self._read_bytes += len(line) + 1
        record = parse_record(line)
        kind, data = record.get("kind"), mapping(record.get("data"))
        read = _READERS.get(kind if isinstance(kind, str) else "")
        name = identifier(data.get("message_id"))
        if read is None or not self._set_time(data, name, is_prompt=kind == "Prompt"):
            return []
        if self._is_copied(kind):
            return []
        start = [] if self._is_started else self._start()
        return [*start, *read(self, data, name or f"{kind}:{self._read_bytes}")]

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return what ``<session>.json`` says of the session, and how its turn ended."""
        sidecar = Sidecar.of(data)
        if sidecar is None:
            # Half written: it is read again when it changes.
            return []
        self.sidecar = sidecar
        return [*self._end_by(sidecar), *self._info()] if self._is_started else []

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return no events: none depends on a later line."""
        return []

    def finish(self) -> list[Event]:
        """Return no events: none depends on a later line."""
        return []

    def _set_time(self, data: Record, name: str | None, *, is_prompt: bool) -> bool:
        """Set the time of a line; return False if none is known yet."""
        before = self._at
        prompted = timestamp_of_seconds(mapping(data.get("meta")).get("timestamp"))
        state = self.file_state()
        written = None
        if state is not None and state[1] - self._read_bytes <= _LINE_END_BYTES:
            written = state[0]
        self._is_exact = False
        if is_prompt and prompted is not None:
            at = prompted
            if written is not None and written >= prompted:
                # The rest of the second is unknown.
                at = min(written, prompted + _SECOND - _MICROSECOND)
            self._at = at if before is None or at >= before else max(at, min(before, at + _SECOND))
            return True
        report = self.sidecar.last.get(name or "", TurnReport())
        if report.at is not None and (before is None or report.at >= before):
            self._at = report.at
        elif written is not None and (before is None or before <= written <= before + _LONGEST):
            self._at, self._is_exact = written, True
        self._at = self._at or self.sidecar.created_at
        return self._at is not None

    def _is_copied(self, kind: object) -> bool:
        """Return whether a line was copied from the session that this one continues."""
        sidecar = self.sidecar
        if sidecar.parent is None or sidecar.is_child or sidecar.created_at is None:
            return False
        if kind == "Prompt" and self._at is not None:
            self._is_copy = self._at < sidecar.created_at - _SECOND
        return self._is_copy

    @property
    def _parent(self) -> str | None:
        sidecar = self.sidecar
        return (
            cached_agent_id(sidecar.parent, AGENT) if sidecar.parent and sidecar.is_child else None
        )

    def _event(self, event_type: str, key: str, **fields: Any) -> Event:
        cwd, parent = self.sidecar.cwd, self.sidecar.parent if self.sidecar.is_child else None
        return Event(
            event_type=event_type,
            timestamp=fields.pop("timestamp", self._at),
            session_id=parent or self.session,
            event_id=shorten_id(f"{self.session}:{key}"),
            project=local_project_name(cwd),
            cwd=cwd,
            source=SESSION_SOURCE,
            **{
                "agent_id": cached_agent_id(self.session, AGENT),
                "parent_agent_id": self._parent,
                **fields,
            },
        )

    def _start(self) -> list[Event]:
        self._is_started = True
        created, at = self.sidecar.created_at, self._at
        start = created if created is not None and at is not None and created <= at else at
        if (parent := self._parent) is None:
            started = self._event("session_start", "SessionStart", timestamp=start)
        else:
            extra = {"child_agent_id": cached_agent_id(self.session, AGENT)}
            ids = {"agent_id": parent, "parent_agent_id": None}
            key = "SubagentStart"
            started = self._event("subagent_start", key, timestamp=start, extra=extra, **ids)
        return [started, *self._info()]

    def _info(self) -> list[Event]:
        """Return title, folder, model and context if one of them has changed."""
        sidecar = self.sidecar
        title = sidecar.title
        if title is not None and (not self._prompt or is_from_prompt(title, self._prompt)):
            # Kiro CLI names a session after its first prompt, and prompts are not kept.
            title = None
        context = sidecar.context_tokens, sidecar.context_window
        known = (title, sidecar.cwd, sidecar.model, *context)
        if known == self._known or not any(known):
            return []
        self._known = known
        key = f"Info:{self._turn or ''}:{'' if self._at is None else self._at.isoformat()}"
        extra = None if title is None else {"title_generated": True}
        fields = {"context_tokens": context[0], "context_window": context[1], "extra": extra}
        return [self._event("session_info", key, title=title, model=sidecar.model, **fields)]

    def _prompted(self, data: Record, name: str) -> list[Event]:
        self._prompt = self._prompt or start_of_prompt(_text_of(data))
        self._turn = name
        return [self._event("prompt", f"{name}:UserPromptSubmit")]

    def _answered(self, data: Record, name: str) -> list[Event]:
        calls = [mapping(each.get("data")) for each in _blocks(data, "toolUse")]
        if calls:
            self._turn = self._turn or name
            return [event for call in calls for event in self._call_started(call)]
        text, self._turn = _text_of(data), None
        if text.strip() == INTERRUPTED:
            return [self._event("interrupt", f"{name}:Interrupt")]
        extra = {"question": True} if is_question(text) else None
        return [self._event("stop", f"{name}:Stop", extra=extra)]

    def _call_started(self, data: Record) -> list[Event]:
        call, at = identifier(data.get("toolUseId")), self._at
        if call is None or at is None:
            return []
        name, hashed = tool_name(data.get("name")), self.hash_input(data.get("input"))
        key = self._open.get(call, UNKNOWN_CALL).key or self._keys.key_of(call, at)
        started_at = at if self._is_exact else None
        remember_call(self._open, call, OpenCall(name, started_at, hashed, key))
        fields = {"tool_name": name, "tool_use_id": call, "input_hash": hashed}
        return [self._event("tool_start", f"{key}:PreToolUse", **fields)]

    def _results(self, data: Record, _name: str) -> list[Event]:
        details = mapping(data.get("results"))
        results = [mapping(each.get("data")) for each in _blocks(data, "toolResult")]
        return [event for result in results for event in self._call_ended(result, details)]

    def _call_ended(self, data: Record, details: Record) -> list[Event]:
        call = identifier(data.get("toolUseId"))
        if call is None:
            return []
        name, called_at, hashed, key = self._open.pop(call, UNKNOWN_CALL)
        fields: dict[str, Any] = {"tool_name": name, "tool_use_id": call}
        key = f"{key or call}:PostToolUse"
        if mapping(details.get(call)).get("result") == "Cancelled":
            fields["extra"] = {"decision": "cancelled"}
            return [self._event("answered", key, **fields)]
        failed = data.get("status") not in (None, "success")
        fields |= {
            "status": "error" if failed else "ok",
            "duration_ms": milliseconds(called_at, self._at) if self._is_exact else None,
            "input_hash": hashed,
        }
        return [self._event("tool_error" if failed else "tool_execute", key, **fields)]

    def _compacted(self, _data: Record, name: str) -> list[Event]:
        extra = {"hook_event_name": "PostCompact", "compacted": True}
        # At the prompt, the user has requested it.
        kind = "idle" if self._turn is None else "activity"
        return [self._event(kind, f"{name}:PostCompact", extra=extra)]

    def _cancelled(self, _data: Record, name: str) -> list[Event]:
        self._turn = None
        return [self._event("interrupt", f"{name}:Interrupt")]

    def _end_by(self, sidecar: Sidecar) -> list[Event]:
        """Return the end of a turn that has no last message, because it failed or was broken."""
        report = sidecar.turns.get(self._turn or "")
        if report is None:
            return []
        key, self._turn = f"{self._turn}:End", None
        at = report.at if report.at is not None and self._at and report.at > self._at else self._at
        self._at = at
        if report.is_broken:
            return [self._event("interrupt", key)]
        if report.failure is None or at is None:
            return [self._event("stop", key)]
        return [self._event("error", key, extra=failure_extra(None, report.failure, at) or None)]


def tool_name(value: object) -> str | None:
    """Return the name of a tool in newer session files."""
    name = string(value)
    return TOOL_NAMES.get(name or "", name)


def _blocks(data: Record, kind: str) -> list[Record]:
    return [each for each in mappings(data.get("content")) if each.get("kind") == kind]


def _text_of(data: Record) -> str:
    texts = [each.get("data") for each in _blocks(data, "text")]
    return "\n".join(text for text in texts if isinstance(text, str))


_READERS = {
    "Prompt": KiroSession._prompted,
    "AssistantMessage": KiroSession._answered,
    "ToolResults": KiroSession._results,
    "Compaction": KiroSession._compacted,
    "CancelledPrompt": KiroSession._cancelled,
}
