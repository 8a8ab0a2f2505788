"""Gemini CLI's session files to Events, pure.

``~/.gemini/tmp/<project>/chats/session-*.jsonl``, formerly ``.json``; source of the format:
ConversationRecord in packages/core/src/services/chatRecordingTypes.ts of google-gemini/gemini-cli.
Unknown records and fields are ignored.

A message is written again, whole and with the same id, as its tool calls end; the last form
counts. ``$set`` changes fields of the session and may bring messages along; ``$rewindTo`` takes
messages from the conversation, but what they have used stays used. Input includes what came from
the cache and excludes what tools put into the request; output excludes thoughts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ...core.validation import MAX_INTEGER
from ..content_rules import is_question, question_extra
from ..fields import (
    base_name,
    count,
    identifier,
    mapping,
    mappings,
    milliseconds,
    string,
    timestamp,
    without_none,
)
from ..session import GIVE_UP_AFTER_S, known_agent, record_of
from .constants import AGENT, QUESTION_TOOLS

SOURCE = "gemini-session"
_NO_PROMPT = ("<session_context>", "I ran the following shell command:")
_FINAL = ("success", "error", "cancelled")
_MAX_CALLS = 10_000
TURN_QUIET_S = 2.0
"""Seconds after which an answer without tool calls is taken for the last of its turn."""
_CHARS_PER_TOKEN = 2
_SPARE_TOKENS = 8

Record = Mapping[str, Any]


@dataclass(slots=True)
class GeminiSession:
    """Reader of one session file of Gemini CLI; see ``session.SessionReader``.

    Args:
        project: name of the project where the file tells none.
        parent_session: the session whose subagent this one is.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (TURN_QUIET_S, GIVE_UP_AFTER_S)

    project: str | None = None
    parent_session: str | None = None
    _session: str | None = None
    _agent: str = ""
    _at: datetime | None = None
    _message: Record | None = None
    _told: tuple[str, Record] | None = None
    _ends_turn: Event | None = None
    _running: str | None = None
    _done_calls: set[str] = field(default_factory=set)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that are certain with this line; InvalidEvent if it is no JSON object.

        A line may also be a whole session, as the older files hold it.
        """
        return self.take(record_of(line))

    def take(self, record: Record) -> list[Event]:
        """Return the events that are certain with this record."""
        found: list[Event] = []
        if "sessionId" in record:
            found += self._begin(record)
        patch = mapping(record.get("$set"))
        for message in mappings(record.get("messages")) + mappings(patch.get("messages")):
            found += self._take_message(message)
        if "type" in record:
            found += self._take_message(record)
        return found

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the last answer, and the end of the turn where it called no tool."""
        if quiet_s < TURN_QUIET_S:
            return []
        message = self._message
        if message is None or not _calls_tool(message) or quiet_s >= GIVE_UP_AFTER_S:
            return self.finish()
        if self._running is not None:
            return []
        # Its calls are written once they have ended, which can take long.
        self._running = f"{message['id']}:call"
        at, call = message["timestamp"], self._running
        return [self._event("tool_start", at, f"{call}:BeforeTool", tool_use_id=call)]

    def finish(self) -> list[Event]:
        """Return the answer and the end of turn that wait for a line that may not come."""
        return [*self._flush(), *self._end_turn()]

    def _begin(self, record: Record) -> list[Event]:
        session = identifier(record.get("sessionId"))
        at = self._at = timestamp(record.get("startTime")) or self._at
        directories = record.get("directories")
        if isinstance(directories, list) and directories:
            self.project = base_name(directories[0]) or self.project
        if session is None or session == self._session or at is None:
            return []
        found = self.finish()
        self._session, self._agent = session, known_agent(session, AGENT)
        if self._parent is None:
            return [*found, self._event("session_start", at, "SessionStart")]
        about = {"child_agent_id": self._agent}
        parent = {"agent_id": self._parent, "parent_agent_id": None}
        start = self._event("subagent_start", at, "SubagentStart", extra=about, **parent)
        return [*found, start]

    @property
    def _parent(self) -> str | None:
        parent = identifier(self.parent_session)
        return None if parent is None else known_agent(parent, AGENT)

    def _event(self, kind: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            event_type=kind,
            timestamp=at,
            session_id=identifier(self.parent_session) or self._session,
            event_id=shorten_id(f"{self._session}:{key}" if kind != "completion" else key),
            project=string(self.project),
            source=SOURCE,
            **{"agent_id": self._agent, "parent_agent_id": self._parent, **fields},
        )

    def _take_message(self, message: Record) -> list[Event]:
        at = self._at = timestamp(message.get("timestamp")) or self._at
        kind, name = message.get("type"), identifier(message.get("id"))
        if self._session is None or at is None or name is None:
            return []
        before = self._end_call(at)
        if kind == "gemini":
            known = self._message
            found = before
            found += [] if known is not None and known.get("id") == name else self._flush()
            self._message = {**message, "id": name, "timestamp": at}
            calls = mappings(message.get("toolCalls"))
            if not calls:
                return found
            # Calls are added to an answer that is whole.
            found += self._flush()
            return found + [event for call in calls for event in self._call(call, at)]
        found = [*before, *self._flush()]
        if kind == "user" and _is_prompt(message.get("content")):
            return [*found, *self._end_turn(), self._event("prompt", at, f"{name}:BeforeAgent")]
        if kind == "info" and message.get("content") == "Request cancelled.":
            self._ends_turn = None
            return [*found, self._event("interrupt", at, f"{name}:Interrupt")]
        if kind == "error":
            self._ends_turn = None
            return [*found, self._event("error", at, f"{name}:Error")]
        return found

    def _end_call(self, at: datetime) -> list[Event]:
        """Return the end of the call that the quiet showed to run: whatever follows ended it."""
        call, self._running = self._running, None
        if call is None:
            return []
        return [self._event("answered", at, f"{call}:AfterTool", tool_use_id=call)]

    def _flush(self) -> list[Event]:
        """Return the answer, and its tools, that another message has shown to be complete."""
        message, self._message = self._message, None
        if message is None:
            return []
        at, name = message["timestamp"], message["id"]
        found = []
        tokens = message.get("tokens")
        if isinstance(tokens, Mapping):
            thoughts, tool = count(tokens.get("thoughts")), count(tokens.get("tool"))
            about = without_none(reasoning_tokens=thoughts or None, tool_tokens=tool or None)
            # Copies in files of resumed sessions have the same id.
            key = f"{AGENT}:{name}"
            counts = _answer(message, tokens)
            if self._told != (key, counts):
                found.append(self._event("completion", at, key, extra=about, **counts))
            self._told = key, counts
        is_last = not mappings(message.get("toolCalls"))
        asks = {"question": True} if is_question(message.get("content")) else None
        end = self._event("stop", at, f"{name}:AfterAgent", extra=asks)
        self._ends_turn = end if is_last else None
        return found

    def _call(self, call: Record, begun: datetime) -> list[Event]:
        key, status = identifier(call.get("id")), call.get("status")
        if key is None or key in self._done_calls:
            return []
        name = string(call.get("name"))
        about = {"tool_name": name, "tool_use_id": key}
        extra = question_extra(name, QUESTION_TOOLS)
        start = self._event("tool_start", begun, f"{key}:BeforeTool", extra=extra, **about)
        end = timestamp(call.get("timestamp")) or begun
        if status in _FINAL and len(self._done_calls) < _MAX_CALLS:
            self._done_calls.add(key)
        if status == "cancelled":
            fields = {**about, "extra": {"decision": "cancelled"}}
            return [start, self._event("answered", end, f"{key}:Cancelled", **fields)]
        if status not in _FINAL:
            return [start]
        failed = status == "error"
        done = self._event(
            "tool_error" if failed else "tool_execute",
            end,
            f"{key}:AfterTool",
            status="error" if failed else "ok",
            duration_ms=milliseconds(begun, end),
            **about,
        )
        return [start, done]

    def _end_turn(self) -> list[Event]:
        end, self._ends_turn = self._ends_turn, None
        return [] if end is None else [end]


def _calls_tool(message: Record) -> bool:
    """Whether an answer called tools that it does not show yet.

    It has no text, or has used more tokens than its text can need.
    """
    content = message.get("content")
    if not isinstance(content, str):
        return False
    output = count(mapping(message.get("tokens")).get("output")) or 0
    return not content.strip() or output > len(content) / _CHARS_PER_TOKEN + _SPARE_TOKENS


def _answer(message: Record, tokens: Record) -> dict[str, Any]:
    whole, cached = count(tokens.get("input")) or 0, count(tokens.get("cached")) or 0
    return {
        "model": string(message.get("model")),
        "input_tokens": _sum(max(0, whole - cached), tokens.get("tool")),
        "cache_read_tokens": min(cached, whole),
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": _sum(tokens.get("output"), tokens.get("thoughts")),
    }


def _sum(*values: object) -> int:
    return min(sum(count(value) or 0 for value in values), MAX_INTEGER)


def _is_prompt(content: object) -> bool:
    """Whether a message of the user's side is a person's, not a tool's result."""
    if isinstance(content, str):
        first: object = content
    else:
        parts = mappings(content)
        first = parts[0].get("text") if parts else None
    return isinstance(first, str) and not first.lstrip().startswith(_NO_PROMPT)
