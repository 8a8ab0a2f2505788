"""Rows of OpenCode's database to events, pure: the state of one session.

Written against version 1.18.33, whose tables ``session``, ``message`` and ``part`` are those of
version 1.2 and later; the JSON files of older versions hold the same objects. Sources: that
program, and session.sql, message-v2, processor and prompt in packages/opencode/src/session of
anomalyco/opencode.

A message is updated in place until it is complete, and so is the part of a tool call. A request is
one assistant message; the turn is over when the last one ends for another reason than to run tools.
A fork repeats the messages of its session under new ids.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from datetime import datetime
from hashlib import sha256
from typing import Any

from ...core.ids import call_key, shorten_id
from ...core.model import Event
from ...core.timestamps import EPOCH, to_micros
from ...core.validation import MAX_INTEGER
from ..content_rules import is_question, question_extra
from ..databases.session_database import Row
from ..failures import failure_extra, kind_of_status, retry_extra
from ..fields import (
    amount,
    count,
    identifier,
    label,
    local_project_name,
    milliseconds,
    safe_keyword,
    string,
    time_after,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import CallKeys, cached_agent_id
from ..titles import TITLE_GENERATED
from .constants import ABORTED, AGENT, CANNOT_WORK, QUESTION_TOOLS, SESSION_SOURCE

_DEFAULT_TITLE = re.compile(
    r"(?:New|Child) session - \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z(?: \(fork #\d+\))?"
)
_SUBAGENT = re.compile(r"\s*\(@([\w.:/+-]{1,64}) subagent\)$")
"""End of the title of a session that the tool ``task`` started."""
_CONTINUES = frozenset({"tool-calls", "unknown"})
"""Reasons for the end of a request after which OpenCode sends another one."""
_ABORTED_TOOL = "Tool execution aborted"
_REFUSED = ("The user rejected permission", "The user dismissed this question")
"""Starts of the errors of tool calls that the user refused, after which the turn is over."""
_MAX_MESSAGES = 1_000
_MAX_CALLS = 10_000
_DIGEST_CHARS = 12


class OpenCodeSession:
    """The state of one session; see ``database`` for its rows.

    Args:
        session: its id.
        hash_input: returns the ``input_hash`` of tool calls.

    Attributes:
        is_running: whether a turn is running.
    """

    def __init__(self, session: str, hash_input: HashInput = no_hash) -> None:
        self._id = shorten_id(session)
        self._hash_input = hash_input
        self._agent = cached_agent_id(self._id, AGENT)
        self._root = self._id
        self._parent: str | None = None
        self._project: str | None = None
        self._cwd: str | None = None
        self._created = EPOCH
        self._title: str | None = None
        self._started = self._ended = False
        self._last_at: datetime | None = None
        self._facts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._unfinished: dict[str, Row] = {}
        # Part → whether its call has ended.
        self._calls: OrderedDict[str, bool] = OrderedDict()
        self._call_keys = CallKeys()
        self.is_running = False

    def feed_session(self, row: Row) -> list[Event]:
        """Return the events of the session's own row: its start, title and end."""
        created, updated = _time(row["created"]), _time(row["updated"])
        if created is None:
            return []
        self._created = created
        self._cwd = whole_path(row["directory"]) or self._cwd
        self._project = local_project_name(row["directory"]) or self._project
        self._root = identifier(row["root"]) or self._id
        parent = identifier(row["parent"])
        self._parent = None if parent is None else cached_agent_id(parent, AGENT)
        events = [] if self._started else [self._start(row, created)]
        self._started = True
        title = label(_SUBAGENT.sub("", row["title"]) if isinstance(row["title"], str) else None)
        if title is not None and title != self._title:
            self._title = title
            if not _DEFAULT_TITLE.fullmatch(title):
                key = f"Title:{sha256(title.encode()).hexdigest()[:_DIGEST_CHARS]}"
                fields = {"title": title, "extra": {TITLE_GENERATED: True}}
                at = updated or created
                events.append(self._event("session_info", at, self._key(key), **fields))
        archived = _time(row["archived"])
        if archived is not None and not self._ended:
            self._ended = True
            key = self._key(f"Archived:{row['archived']}")
            events.append(self._event("session_end", archived, key))
        return events

    def _start(self, row: Row, at: datetime) -> Event:
        if self._parent is None:
            return self._event("session_start", at, self._key("SessionStart"))
        match = _SUBAGENT.search(row["title"] if isinstance(row["title"], str) else "")
        extra = without_none(child_agent_id=self._agent, agent_type=match[1] if match else None)
        owner = {"agent_id": self._parent, "parent_agent_id": None}
        return self._event("subagent_start", at, self._key("SubagentStart"), extra=extra, **owner)

    def deleted(self) -> list[Event]:
        """Return the end of a session that is no longer in the database."""
        if self._ended or self._last_at is None:
            return []
        self._ended, self.is_running = True, False
        return [self._event("session_end", self._last_at, self._key("Deleted"))]

    def feed(self, message: Row, parts: list[Row]) -> list[Event]:
        """Return the events of a message and of those of its parts that are new or have changed."""
        name, created = identifier(message["id"]), _time(message["created"])
        if name is None or created is None:
            return []
        if created < self._created:
            # A fork repeats the messages of another session.
            return []
        if message["role"] == "user":
            return self._request(name, created, parts)
        if message["role"] != "assistant":
            return []
        events = [event for part in parts for event in self._part(name, part)]
        if message["completed"] is None and message["error"] is None:
            self._unfinished[name] = message
            return events
        self._unfinished.pop(name, None)
        at = max(created, _time(message["completed"]) or created)
        return [
            *events,
            *self._completion(message, at),
            *self._end_of_request(name, message, at),
        ]

    def _request(self, name: str, created: datetime, parts: list[Row]) -> list[Event]:
        facts = self._facts_of(name)
        for part in parts:
            if part["type"] == "compaction":
                facts["auto"] = bool(part["auto"])
        if facts.get("is_read"):
            return []
        facts["is_read"] = self.is_running = True
        prompt = self._event("prompt", created, self._key(f"{name}:UserPromptSubmit"))
        return [*self.finish(), prompt]

    def _end_of_request(self, name: str, row: Row, at: datetime) -> list[Event]:
        facts, error = self._facts.pop(name, {}), row["error"]
        if error is not None:
            self.is_running = False
            if error == ABORTED:
                return [self._event("interrupt", at, self._key(f"{name}:Interrupt"))]
            kind = CANNOT_WORK.get(error) or kind_of_status(count(row["error_status"]))
            extra = failure_extra(kind, row["error_text"], at) or None
            return [self._event("error", at, self._key(f"{name}:Error"), extra=extra)]
        if row["summary"]:
            return self._compacted(name, row, at)
        runs_on = bool(facts.get("calls")) and row["finish"] is not None
        if (runs_on or row["finish"] in _CONTINUES) and not facts.get("is_refused"):
            return []
        self.is_running = False
        extra = {"question": True} if facts.get("question") else None
        return [self._event("stop", at, self._key(f"{name}:Stop"), extra=extra)]

    def _compacted(self, name: str, row: Row, at: datetime) -> list[Event]:
        """Return the end of a compaction; after one at the prompt, the agent waits there again."""
        request = self._facts.get(identifier(row["parent"]) or "", {})
        is_manual = request.get("auto") is False
        self.is_running = not is_manual
        key, extra = self._key(f"{name}:PostCompact"), {"compacted": True}
        return [self._event("idle" if is_manual else "activity", at, key, extra=extra)]

    def _part(self, message: str, row: Row) -> list[Event]:
        kind, at = row["type"], _time(row["created"])
        if kind == "text":
            self._facts_of(message)["question"] = is_question(row["tail"])
        elif kind == "tool":
            return self._call(message, row)
        elif kind == "retry" and at is not None:
            reason = kind_of_status(count(row["error_status"]))
            extra = retry_extra(reason, row["attempt"], None, None)
            return [self._event("retry", at, self._key(f"{row['id']}:Retry"), extra=extra)]
        return []

    def _call(self, message: str, row: Row) -> list[Event]:
        part, status = identifier(row["id"]), row["status"]
        created, updated = _time(row["created"]), _time(row["updated"])
        if part is None or created is None or updated is None:
            return []
        facts = self._facts_of(message)
        facts["calls"] = facts.get("calls") or not row["remote"]
        is_done = self._calls.get(part)
        if is_done or status not in ("running", "completed", "error"):
            # While it is pending, the model is still writing the input.
            return []
        call = identifier(row["call"]) or part
        name = self._call_keys.key_of(call, created)
        start = max(created, _time(row["start"]) or created)
        tool = safe_keyword(row["tool"]) or string(row["tool"])
        is_invalid = tool == "invalid"
        shown = (safe_keyword(row["intended"]) if is_invalid else None) or tool
        fields: dict[str, Any] = {"tool_name": shown, "tool_use_id": call}
        events = []
        if is_done is None:
            hashed = None if row["input"] is None else self._hash_input(_json(row["input"]))
            extra = question_extra(tool, QUESTION_TOOLS)
            details = {**fields, "input_hash": hashed, "extra": extra}
            key = call_key(self._id, name, "PreToolUse")
            events.append(self._event("tool_start", start, key, **details))
        self._remember_call(part, status != "running")
        if status == "running":
            return events
        end = max(start, _time(row["end"]) or updated)
        child = identifier(row["child"]) if tool == "task" and not row["background"] else None
        if child is not None:
            events += self._end_child(part, child, end)
        error = row["error_text"] if isinstance(row["error_text"], str) else ""
        if status == "error" and error.startswith(_REFUSED):
            facts["is_refused"] = True
            key = call_key(self._id, name, "PermissionDenied")
            details = {**fields, "extra": {"decision": "denied"}}
            return [*events, self._event("answered", end, key, **details)]
        failed = status == "error" or is_invalid or row["exit"] not in (None, 0)
        is_interrupted = failed and (bool(row["interrupted"]) or error == _ABORTED_TOOL)
        done = self._event(
            "tool_error" if failed else "tool_execute",
            end,
            call_key(self._id, name, "PostToolUse"),
            status="error" if failed else "ok",
            duration_ms=milliseconds(start, end),
            extra={"is_interrupt": True} if is_interrupted else None,
            **fields,
        )
        return [*events, done]

    def _end_child(self, part: str, child: str, at: datetime) -> list[Event]:
        agent, key = cached_agent_id(child, AGENT), self._key(f"{part}:SubagentStop")
        owner = {"agent_id": agent, "parent_agent_id": self._agent}
        return [
            self._event("subagent_stop", at, key, extra={"child_agent_id": agent}),
            self._event("session_end", at, f"{key}:2", **owner),
        ]

    def _remember_call(self, part: str, is_done: bool) -> None:
        self._calls[part] = is_done
        if len(self._calls) > _MAX_CALLS:
            self._calls.popitem(last=False)

    def _facts_of(self, message: str) -> dict[str, Any]:
        facts = self._facts.setdefault(message, {})
        if len(self._facts) > _MAX_MESSAGES:
            self._facts.popitem(last=False)
        return facts

    def still_running(self, at: datetime) -> list[Event]:
        """Return an activity if a turn is running, whose model may take long for an answer."""
        if not self.is_running:
            return []
        return [self._event("activity", at, self._key(f"Running:{to_micros(at)}"))]

    def finish(self) -> list[Event]:
        """Return the completions of requests that ended without a mark, as in a crash."""
        rows, self._unfinished = list(self._unfinished.values()), {}
        events: list[Event] = []
        for row in rows:
            created = _time(row["created"])
            events += [] if created is None else self._completion(row, created)
        return events

    def _completion(self, row: Row, at: datetime) -> list[Event]:
        """Return the completion of a request, if it used tokens."""
        fresh, read, write = (count(row[name]) or 0 for name in ("input", "read", "write"))
        output, reasoning = count(row["output"]) or 0, count(row["reasoning"]) or 0
        context = fresh + read + write
        if not (context or output or reasoning):
            return []
        if count(row["total"]) != context + output:
            # The output of older versions includes the reasoning.
            output += reasoning
        is_main = self._parent is None and not row["summary"]
        provider = safe_keyword(row["provider"])
        return [
            self._event(
                "completion",
                at,
                self._key(f"{identifier(row['id'])}:Completion"),
                model=string(row["model"]),
                input_tokens=fresh,
                cache_read_tokens=read,
                cache_write_5m_tokens=write,
                cache_write_1h_tokens=0,
                output_tokens=min(output, MAX_INTEGER),
                # It is 0 for a model without a price, and with a subscription.
                cost_usd=amount(row["cost"]) or None,
                context_tokens=min(context, MAX_INTEGER) if is_main else None,
                duration_ms=milliseconds(_time(row["created"]), at),
                extra=without_none(reasoning_tokens=reasoning or None, provider=provider),
            )
        ]

    def _key(self, key: str) -> str:
        return shorten_id(f"{self._id}:{key}")

    def _event(self, event_type: str, at: datetime, event_id: str, **fields: Any) -> Event:
        self._last_at = max(at, self._last_at or at)
        values = {"agent_id": self._agent, "parent_agent_id": self._parent, **fields}
        return Event(
            event_type=event_type,
            timestamp=at,
            event_id=shorten_id(event_id),
            session_id=self._root,
            project=self._project,
            cwd=self._cwd,
            source=SESSION_SOURCE,
            **values,
        )


def _time(milliseconds_: object) -> datetime | None:
    if isinstance(milliseconds_, bool) or not isinstance(milliseconds_, int | float):
        return None
    return time_after(EPOCH, milliseconds=milliseconds_)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
