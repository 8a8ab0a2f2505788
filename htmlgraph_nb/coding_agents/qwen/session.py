"""Convert Qwen Code's session files to events. Pure.

``~/.qwen/projects/<folder>/chats/<session>.jsonl`` holds a session, ``subagents/<session>/
agent-<id>.jsonl`` a subagent, and ``agent-<id>.meta.json`` beside it what the subagent is for and
how it ended. Source of the format: chatRecordingService.ts, agent-transcript.ts and
sessionService.ts in packages/core/src of QwenLM/qwen-code, as of version 0.24.4, and files that
this version wrote. Unknown lines and fields are ignored.

A response is one line, written before its tools run; that of a subagent is a line for the text and
one for each call. The prompt's tokens include the cached ones. If a response is written again, its
counts include those of the first line. ``system`` lines of the subtype ``ui_telemetry`` report the
durations of requests and calls, and the requests that failed, also those that are repeated.
``/branch`` copies lines to another session, each with the session and id of the original.

The file does not show that the agent waits for a permission, or that the user interrupted a
response; hooks report the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import ClassVar

from ...core.ids import call_key
from ...core.model import Event
from ..content_rules import is_question, question_extra
from ..failures import failure_extra, kind_of_status, kind_of_text, retry_extra
from ..fields import (
    branch_name,
    count,
    identifier,
    label,
    local_project_name,
    mapping,
    safe_keyword,
    string,
    timestamp,
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
from .constants import AGENT, QUESTION_TOOLS
from .line_context import QwenLine
from .records import (
    Record,
    calls_of,
    growth,
    is_exit,
    is_retried,
    last_text,
    results_of,
    telemetry_of,
    usage_of,
)

TURN_QUIET_S = 0.5
"""Seconds of quiet after which the text of a subagent counts as its last: calls follow faster."""
RETRY_QUIET_S = 90.0
"""Seconds without a new line after which an error counts as final that could have been retried."""
_may_have_events = type_matcher(("user", "assistant", "tool_result", "system"))
_ENDED = frozenset({"completed", "failed", "cancelled"})
_MAX_DURATIONS = 1_000
_TURN_STARTS = ("cron", "notification", "goal_runtime")
"""Subtypes of messages that start a turn without a person."""


def _nothing() -> Record:
    return {}


@dataclass(slots=True)
class QwenSession:
    """Reader of one session file of Qwen Code; see ``session.SidecarReader``.

    Args:
        session_id: the session of lines without a session id, taken from the name of the file.
        subagent: if this is the file of a subagent, returns its ``meta.json``.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (TURN_QUIET_S, RETRY_QUIET_S, GIVE_UP_AFTER_S)

    session_id: str | None = None
    subagent: Callable[[], Record] = _nothing
    hash_input: HashInput = no_hash
    _model: str | None = None
    _at: datetime | None = None
    _project: str | None = None
    _started: str | None = None
    _line: QwenLine | None = None
    _title: str | None = None
    _turn_end: Event | None = None
    _failure: Event | None = None
    _n_failed: int = 0
    _answer: dict[str, int] | None = None
    _request_ms: int | None = None
    _durations: dict[str, int] = field(default_factory=dict)
    _calls: dict[str, OpenCall] = field(default_factory=dict)
    _call_keys: CallKeys = field(default_factory=CallKeys)
    _meta: str = ""

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        return self.read_record(parse_record(line)) if _may_have_events(line) else []

    def read_record(self, record: Record) -> list[Event]:
        """Return the events that a line completes, given its JSON object."""
        line = self._context(record)
        if line is None:
            return []
        events = self._start(record, line)
        match record.get("type"):
            case "user":
                return [*events, *self._user(record, line)]
            case "assistant":
                return [*events, *self._response(record, line)]
            case "tool_result":
                return [*events, *self._results(record, line)]
            case "system":
                return [*events, *self._system(record, line)]
        return events

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return the title and the end of a subagent, which its ``meta.json`` names."""
        line = self._line
        try:
            meta = mapping(json.loads(data))
        except (ValueError, RecursionError):
            return []
        if line is None or line.parent is None:
            return []
        title, kind = label(meta.get("description")), label(meta.get("agentType"))
        events = []
        shown = title or kind
        if shown is not None and shown != self._title:
            self._title = shown
            extra = {"title_generated" if title else "title_default": True}
            digest = sha256(shown.encode("utf-8", "replace")).hexdigest()[:16]
            key = line.named(f"Title:{digest}")
            events.append(line.event("session_info", key, title=shown, extra=extra))
        status = meta.get("status")
        updated_at = meta.get("lastUpdatedAt")
        if status in _ENDED and self._meta != updated_at:
            self._meta = str(updated_at)
            at = max(timestamp(updated_at) or line.at, line.at)
            events += self._child_end(replace(line, at=at), str(status))
        return events

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the end of the turn, or its failure if the request was not repeated."""
        if quiet_s >= RETRY_QUIET_S:
            return self.finish()
        return self._end_turn() if quiet_s >= TURN_QUIET_S else []

    def finish(self) -> list[Event]:
        """Return the end of the turn that waits for a line that may never come."""
        failure, self._failure = self._failure, None
        return [*self._end_turn(), *([] if failure is None else [failure])]

    def _context(self, record: Record) -> QwenLine | None:
        session = identifier(record.get("sessionId")) or identifier(self.session_id)
        at = self._at = timestamp(record.get("timestamp")) or self._at
        if session is None or at is None:
            return None
        if self._project is None:
            self._project = local_project_name(record.get("cwd"))
        child = identifier(record.get("agentId")) if record.get("isSidechain") is True else None
        main = cached_agent_id(session, AGENT)
        origin = mapping(record.get("forkedFrom"))
        uuid = identifier(origin.get("messageUuid")) or identifier(record.get("uuid"))
        self._line = QwenLine(
            agent_id=main if child is None else cached_agent_id(child, AGENT),
            parent=None if child is None else main,
            session=session,
            origin=identifier(origin.get("sessionId")),
            uuid=uuid or f"{session}:{at.isoformat()}",
            at=at,
            project=self._project,
            branch=branch_name(record.get("gitBranch")),
            cwd=whole_path(record.get("cwd")),
        )
        return self._line

    def _start(self, record: Record, line: QwenLine) -> list[Event]:
        """Return the start of the session or subagent if this is its first line."""
        if line.agent_id == self._started:
            return []
        self._started = line.agent_id
        if line.parent is not None:
            # The lines of a subagent name no model; it usually has its parent's.
            meta = self.subagent()
            flags = mapping(meta.get("persistedCliFlags"))
            self._model = string(meta.get("model")) or string(flags.get("model"))
            extra = without_none(
                child_agent_id=line.agent_id, agent_type=string(record.get("agentName"), 128)
            )
            own = line.of_parent()
            return [
                own.event("subagent_start", f"{own.session}:{line.agent_id}:Start", extra=extra)
            ]
        extra = without_none(version=safe_keyword(record.get("version")))
        return [line.event("session_start", f"{line.session}:SessionStart", extra=extra)]

    def _user(self, record: Record, line: QwenLine) -> list[Event]:
        if results_of(record):
            # Older versions write results as messages of the user.
            return self._results(record, line)
        before, subtype = self.finish(), record.get("subtype")
        self._answer, self._n_failed = None, 0
        if line.origin is not None:
            return before
        if subtype in _TURN_STARTS:
            return [*before, line.event("activity", line.key("Work"))]
        return [*before, line.event("prompt", line.key())]

    def _response(self, record: Record, line: QwenLine) -> list[Event]:
        self._failure, self._turn_end, self._n_failed = None, None, 0
        events = self._completion(record, line)
        if line.origin is not None:
            return events
        calls = calls_of(record)
        if calls:
            return [*events, *(start for call in calls for start in self._tool_start(call, line))]
        text = last_text(record)
        if text is None and usage_of(record) is None:
            return events
        asks = {"question": True} if is_question(text) else None
        end = line.event("stop", line.key("Stop"), extra=asks)
        if line.parent is None:
            return [*events, end]
        self._turn_end = end
        return events

    def _end_turn(self) -> list[Event]:
        end, self._turn_end = self._turn_end, None
        return [] if end is None else [end]

    def _completion(self, record: Record, line: QwenLine) -> list[Event]:
        counts, before = usage_of(record), self._answer
        if counts is None or not any(counts.values()):
            return []
        self._answer = counts
        context = counts["input_tokens"] + counts["cache_read_tokens"]
        if before is not None and context == before["input_tokens"] + before["cache_read_tokens"]:
            # Nothing was added to the conversation, so that it is the same response again.
            counts = growth(counts, before)
            if not any(counts.values()):
                return []
        duration, self._request_ms = self._request_ms, None
        thoughts = count(mapping(record.get("usageMetadata")).get("thoughtsTokenCount"))
        is_main = line.parent is None
        return [
            line.event(
                "completion",
                line.key(),
                model=string(record.get("model")) or self._model,
                duration_ms=duration,
                context_tokens=context or None if is_main else None,
                context_window=count(record.get("contextWindowSize")) or None if is_main else None,
                extra=without_none(reasoning_tokens=thoughts or None),
                **counts,
            )
        ]

    def _tool_start(self, call: Record, line: QwenLine) -> list[Event]:
        call_id = identifier(call.get("id"))
        if call_id is None or call_id in self._calls:
            return []
        name, hashed = string(call.get("name")), self.hash_input(call.get("args"))
        key = self._call_keys.key_of(call_id, line.at)
        remember_call(self._calls, call_id, OpenCall(name, line.at, hashed, key))
        fields = {"tool_name": name, "tool_use_id": call_id, "input_hash": hashed}
        extra = question_extra(name, QUESTION_TOOLS)
        key = call_key(line.session, key, "PreToolUse", line.child)
        return [line.event("tool_start", key, extra=extra, **fields)]

    def _results(self, record: Record, line: QwenLine) -> list[Event]:
        self._answer = None
        if line.origin is not None:
            return []
        whole = mapping(record.get("toolCallResult"))
        results = results_of(record)
        return [
            event
            for result in results or [{"id": whole.get("callId")}]
            for event in self._tool_end(result, whole if len(results) < 2 else {}, line)
        ]

    def _tool_end(self, result: Record, whole: Record, line: QwenLine) -> list[Event]:
        call_id = identifier(result.get("id"))
        if call_id is None:
            return []
        call = self._calls.pop(call_id, UNKNOWN_CALL)
        status = whole.get("status")
        tool = {
            "tool_name": call.name or string(result.get("name")),
            "tool_use_id": call_id,
        }
        reported = self._durations.pop(call_id, None)
        if status == "cancelled":
            key = call_key(line.session, call.key or call_id, "PermissionDenied", line.child)
            extra = {"decision": "cancelled"}
            ended = line.event("answered", key, extra=extra, **tool)
            return [ended, line.event("interrupt", line.key("Interrupt"))]
        error = mapping(result.get("response")).get("error")
        failed = status == "error" or (status is None and bool(error))
        key = call_key(line.session, call.key or call_id, "PostToolUse", line.child)
        return [
            line.event(
                "tool_error" if failed else "tool_execute",
                key,
                status="error" if failed else "ok",
                duration_ms=count(whole.get("durationMs")) or reported,
                input_hash=call.input_hash,
                **tool,
            )
        ]

    def _system(self, record: Record, line: QwenLine) -> list[Event]:
        if line.origin is not None:
            return []
        payload = mapping(record.get("systemPayload"))
        match record.get("subtype"):
            case "ui_telemetry":
                return self._telemetry(record, line)
            case "custom_title":
                return self._set_title(payload, line)
            case "chat_compression":
                tokens = count(mapping(payload.get("info")).get("originalTokenCount"))
                extra = without_none(compacted=True, pre_tokens=tokens)
                # A turn goes on by itself after it; without one, the user ran it at the prompt.
                kind = "activity" if self._calls or self._answer is None else "idle"
                return [line.event(kind, line.key(), extra=extra)]
            case "slash_command" if is_exit(record):
                return [line.event("session_end", line.key("End"))]
        return []

    def _set_title(self, payload: Record, line: QwenLine) -> list[Event]:
        title = label(payload.get("customTitle"))
        if title is None or title == self._title:
            return []
        self._title = title
        extra = {"title_generated": True} if payload.get("titleSource") == "auto" else None
        return [line.event("session_info", line.key(), title=title, extra=extra)]

    def _telemetry(self, record: Record, line: QwenLine) -> list[Event]:
        name, values = telemetry_of(record)
        duration = count(values.get("duration_ms"))
        if name == "api_response":
            self._request_ms = duration
        elif name == "tool_call" and (call := identifier(values.get("call_id"))) is not None:
            if duration is not None and len(self._durations) < _MAX_DURATIONS:
                self._durations[call] = duration
        elif name == "api_error":
            return self._failed(values, line)
        return []

    def _failed(self, values: Record, line: QwenLine) -> list[Event]:
        """Return the error that ended a turn, or the retry that follows if there is one."""
        status = count(values.get("status_code"))
        text = values.get("error_message")
        kind = kind_of_status(status) or kind_of_text(text)
        extra = without_none(
            error=safe_keyword(values.get("error_type")), **failure_extra(kind, text, line.at)
        )
        failure = line.event("error", line.key("Error"), extra=extra)
        if not is_retried(status) or (extra or {}).get("cannot_work") == "usage_limited":
            self._failure = None
            return [failure]
        self._failure, self._n_failed = failure, self._n_failed + 1
        retry = retry_extra(kind, self._n_failed, None, None)
        return [line.event("retry", line.key("Retry"), extra=retry)]

    def _child_end(self, line: QwenLine, status: str) -> list[Event]:
        self._turn_end = None
        own, extra = line.of_parent(), {"child_agent_id": line.agent_id, "status": status}
        key = f"{own.session}:{line.agent_id}:Stop"
        return [
            own.event("subagent_stop", key, extra=extra),
            line.event("session_end", f"{key}:End", extra={"status": status}),
        ]
