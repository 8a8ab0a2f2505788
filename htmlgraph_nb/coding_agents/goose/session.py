"""Rows of Goose's database to events, pure: the state of one session.

Written against version 1.52.0 with schema 16, whose columns that are read here exist since schema
13. Sources: that program, and crates/goose/src/session/session_manager.rs and
crates/goose-provider-types/src/conversation/message.rs of aaif-goose/goose.

Times are seconds. A message is stored when it is complete; an assistant's one with tool calls when
these have ended, together with a user's message that holds the results. The turn is over with the
first assistant's message without a tool call. Goose stores neither that it asks for a permission
nor that a turn was cancelled, and of errors only some. A compaction replaces all messages by copies
with new row numbers.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from ...core.ids import call_key, shorten_id
from ...core.model import Event
from ...core.timestamps import EPOCH
from ...core.validation import MAX_INTEGER
from ..content_rules import is_question
from ..databases.session_database import Row
from ..failures import failure_extra
from ..fields import (
    amount,
    count,
    identifier,
    label,
    local_project_name,
    mapping,
    milliseconds,
    safe_keyword,
    string,
    time_after,
    timestamp_of_seconds,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import CallKeys, OpenCall, cached_agent_id, remember_call
from ..titles import TITLE_GENERATED
from .constants import AGENT, CANNOT_WORK, SESSION_SOURCE

_DEFAULT_TITLES = frozenset({"CLI Session", "New Chat", "ACP Session", "New session"})
_MAX_SECONDS = 10_000_000_000
"""From this number on, a timestamp is milliseconds, as Goose decides itself."""
_MAX_MESSAGES = 10_000
_SECOND, _MOMENT = timedelta(seconds=1), timedelta(microseconds=1)
_DIGEST_CHARS = 12


class GooseSession:
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
        self._title: str | None = None
        self._stopped_at: datetime | None = None
        self._model: str | None = None
        self._started = self._ended = False
        self._last_at: datetime | None = None
        self._calls: dict[str, OpenCall] = {}
        self._call_keys = CallKeys()
        self._read: OrderedDict[str, None] = OrderedDict()
        self.is_running = False

    def feed_session(self, row: Row) -> list[Event]:
        """Return the events of the session's own row: its start, title and end."""
        created, updated = (timestamp_of_seconds(row[name]) for name in ("created", "updated"))
        if created is None:
            return []
        self._cwd = whole_path(row["folder"]) or self._cwd
        self._project = local_project_name(row["folder"]) or self._project
        self._model = string(row["model"]) or self._model
        self._root = identifier(row["root"]) or self._id
        parent = identifier(row["parent"])
        self._parent = None if parent is None else cached_agent_id(parent, AGENT)
        events = [] if self._started else [self._start(created)]
        self._started = True
        title = label(row["title"])
        if title is not None and title != self._title:
            self._title = title
            if title not in _DEFAULT_TITLES:
                extra = None if row["is_named"] else {TITLE_GENERATED: True}
                key = self._key(f"Title:{sha256(title.encode()).hexdigest()[:_DIGEST_CHARS]}")
                at = updated or created
                events.append(self._event("session_info", at, key, title=title, extra=extra))
        archived = timestamp_of_seconds(row["archived"])
        if archived is not None and not self._ended:
            self._ended = True
            events.append(self._event("session_end", archived, self._key("Archived")))
        return events

    def _start(self, at: datetime) -> Event:
        if self._parent is None:
            return self._event("session_start", at, self._key("SessionStart"))
        extra = {"child_agent_id": self._agent}
        owner = {"agent_id": self._parent, "parent_agent_id": None}
        return self._event("subagent_start", at, self._key("SubagentStart"), extra=extra, **owner)

    def deleted(self) -> list[Event]:
        """Return the end of a session that is no longer in the database."""
        if self._ended or self._last_at is None:
            return []
        self._ended, self.is_running = True, False
        return [self._event("session_end", self._last_at, self._key("Deleted"))]

    def feed_message(self, row: Row) -> list[Event]:
        """Return the events of a message."""
        at = _time(row["created"])
        blocks = _blocks(row["blocks"])
        if at is None or not blocks:
            return []
        results = [block for block in blocks if block.get("type") == "toolResponse"]
        if row["role"] == "assistant":
            return self._answer(row, blocks, at)
        if row["role"] != "user":
            return []
        if results:
            return [event for block in results for event in self._result(block, at)]
        # Those that only the model sees are reminders, as of the current time.
        if row["is_hidden"] or not self._is_new(row, blocks):
            return []
        self.is_running = True
        return [self._event("prompt", at, self._key(f"{_name(row)}:UserPromptSubmit"))]

    def _is_new(self, row: Row, blocks: list[Mapping[str, Any]]) -> bool:
        """Return whether a message was not read before, also not as the original of a copy."""
        name = f"{_name(row)}:{len(blocks)}"
        if name in self._read:
            return False
        self._remember(name)
        return True

    def _remember(self, name: str) -> None:
        self._read[name] = None
        if len(self._read) > _MAX_MESSAGES:
            self._read.popitem(last=False)

    def _answer(self, row: Row, blocks: list[Mapping[str, Any]], at: datetime) -> list[Event]:
        calls = [
            block for block in blocks if block.get("type") in ("toolRequest", "frontendToolRequest")
        ]
        events = [event for block in calls for event in self._call(block, at)]
        failure = next((block for block in blocks if block.get("type") == "error"), None)
        notice = next((block for block in blocks if block.get("type") == "systemNotification"), {})
        if calls or not self._is_new(row, blocks):
            return events
        name = _name(row)
        asked = next((block for block in blocks if _asks(block)), None)
        if asked is not None:
            key = self._key(f"{name}:PermissionRequest")
            tool = safe_keyword(asked.get("asks"))
            return [*events, self._event("permission_request", at, key, tool_name=tool)]
        if failure is not None:
            self.is_running = False
            kind = CANNOT_WORK.get(str(failure.get("kind")))
            extra = failure_extra(kind, failure.get("message"), at) or None
            return [*events, self._event("error", at, self._key(f"{name}:Error"), extra=extra)]
        if notice:
            if notice.get("kind") != "creditsExhausted":
                return events
            self.is_running = False
            extra = {"cannot_work": "usage_limited"}
            return [*events, self._event("error", at, self._key(f"{name}:Error"), extra=extra)]
        if row["is_hidden"]:
            return events
        self.is_running, self._stopped_at = False, at
        texts = [block.get("tail") for block in blocks if block.get("type") == "text"]
        extra = {"question": True} if texts and is_question(texts[-1]) else None
        return [*events, self._event("stop", at, self._key(f"{name}:Stop"), extra=extra)]

    def _call(self, block: Mapping[str, Any], at: datetime) -> list[Event]:
        call = identifier(block.get("id"))
        if call is None:
            return []
        key = self._call_keys.key_of(call, at)
        if call in self._calls or f"{key}:done" in self._read:
            return []
        tool = safe_keyword(block.get("tool")) or string(block.get("tool"))
        hashed = self._hash_input(_json(block.get("input")))
        remember_call(self._calls, call, OpenCall(tool, at, hashed, key))
        event_id = call_key(self._id, key, "PreToolUse")
        fields = {"tool_name": tool, "tool_use_id": call, "input_hash": hashed}
        return [self._event("tool_start", at, event_id, **fields)]

    def _result(self, block: Mapping[str, Any], at: datetime) -> list[Event]:
        call = identifier(block.get("id"))
        opened = None if call is None else self._calls.pop(call, None)
        if call is None or opened is None:
            return []
        self._remember(f"{opened.key}:done")
        failed = block.get("status") == "error" or block.get("failed") in (1, True)
        done = self._event(
            "tool_error" if failed else "tool_execute",
            at,
            call_key(self._id, opened.key or call, "PostToolUse"),
            tool_name=opened.name,
            tool_use_id=call,
            input_hash=opened.input_hash,
            status="error" if failed else "ok",
            duration_ms=milliseconds(opened.at, at),
        )
        child = identifier(block.get("child"))
        return [done] if child is None else [done, *self._end_child(call, child, at)]

    def _end_child(self, call: str, child: str, at: datetime) -> list[Event]:
        agent, key = cached_agent_id(child, AGENT), self._key(f"{call}:SubagentStop")
        owner = {"agent_id": agent, "parent_agent_id": self._agent}
        return [
            self._event("subagent_stop", at, key, extra={"child_agent_id": agent}),
            self._event("session_end", at, f"{key}:2", **owner),
        ]

    def feed_usage(self, row: Row) -> list[Event]:
        """Return the completion of a row of the usage ledger, a request to the model."""
        at = self._completed_at(row)
        total, output = count(row["input"]) or 0, count(row["output"]) or 0
        if at is None or not (total or output):
            return []
        read, write = count(row["cache_read"]) or 0, count(row["cache_write"]) or 0
        # The input includes the cache.
        read = min(read, total)
        write = min(write, total - read)
        is_main = self._parent is None and not row["is_compaction"]
        events = [
            self._event(
                "completion",
                at,
                self._key(f"{row['id']}:Completion"),
                model=string(row["model"]) or self._model,
                input_tokens=total - read - write,
                cache_read_tokens=read,
                cache_write_5m_tokens=write,
                cache_write_1h_tokens=0,
                output_tokens=min(output, MAX_INTEGER),
                cost_usd=amount(row["cost"]) or None,
                context_tokens=total if is_main else None,
                extra=without_none(cost_source=safe_keyword(row["cost_source"])),
            )
        ]
        if row["is_compaction"]:
            key, extra = self._key(f"{row['id']}:PostCompact"), {"compacted": True}
            events.append(self._event("activity", at, key, extra=extra))
        return events

    def _completed_at(self, row: Row) -> datetime | None:
        """Return when a request was complete: before the end of the turn, in whose second it is.

        Its row can be written in the second after that of its message.
        """
        at = _time(row["created"])
        if at is None:
            return None
        at -= _SECOND
        if not self.is_running and self._stopped_at is not None:
            at = min(at, self._stopped_at - _MOMENT)
        return at

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


def _asks(block: Mapping[str, Any]) -> bool:
    """Return whether a block asks a person for a permission."""
    is_action = block.get("type") == "actionRequired" and block.get("kind") == "toolConfirmation"
    return is_action or block.get("type") == "toolConfirmationRequest"


def _name(row: Row) -> str:
    """Return the name of a message; some providers give all messages the same id."""
    return f"{identifier(row['name']) or row['id']}:{row['created']}"


def _time(value: object) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    unit = "milliseconds" if value >= _MAX_SECONDS else "seconds"
    return time_after(EPOCH, **{unit: value})


def _blocks(text: object) -> list[Mapping[str, Any]]:
    value = _json(text)
    return [mapping(item) for item in value] if isinstance(value, list) else []


def _json(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
