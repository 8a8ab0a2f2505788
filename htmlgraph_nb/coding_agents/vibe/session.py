"""Convert Mistral Vibe's session files to events. Pure, but for the functions that it is given.

``~/.vibe/logs/session/session_<time>_<id>/messages.jsonl`` holds the messages and ``meta.json`` the
facts about the session; ``agents/<agent>_<time>_<id>/`` below has the same files of a subagent.
Source of the format: vibe/core/session/session_logger.py and vibe/core/types.py of
mistralai/mistral-vibe, as of version 2.18.4; files of 2.19 were read as well. Unknown fields are
ignored.

Vibe writes after each step of a turn: the answer of the model and the results of its tools, then
``meta.json``. Messages have no time, so they count as of when the file was written. A call and its
result are written together, so that the call is reported by its end alone, unless it has none. A
prompt alone is written if its turn ended without an answer, by an error or because the user
cancelled it. A permission request is in no file.

``meta.json`` counts the tokens of the session so far and those of the last request. The first ones
belong to the responses that were written since it was last read. If these are several, as in an
import, the last one has the tokens of the last request, and the others equal parts of the rest: the
sum is exact, the parts are marked with ``tokens_shared``. A compaction continues in another session
whose counts include the first one's; a fork starts with copies of messages, which have their ids.
Cached tokens are not reported. Dollars are Vibe's own estimate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from ...core.ids import call_key, shorten_id
from ...core.model import Event
from ..content_rules import is_question, question_extra
from ..fields import (
    identifier,
    local_project_name,
    mapping,
    mappings,
    string,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import (
    UNKNOWN_CALL,
    OpenCall,
    cached_agent_id,
    parse_record,
    remember_call,
)
from .constants import AGENT, QUESTION_TOOLS, SESSION_SOURCE
from .meta import Meta, parse_meta, shares

NO_META_QUIET_S = 1.0
"""Seconds without a new line after which a session without ``meta.json`` is read without it."""
_MOMENT = timedelta(microseconds=1)
_MAX_WAITING = 10_000
_MAX_CALLS = 10_000
_CANCELLED, _FAILED = "<user_cancellation>", "<tool_error>"

Record = dict[str, Any]
"""JSON object of a line."""


def _no_meta(_: str) -> Meta | None:
    return None


def _no_time() -> datetime | None:
    return None


@dataclass(slots=True)
class VibeSession:
    """Reader of one session of Mistral Vibe; see ``session.SidecarReader``.

    Args:
        folder: name of the session's folder.
        agent_type: kind of the subagent whose session it is; None: it is no subagent's.
        parent_folder: name of the folder of its parent's session; None: it is no subagent's.
        modified: returns when the file of messages was last written; None: unknown.
        parent_meta: returns the ``meta.json`` of the session with this id beside this one.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (NO_META_QUIET_S,)

    folder: str
    agent_type: str | None = None
    parent_folder: str | None = None
    modified: Callable[[], datetime | None] = _no_time
    parent_meta: Callable[[str], Meta | None] = _no_meta
    hash_input: HashInput = no_hash
    _meta: Meta = field(default_factory=Meta)
    _session: str | None = None
    _agent: str = ""
    _parent: str | None = None
    _parent_session: str | None = None
    _at: datetime | None = None
    _n_lines: int = 0
    _responses: list[tuple[str, datetime]] = field(default_factory=list)
    _counted: tuple[int, int] = (0, 0)
    _waiting: list[Record] = field(default_factory=list)
    _calls: dict[str, OpenCall] = field(default_factory=dict)
    _seen_calls: dict[str, str] = field(default_factory=dict)
    _starts: dict[str, Event] = field(default_factory=dict)
    _unanswered: Event | None = None
    _facts: tuple[object, ...] = ()

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        record = dict(parse_record(line))
        if self._session is not None:
            return self._message(record)
        self._waiting.append(record)
        return self._enter(None) if len(self._waiting) >= _MAX_WAITING else []

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return the events that the content of ``meta.json`` reports."""
        meta = parse_meta(data)
        if meta is None:
            return []
        is_first, self._meta = self._session is None, meta
        events = self._enter(meta.session) if is_first and self._waiting else []
        return [*events, *self._facts_event(), *self._completions()]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return what waits for a ``meta.json``, the result of a call, or an answer."""
        return self.finish() if quiet_s >= NO_META_QUIET_S else []

    def finish(self) -> list[Event]:
        """Return what waits for a ``meta.json``, the result of a call, or an answer."""
        events = self._enter(None) if self._waiting else []
        events += self._starts.values()
        self._starts.clear()
        unanswered, self._unanswered = self._unanswered, None
        return [*events, *([] if unanswered is None else [unanswered])]

    def _enter(self, session: str | None) -> list[Event]:
        """Return the start of the session and the events of its first lines."""
        waiting, self._waiting = self._waiting, []
        self._session = session or identifier(self.folder) or AGENT
        self._agent = cached_agent_id(self._session, AGENT)
        first = waiting[0] if waiting else {}
        continues = first.get("role") == "user" and first.get("injected") is True
        parent = self._meta.parent
        if self.parent_folder is not None:
            self._parent_session = parent or identifier(self.parent_folder)
            self._parent = cached_agent_id(self._parent_session or AGENT, AGENT)
        elif continues and parent is not None:
            before = self.parent_meta(parent)
            totals = (0, 0) if before is None else (before.prompt_tokens, before.completion_tokens)
            if totals[0] <= self._meta.prompt_tokens and totals[1] <= self._meta.completion_tokens:
                self._counted = totals
        at = self._time()
        if at is None:
            return []
        started_at = min(self._meta.started_at or at, at)
        events = self._start(started_at, continues)
        return [*events, *(event for record in waiting for event in self._message(record))]

    def _start(self, at: datetime, continues: bool) -> list[Event]:
        """Return the start of the session, of a subagent's also that of its parent's session.

        The parent's file is written when the step ends that the subagent is part of.
        """
        if self._parent is None:
            extra = {"source": "compact", "compacted": True} if continues else None
            return [self._event("session_start", at, f"{self._session}:SessionStart", extra=extra)]
        kind = string(self.agent_type, 128)
        child = without_none(child_agent_id=self._agent, agent_type=kind)
        own = {"agent_id": self._parent, "parent_agent_id": None}
        key = f"{self._session}:SubagentStart"
        events = [
            self._event("session_start", at, f"{self._parent_session}:SessionStart", **own),
            self._event("subagent_start", at, key, extra=child, **own),
        ]
        if kind is not None:
            extra = {"title_default": True}
            events.append(self._event("session_info", at, f"{key}:Title", title=kind, extra=extra))
        return events

    def _time(self) -> datetime | None:
        """Return when the current line was written, or may have been; None: unknown."""
        written = self._meta.written_at if self._n_lines <= self._meta.n_messages else None
        modified = self.modified()
        times = [at for at in (written, modified) if at is not None]
        at = min(times) if times else self._at
        # Lines are in the order of time.
        self._at = at if at is None or self._at is None else max(at, self._at)
        return self._at

    def _event(self, event_type: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            event_type=event_type,
            timestamp=at,
            session_id=self._parent_session or self._session,
            event_id=shorten_id(key),
            project=local_project_name(self._meta.cwd),
            cwd=self._meta.cwd,
            branch=self._meta.branch,
            source=SESSION_SOURCE,
            **{"agent_id": self._agent, "parent_agent_id": self._parent, **fields},
        )

    def _message(self, record: Record) -> list[Event]:
        role = record.get("role")
        if role not in ("user", "assistant", "tool"):
            return []
        self._n_lines += 1
        at = self._time()
        if at is None:
            return []
        if role == "tool":
            return self._tool_end(record, at)
        name = identifier(record.get("message_id")) or f"{self._session}:{self._n_lines}"
        is_note = role == "user" and record.get("injected") is True
        if is_note:
            return []
        self._unanswered = None
        if role == "user":
            self._unanswered = self._event("idle", at, f"{AGENT}:{name}:Idle")
            return [self._event("prompt", at, f"{AGENT}:{name}")]
        self._responses.append((name, at))
        del self._responses[:-_MAX_WAITING]
        calls = mappings(record.get("tool_calls"))
        if calls:
            for call in calls:
                self._tool_start(call, name, at)
            return []
        asks = {"question": True} if is_question(record.get("content")) else None
        return [self._event("stop", at, f"{AGENT}:{name}:Stop", extra=asks)]

    def _tool_start(self, call: Any, message: str, at: datetime) -> None:
        call_id, function = identifier(call.get("id")), mapping(call.get("function"))
        if call_id is None:
            return
        name = string(function.get("name")) or string(call.get("name"))
        hashed = self.hash_input(_arguments(function.get("arguments")))
        first = self._seen_calls.setdefault(call_id, message)
        if len(self._seen_calls) > _MAX_CALLS:
            del self._seen_calls[next(iter(self._seen_calls))]
        key = call_id if first == message else f"{call_id}~{message}"
        remember_call(self._calls, call_id, OpenCall(name, at, hashed, key))
        self._starts[call_id] = self._event(
            "tool_start",
            at,
            self._call_key(key, "PreToolUse"),
            tool_name=name,
            tool_use_id=call_id,
            input_hash=hashed,
            extra=question_extra(name, QUESTION_TOOLS),
        )
        if len(self._starts) > _MAX_CALLS:
            del self._starts[next(iter(self._starts))]

    def _tool_end(self, record: Record, at: datetime) -> list[Event]:
        call_id, content = identifier(record.get("tool_call_id")), record.get("content")
        if call_id is None:
            return []
        self._starts.pop(call_id, None)
        call = self._calls.pop(call_id, UNKNOWN_CALL)
        text = content.lstrip() if isinstance(content, str) else ""
        tool = {
            "tool_name": call.name or string(record.get("name")),
            "tool_use_id": call_id,
        }
        key = call.key or call_id
        if text.startswith(_CANCELLED):
            denied = self._call_key(key, "PermissionDenied")
            extra = {"decision": "cancelled"}
            return [
                self._event("answered", at, denied, extra=extra, **tool),
                self._event("interrupt", at, f"{denied}:Interrupt"),
            ]
        failed = text.startswith(_FAILED)
        return [
            self._event(
                "tool_error" if failed else "tool_execute",
                at,
                self._call_key(key, "PostToolUse"),
                status="error" if failed else "ok",
                input_hash=call.input_hash,
                **tool,
            )
        ]

    def _call_key(self, call: str, step: str) -> str:
        child = None if self._parent is None else self._agent
        return call_key(self._session or "", call, step, child)

    def _facts_event(self) -> list[Event]:
        """Return an event with what ``meta.json`` says about the session and has changed."""
        meta = self._meta
        facts = (meta.title, meta.branch, meta.model)
        if self._session is None or self._at is None or facts == self._facts:
            return []
        self._facts = facts
        digest = sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]
        key = f"{self._session}:Info:{digest}"
        fields = {"title": meta.title, "model": meta.model}
        return [self._event("session_info", self._at, key, **fields)]

    def _completions(self) -> list[Event]:
        """Return the completions of the responses since the last ``meta.json``."""
        meta, responses = self._meta, self._responses
        if self._session is None or not responses or self._n_lines > meta.n_messages:
            return []
        total = meta.prompt_tokens - self._counted[0], meta.completion_tokens - self._counted[1]
        if min(total) < 0 or not any(total):
            # A rewound or reset session counts from 0 again.
            self._counted = (
                min(meta.prompt_tokens, self._counted[0]),
                min(meta.completion_tokens, self._counted[1]),
            )
            return []
        self._responses = []
        self._counted = meta.prompt_tokens, meta.completion_tokens
        last = (
            min(meta.last_prompt_tokens, total[0]),
            min(meta.last_completion_tokens, total[1]),
        )
        if len(responses) == 1:
            last = total
        n = len(responses) - 1
        rest = zip(shares(total[0] - last[0], n), shares(total[1] - last[1], n), strict=True)
        shared = {"tokens_shared": True}
        earlier = zip(responses, rest, strict=False)
        events = [self._completion(response, counts, shared) for response, counts in earlier]
        context = meta.context_tokens
        return [*events, self._completion(responses[-1], last, context=context)]

    def _completion(
        self,
        response: tuple[str, datetime],
        counts: tuple[int, int],
        extra: dict[str, Any] | None = None,
        context: int | None = None,
    ) -> Event:
        (name, at), (prompt_tokens, completion_tokens) = response, counts
        is_main = self._parent is None and context is not None
        # It is known after the end of the turn, which it must not seem to follow.
        return self._event(
            "completion",
            at - _MOMENT,
            f"{AGENT}:{name}:Usage",
            model=self._meta.model,
            input_tokens=prompt_tokens,
            cache_read_tokens=0,
            cache_write_5m_tokens=0,
            cache_write_1h_tokens=0,
            output_tokens=completion_tokens,
            cost_usd=self._meta.cost_of(prompt_tokens, completion_tokens),
            context_tokens=context if is_main else None,
            context_window=self._meta.window if is_main else None,
            extra=extra,
        )


def _arguments(text: object) -> object:
    """Return the input of a call, which is JSON in a string."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text
