"""Convert Gemini CLI's session files to events. Pure.

``~/.gemini/tmp/<project>/chats/session-*.jsonl``, ``.json`` in older versions. Source of the
format: ConversationRecord in packages/core/src/services/chatRecordingTypes.ts of
google-gemini/gemini-cli, as of version 0.61. Unknown records and fields are ignored.

A message is written again, whole and with the same id, when its tool calls end; the last form
counts. ``$set`` changes fields of the session. If it contains messages, the conversation was
resumed, compressed, rewound or, if the last prompt is missing, its request has failed: the list
repeats messages or replaces them, and only a prompt at its end is new. ``$rewindTo`` removes
messages from the conversation, but their tokens stay used. Input includes cached tokens and
excludes those of tool results; output excludes thoughts.

``summary``, written by a model when the next session starts (seen in 0.20 to 0.61), is the title.
Errors have no code, so their kind is derived from their text, which is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ...core.validation import MAX_INTEGER
from ..content_rules import is_question, question_extra
from ..failures import failure_extra
from ..fields import (
    count,
    identifier,
    label,
    local_project_name,
    mapping,
    mappings,
    milliseconds,
    string,
    timestamp,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import GIVE_UP_AFTER_S, CallKeys, cached_agent_id, parse_record
from .constants import AGENT, QUESTION_TOOLS, SESSION_SOURCE
from .messages import (
    Record,
    calls_tool,
    continues_turn,
    failure_kind,
    first_text,
    is_prompt,
    is_synthetic,
    turn_end_of,
)

_FINAL_STATUSES = ("success", "error", "cancelled")
_MAX_CALLS = 10_000
TURN_QUIET_S = 2.0
"""Seconds of quiet after which a response without tool calls counts as the last of its turn."""
_MOMENT = timedelta(milliseconds=1)
_BURST = timedelta(milliseconds=100)


@dataclass(slots=True)
class GeminiSession:
    """Reader of one session file of Gemini CLI; see ``session.SessionReader``.

    Args:
        project: name of the project if the file contains none.
        parent_session: id of the parent's session if this is the session of a subagent.
        cwd: full path of the working folder; None: unknown.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (TURN_QUIET_S, GIVE_UP_AFTER_S)

    project: str | None = None
    parent_session: str | None = None
    cwd: str | None = None
    hash_input: HashInput = no_hash
    _session: str | None = None
    _title: str | None = None
    _agent: str = ""
    _at: datetime | None = None
    _message: Record | None = None
    _last_completion: tuple[str, Record] | None = None
    _turn_end: Event | None = None
    _prompt: tuple[str, datetime] | None = None
    _broken_at: datetime | None = None
    _running: str | None = None
    _is_opened: bool = False
    _done_calls: set[str] = field(default_factory=set)
    _prompts: set[int] = field(default_factory=set)
    _call_keys: CallKeys = field(default_factory=CallKeys)
    _call_times: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line, or an older file as a whole, completes.

        Raises:
            InvalidEvent: it is not a JSON object.
        """
        return self.read_record(parse_record(line))

    def read_record(self, record: Record) -> list[Event]:
        """Return the events that this record completes."""
        events: list[Event] = []
        if "sessionId" in record:
            events += self._start(record)
        patch = mapping(record.get("$set"))
        self._is_opened = self._is_opened or "sessionId" in patch
        for message in mappings(record.get("messages")):
            events += self._read_message(message)
        if "messages" in patch:
            events += self._read_history(mappings(patch["messages"]), patch)
        if "type" in record:
            events += self._read_message(record)
        return [*events, *self._set_title(patch.get("summary", record.get("summary")))]

    def _set_title(self, value: object) -> list[Event]:
        title = label(value)
        if title is None or title == self._title or self._session is None or self._at is None:
            return []
        self._title = title
        key, extra = f"Title:{self._at.isoformat()}", {"title_generated": True}
        return [self._event("session_info", self._at, key, title=title, extra=extra)]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the last completion, and the end of the turn if it called no tool."""
        if quiet_s < TURN_QUIET_S:
            return []
        message = self._message
        if message is None or not calls_tool(message) or quiet_s >= GIVE_UP_AFTER_S:
            return self.finish()
        if self._running is not None:
            return []
        # Tool calls are written when they end, which can take long.
        self._running = f"{message['id']}:call"
        at, call = message["timestamp"], self._running
        return [self._event("tool_start", at, f"{call}:BeforeTool", tool_use_id=call)]

    def finish(self) -> list[Event]:
        """Return the completion and the end of turn that wait for a line that may never come."""
        return [*self._flush(), *self._end_turn()]

    def _start(self, record: Record) -> list[Event]:
        session = identifier(record.get("sessionId"))
        at = self._at = timestamp(record.get("startTime")) or self._at
        directories = record.get("directories")
        if isinstance(directories, list) and directories:
            self.project = local_project_name(directories[0]) or self.project
        if session is None or session == self._session or at is None:
            return []
        events = self.finish()
        self._session, self._agent = session, cached_agent_id(session, AGENT)
        if self._parent is None:
            return [*events, self._event("session_start", at, "SessionStart")]
        fields = {"agent_id": self._parent, "parent_agent_id": None}
        extra = {"child_agent_id": self._agent}
        return [*events, self._event("subagent_start", at, "SubagentStart", extra=extra, **fields)]

    @property
    def _parent(self) -> str | None:
        parent = identifier(self.parent_session)
        return None if parent is None else cached_agent_id(parent, AGENT)

    def _event(self, event_type: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            event_type=event_type,
            timestamp=at,
            session_id=identifier(self.parent_session) or self._session,
            event_id=shorten_id(f"{self._session}:{key}" if event_type != "completion" else key),
            project=string(self.project),
            cwd=whole_path(self.cwd),
            source=SESSION_SOURCE,
            **{"agent_id": self._agent, "parent_agent_id": self._parent, **fields},
        )

    def _read_message(self, message: Record) -> list[Event]:
        at = self._at = timestamp(message.get("timestamp")) or self._at
        kind, name = message.get("type"), identifier(message.get("id"))
        if self._session is None or at is None or name is None:
            return []
        events = self._end_open_call(at)
        if kind == "gemini":
            return [*events, *self._response({**message, "id": name, "timestamp": at})]
        events += self._flush()
        content = message.get("content")
        if kind == "user":
            return [*events, *self._user(name, content, at)]
        end = turn_end_of(kind, content)
        if end is None:
            return events
        self._turn_end = self._prompt = None
        if end == "stop":
            return [*events, self._event("stop", at, f"{name}:AfterAgent")]
        self._broken_at = at
        if end == "interrupt":
            return [*events, self._event("interrupt", at, f"{name}:Interrupt")]
        text = first_text(content) or ""
        extra = failure_extra(failure_kind(text), text, at) or None
        return [*events, self._event("error", at, f"{name}:Error", extra=extra)]

    def _user(self, name: str, content: object, at: datetime) -> list[Event]:
        if not is_prompt(content):
            return []
        if self._turn_end is not None and continues_turn(content):
            self._turn_end = None
            return []
        text = hash(first_text(content))
        if self._prompt is not None and self._turn_end is None and text in self._prompts:
            # The history is written again, by which Gemini CLI cuts results of tools in a turn.
            return []
        if len(self._prompts) < _MAX_CALLS:
            self._prompts.add(text)
        end = self._end_turn()
        self._prompt, self._broken_at = (name, at), None
        return [*end, self._event("prompt", at, f"{name}:BeforeAgent")]

    def _read_history(self, messages: list[Record], patch: Record) -> list[Event]:
        """Return the events of a list that replaces all messages of the conversation."""
        last = messages[-1] if messages else {}
        known = [{**each, "timestamp": timestamp(each.get("timestamp"))} for each in messages]
        times = [each["timestamp"] for each in known if each["timestamp"] is not None]
        before, updated_at = self._at, timestamp(patch.get("lastUpdated"))
        events = [*self._flush(), *self._start_again(updated_at)]
        if times and last.get("type") == "user" and (before is None or times[-1] > before):
            return [*events, *self._read_message(last)]
        prompt = self._prompt
        for each in known:
            if self._session is not None and each["timestamp"] and identifier(each.get("id")):
                events += self._completion(each)
        if prompt is not None and not any(at >= prompt[1] for at in times):
            # Its request failed. Most often the next line says why; if none does, the turn is over.
            at = updated_at or prompt[1]
            self._turn_end = self._event("stop", at, f"{prompt[0]}:AfterAgent")
        return events

    def _start_again(self, at: datetime | None) -> list[Event]:
        """Return the start of a session that was resumed, after the end of its last turn."""
        is_opened, self._is_opened = self._is_opened, False
        is_running = self._prompt is not None and self._turn_end is None
        if not is_opened or is_running or at is None or self._session is None or self._parent:
            return []
        key, extra = f"Resume:{at.isoformat()}", {"source": "resume"}
        return [*self._end_turn(), self._event("session_start", at, key, extra=extra)]

    def _response(self, message: Record) -> list[Event]:
        """Add a response; return the completion before it, and the tool calls of this response."""
        if is_synthetic(message) and not self._follows_prompt(message["timestamp"]):
            # Written around an image, or with the whole history when results of tools are cut.
            return []
        if self._broken_at is not None:
            # What is written after an interrupt, also as a new message, is no work.
            at = min(message["timestamp"], self._broken_at - _MOMENT)
            message = {**message, "timestamp": at}
        last = self._message
        is_repeated = last is not None and last.get("id") == message["id"]
        events = [] if is_repeated else self._flush()
        self._message = message
        calls = mappings(message.get("toolCalls"))
        if calls:
            # Tool calls are added to a message that is complete.
            events += self._flush()
        at = message["timestamp"]
        return events + [
            event for call in calls for event in self._tool_call_events(message["id"], call, at)
        ]

    def _follows_prompt(self, at: datetime) -> bool:
        """Return whether a message follows a prompt too soon for a model: both were loaded."""
        return self._prompt is not None and at - self._prompt[1] < _BURST

    def _end_open_call(self, at: datetime) -> list[Event]:
        """Return the end of the call that ``on_quiet`` has reported; any later line ends it."""
        call, self._running = self._running, None
        if call is None:
            return []
        return [self._event("answered", at, f"{call}:AfterTool", tool_use_id=call)]

    def _flush(self) -> list[Event]:
        """Return the pending response as a completion, and record whether it ends the turn."""
        message, self._message = self._message, None
        if message is None:
            return []
        at, name = message["timestamp"], message["id"]
        is_last = not mappings(message.get("toolCalls"))
        asks = {"question": True} if is_question(message.get("content")) else None
        end = self._event("stop", at, f"{name}:AfterAgent", extra=asks)
        self._turn_end = end if is_last and self._broken_at is None else None
        return self._completion(message)

    def _completion(self, message: Record) -> list[Event]:
        """Return the completion that a response reports, unless it is the last one again."""
        tokens = message.get("tokens")
        if not isinstance(tokens, Mapping):
            return []
        thoughts, tool = count(tokens.get("thoughts")), count(tokens.get("tool"))
        extra = without_none(reasoning_tokens=thoughts or None, tool_tokens=tool or None)
        # Copies in files of resumed sessions have the same id.
        key = f"{AGENT}:{message['id']}"
        counts = _completion_fields(message, tokens)
        if self._last_completion == (key, counts):
            return []
        self._last_completion = key, counts
        context = None if self._parent is not None else count(tokens.get("input")) or None
        fields = {**counts, "context_tokens": context, "extra": extra}
        return [self._event("completion", message["timestamp"], key, **fields)]

    def _tool_call_events(self, message: str, call: Record, started_at: datetime) -> list[Event]:
        call_id, status = identifier(call.get("id")), call.get("status")
        if call_id is None:
            return []
        # A message is written again; only one with another id can repeat the id of a call.
        seen_at = self._call_times.setdefault((message, call_id), started_at)
        if len(self._call_times) > _MAX_CALLS:
            del self._call_times[next(iter(self._call_times))]
        key = self._call_keys.key_of(call_id, seen_at)
        if key in self._done_calls:
            return []
        is_broken = self._broken_at is not None
        end = started_at if is_broken else timestamp(call.get("timestamp")) or started_at
        name = string(call.get("name"))
        tool: dict[str, Any] = {"tool_name": name, "tool_use_id": call_id}
        hashed = {"input_hash": self.hash_input(call.get("args"))}
        extra = question_extra(name, QUESTION_TOOLS)
        fields = {**tool, **hashed, "extra": extra}
        start = self._event("tool_start", started_at, f"{key}:BeforeTool", **fields)
        if status in _FINAL_STATUSES and len(self._done_calls) < _MAX_CALLS:
            self._done_calls.add(key)
        if status == "cancelled":
            fields = {**tool, "extra": {"decision": "cancelled"}}
            return [start, self._event("answered", end, f"{key}:Cancelled", **fields)]
        if status not in _FINAL_STATUSES:
            return [start]
        failed = status == "error"
        done = self._event(
            "tool_error" if failed else "tool_execute",
            end,
            f"{key}:AfterTool",
            status="error" if failed else "ok",
            duration_ms=None if is_broken else milliseconds(started_at, end),
            **tool,
            **hashed,
        )
        return [start, done]

    def _end_turn(self) -> list[Event]:
        end, self._turn_end = self._turn_end, None
        if end is None:
            return []
        self._prompt = None
        return [end]


def _completion_fields(message: Record, tokens: Record) -> dict[str, Any]:
    total, cached = count(tokens.get("input")) or 0, count(tokens.get("cached")) or 0
    return {
        "model": string(message.get("model")),
        "input_tokens": _sum(max(0, total - cached), tokens.get("tool")),
        "cache_read_tokens": min(cached, total),
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": _sum(tokens.get("output"), tokens.get("thoughts")),
    }


def _sum(*values: object) -> int:
    return min(sum(count(value) or 0 for value in values), MAX_INTEGER)
