"""Convert Pi's session files to events. Pure.

``~/.pi/agent/sessions/<folder>/<time>_<session>.jsonl``. Source of the format:
docs/session-format.md and src/core/session-manager.ts of the packages @mariozechner/pi-coding-agent
0.73.1 and @earendil-works/pi-coding-agent 1.6.0, which continues it; files of the versions 0.70 to
0.83 were read as well. Unknown entries and fields are ignored.

The entries are a tree: ``/tree`` goes back to an earlier entry and continues from there in the same
file. The responses on abandoned branches were billed, so the order of the file counts and not the
tree. ``/fork`` and ``/clone`` copy entries with their ids and timestamps to a new file, whose first
line names the file of the original in ``parentSession``; a copy has the event id of the original.

A response is written when it is complete, before its tools run; each result when the tool has
ended. Responses also name what extensions and compactions used: ``usage`` of the entries
``compaction``, ``branch_summary`` and ``usage`` and of tool results. Entries
``child_usage_attributed``, which another program of the family writes (Prime Agent), repeat what is
in the files of the children, and are not read.

Pi asks for no permissions, so that an agent waits for a person only in dialogs of extensions, which
the extension that ``htmlgraph-nb connect pi`` installs reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import call_key, shorten_id
from ...core.model import Event
from ..content_rules import is_question
from ..failures import failure_extra, kind_of_text, retry_extra
from ..fields import (
    count,
    identifier,
    label,
    local_project_name,
    mapping,
    milliseconds,
    safe_keyword,
    string,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import (
    GIVE_UP_AFTER_S,
    UNKNOWN_CALL,
    CallKeys,
    OpenCall,
    cached_agent_id,
    parse_record,
    remember_call,
    type_matcher,
)
from .constants import AGENT, SESSION_SOURCE
from .lines import (
    Record,
    calls_of,
    context_of,
    entry_time,
    is_retried,
    last_text,
    request_time,
    usage_fields,
)

ENTRY_TYPES = (
    *("session", "message", "model_change", "session_info"),
    *("compaction", "branch_summary", "usage"),
)
RETRY_QUIET_S = 60.0
"""Seconds without a new line after which an error counts as final, which Pi could have retried."""
_MAX_RETRIES = 3
_may_have_events = type_matcher(ENTRY_TYPES)


@dataclass(slots=True)
class PiSession:
    """Reader of one session file of Pi; see ``session.SessionReader``.

    Args:
        session_id: the session of a file without a first line, taken from its name.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (RETRY_QUIET_S, GIVE_UP_AFTER_S)

    session_id: str | None = None
    hash_input: HashInput = no_hash
    _session: str | None = None
    _agent: str = ""
    _project: str | None = None
    _cwd: str | None = None
    _at: datetime | None = None
    _forked_at: datetime | None = None
    _has_prompt: bool = False
    _in_turn: bool = False
    _n_failed: int = 0
    _failure: Event | None = None
    _calls: dict[str, OpenCall] = field(default_factory=dict)
    _call_keys: CallKeys = field(default_factory=CallKeys)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        return self.read_record(parse_record(line)) if _may_have_events(line) else []

    def read_record(self, record: Record) -> list[Event]:
        """Return the events that a line completes, given its JSON object."""
        kind = record.get("type")
        at = self._at = entry_time(record) or self._at
        if kind == "session":
            return self._start(record)
        if self._session is None:
            self._enter(identifier(self.session_id))
        if self._session is None or at is None or kind not in ENTRY_TYPES:
            return []
        key = f"{AGENT}:{identifier(record.get('id')) or ''}:{at.isoformat()}"
        message = mapping(record.get("message"))
        if self._forked_at is not None and at < self._forked_at:
            # A copy: the original counts, unless its file was deleted.
            return self._completion(record if kind != "message" else message, key, at)
        match kind:
            case "message":
                return self._message(message, key, at)
            case "model_change":
                model = string(record.get("modelId"))
                # The first one only names the model that the session begins with.
                is_change = self._has_prompt and model is not None
                return [self._event("session_info", at, key, model=model)] if is_change else []
            case "session_info":
                title = label(record.get("name"))
                return [] if title is None else [self._event("session_info", at, key, title=title)]
        return self._aside(record, key, at)

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the failure of the turn after which Pi did not repeat the request."""
        return self.finish() if quiet_s >= RETRY_QUIET_S else []

    def finish(self) -> list[Event]:
        """Return the failure of the turn that waits for a repeated request."""
        failure, self._failure = self._failure, None
        if failure is None:
            return []
        self._in_turn = False
        return [failure]

    def _start(self, record: Record) -> list[Event]:
        session, at = identifier(record.get("id")) or identifier(self.session_id), self._at
        if session is None or at is None or session == self._session:
            return []
        events = self.finish()
        self._enter(session)
        self._has_prompt, self._in_turn, self._n_failed = False, False, 0
        self._project = local_project_name(record.get("cwd"))
        self._cwd = whole_path(record.get("cwd"))
        self._forked_at = at if string(record.get("parentSession")) else None
        return [*events, self._event("session_start", at, f"{session}:SessionStart")]

    def _enter(self, session: str | None) -> None:
        self._session = session
        self._agent = "" if session is None else cached_agent_id(session, AGENT)

    def _event(self, event_type: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            agent_id=self._agent,
            event_type=event_type,
            timestamp=at,
            session_id=self._session,
            event_id=shorten_id(key),
            project=self._project,
            cwd=self._cwd,
            source=SESSION_SOURCE,
            **fields,
        )

    def _message(self, message: Record, key: str, at: datetime) -> list[Event]:
        match message.get("role"):
            case "user":
                before = self.finish()
                self._has_prompt, self._in_turn, self._n_failed = True, True, 0
                return [*before, self._event("prompt", at, key)]
            case "assistant":
                return self._response(message, key, at)
            case "toolResult":
                return self._tool_end(message, key, at)
        return []

    def _response(self, message: Record, key: str, at: datetime) -> list[Event]:
        self._failure = None
        events = self._completion(message, key, at)
        reason, calls = message.get("stopReason"), calls_of(message)
        if reason == "error":
            return [*events, *self._failed(message, key, at)]
        self._n_failed, self._in_turn = 0, False
        if reason == "aborted":
            return [*events, self._event("interrupt", at, f"{key}:Interrupt")]
        if calls:
            self._in_turn = True
            return [*events, *(start for call in calls for start in self._tool_start(call, at))]
        asks = {"question": True} if is_question(last_text(message)) else None
        return [*events, self._event("stop", at, f"{key}:Stop", extra=asks)]

    def _failed(self, message: Record, key: str, at: datetime) -> list[Event]:
        """Return the error that ended a turn, or the retry that follows if Pi makes one."""
        text = message.get("errorMessage")
        kind = kind_of_text(text)
        extra = failure_extra(kind, text, at) or None
        failure = self._event("error", at, f"{key}:Error", extra=extra)
        self._n_failed += 1
        if self._n_failed > _MAX_RETRIES or not is_retried(text):
            self._n_failed, self._in_turn = 0, False
            return [failure]
        self._failure, self._in_turn = failure, True
        extra = retry_extra(kind, self._n_failed, _MAX_RETRIES, None)
        return [self._event("retry", at, f"{key}:Retry", extra=extra)]

    def _completion(self, message: Record, key: str, at: datetime) -> list[Event]:
        """Return a completion with the usage in a message or an entry, if it has one."""
        fields = usage_fields(message.get("usage"), message)
        if fields is None:
            return []
        is_response = message.get("role") == "assistant"
        duration = count(message.get("durationMs"))
        if is_response and duration is None:
            duration = milliseconds(request_time(message), at)
        extra = without_none(
            stop_reason=safe_keyword(message.get("stopReason")),
            reasoning_tokens=count(mapping(message["usage"]).get("reasoning")) or None,
        )
        return [
            self._event(
                "completion",
                at,
                key,
                duration_ms=duration if is_response else None,
                context_tokens=context_of(fields) if is_response else None,
                extra=extra,
                **fields,
            )
        ]

    def _tool_start(self, call: Record, at: datetime) -> list[Event]:
        call_id = identifier(call.get("id"))
        if call_id is None or call_id in self._calls:
            return []
        name, hashed = string(call.get("name")), self.hash_input(call.get("arguments"))
        key = self._call_keys.key_of(call_id, at)
        remember_call(self._calls, call_id, OpenCall(name, at, hashed, key))
        fields = {"tool_name": name, "tool_use_id": call_id, "input_hash": hashed}
        return [self._event("tool_start", at, self._call_key(key, "PreToolUse"), **fields)]

    def _tool_end(self, message: Record, key: str, at: datetime) -> list[Event]:
        # What the tool used is no answer of the model, but is reported like one.
        used = self._completion(message, f"{key}:Usage", at)
        call_id = identifier(message.get("toolCallId"))
        if call_id is None:
            return used
        call = self._calls.pop(call_id, UNKNOWN_CALL)
        failed = message.get("isError") is True
        duration = count(message.get("durationMs"))
        end = self._event(
            "tool_error" if failed else "tool_execute",
            at,
            self._call_key(call.key or call_id, "PostToolUse"),
            tool_name=call.name or string(message.get("toolName")),
            tool_use_id=call_id,
            status="error" if failed else "ok",
            duration_ms=milliseconds(call.at, at) if duration is None else duration,
            input_hash=call.input_hash,
        )
        return [*used, end]

    def _call_key(self, call: str, step: str) -> str:
        return call_key(self._session or "", call, step)

    def _aside(self, record: Record, key: str, at: datetime) -> list[Event]:
        """Return the events of work beside the responses: compactions, summaries, other usage."""
        events = self._completion(record, key, at)
        if record.get("type") == "compaction":
            tokens = count(record.get("tokensBefore"))
            extra = without_none(compacted=True, pre_tokens=tokens)
            events.append(self._event("activity", at, f"{key}:Compact", extra=extra))
        if events and not self._in_turn:
            # The user ran it, or Pi itself while it waited at its prompt.
            events.append(self._event("idle", at, f"{key}:Idle"))
        return events
