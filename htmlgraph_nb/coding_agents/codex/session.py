"""Codex's session files ("rollouts") to Events, pure.

``~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl``; source of the format: RolloutLine and EventMsg in
codex-rs/protocol/src/protocol.rs of openai/codex, and files of the versions 0.40 to 0.169. Unknown
lines and fields are ignored.

Each ``token_count`` tells what the last request used and what the session used so far. The former
are summed, for the latter can begin anew; one whose total is that of the one before it repeats it.
Input includes what came from the cache, output includes reasoning. A forked session begins with a
copy of what its parent did, written at the time of the fork: none of that counts again. What a
compaction used is in no ``token_count`` where the provider compacts, only in the
``token_usage_record`` that the ``compacted`` line names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ..content_rules import is_question, question_extra
from ..fields import (
    base_name,
    count,
    identifier,
    mapping,
    milliseconds,
    safe_keyword,
    string,
    timestamp,
    without_none,
)
from ..session import Call, known_agent, record_of, remember_call
from . import lines as lines
from .constants import AGENT, QUESTION_TOOLS
from .lines import Record, Usage

SOURCE = "codex-session"


@dataclass(slots=True)
class CodexSession:
    """Reader of one session file of Codex; see ``session.SessionReader``."""

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = ()

    _session: str | None = None
    _agent: str = ""
    _parent: str | None = None
    _root: str | None = None
    _project: str | None = None
    _model: str | None = None
    _at: datetime | None = None
    _total: Usage | None = None
    _n_answers: int = 0
    _request: tuple[str, Usage] | None = None
    _turn: str | None = None
    _planned: bool = False
    _failed: bool = False
    _calls: dict[str, Call] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _prompt_form: object = None
    _forked_at: datetime | None = None
    _copied_turns: bool = False
    _own_from: int | None = None

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that are certain with this line; InvalidEvent if it is no JSON object.

        Lines of a kind that tells nothing are not parsed; those of a session that has not told its
        id yet are ignored.
        """
        if not lines.may_tell(line):
            return []
        record = record_of(line)
        payload = mapping(record.get("payload"))
        kind = record.get("type")
        before, at = self._at, timestamp(record.get("timestamp"))
        at = self._at = at or before
        if at is None:
            return []
        if kind == "session_meta":
            return self._begin(payload, at)
        if self._session is None:
            return []
        if self._forked_at is not None and self._is_copy(record, payload, before, at):
            copied = lines.usage_of(mapping(payload.get("info")).get("total_token_usage"))
            self._total = copied or self._total
            return []
        if kind == "turn_context":
            self._model = string(payload.get("model")) or self._model
            self._turn = identifier(payload.get("turn_id")) or self._turn
            return []
        if kind == "token_usage_record":
            response = identifier(payload.get("response_id"))
            used = lines.usage_of(payload.get("usage"))
            self._request = None if response is None or used is None else (response, used)
            return []
        if kind == "compacted":
            return self._compaction(payload, at)
        reader = _READERS.get(f"{kind}/{payload.get('type')}")
        return [] if reader is None else reader(self, payload, at)

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return nothing, as ``finish``."""
        return []

    def finish(self) -> list[Event]:
        """Return nothing: all events of this format are certain with their own line."""
        return []

    def _event(self, kind: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            event_type=kind,
            timestamp=at,
            session_id=self._root,
            event_id=shorten_id(f"{self._session}:{key}"),
            project=self._project,
            source=SOURCE,
            **{"agent_id": self._agent, "parent_agent_id": self._parent, **fields},
        )

    def _begin(self, payload: Record, at: datetime) -> list[Event]:
        session = identifier(payload.get("id")) or identifier(payload.get("session_id"))
        created = timestamp(payload.get("timestamp")) or at
        if session is None or session == self._session:
            return []
        if self._forked_at is not None and created <= self._forked_at:
            # The copied history begins with the head of the session that it is copied from.
            return []
        spawned = lines.spawned_by(payload)
        is_fork = spawned or identifier(payload.get("forked_from_id"))
        self._session, self._agent = session, known_agent(session, AGENT)
        self._parent = None if spawned is None else known_agent(spawned, AGENT)
        self._root = session if spawned is None else spawned
        self._project = base_name(payload.get("cwd"))
        self._model = self._turn = self._total = self._request = None
        self._planned = self._failed = False
        self._n_answers = 0
        self._calls = {}
        self._prompt_form = None
        self._forked_at, self._copied_turns = created if is_fork else None, False
        self._own_from = lines.own_from(payload)
        if spawned is None:
            about = without_none(version=safe_keyword(payload.get("cli_version")))
            return [self._event("session_start", created, "SessionStart", extra=about)]
        about = {"child_agent_id": self._agent}
        parent = {"agent_id": self._parent, "parent_agent_id": None}
        return [self._event("subagent_start", created, "SubagentStart", extra=about, **parent)]

    def _is_copy(
        self, record: Record, payload: Record, before: datetime | None, at: datetime
    ) -> bool:
        """Whether a line of a forked session still belongs to the history of its parent."""
        ordinal = count(record.get("ordinal"))
        if self._own_from is not None and ordinal is not None:
            return ordinal < self._own_from
        forked_at = self._forked_at or at
        copied = lines.begun_before(payload, forked_at)
        if copied is not None:
            if copied:
                self._copied_turns = True
                return True
        elif self._copied_turns or before is None or at - before <= lines.BURST:
            return True
        self._forked_at = None
        return False

    def _tokens(self, payload: Record, at: datetime) -> list[Event]:
        info = mapping(payload.get("info"))
        known = self._total
        total = lines.usage_of(info.get("total_token_usage"))
        used = lines.usage_of(info.get("last_token_usage"))
        if total is not None:
            self._total = total
            if total == known:
                return []
            if used is None:
                used = lines.growth(total, known)
        if used is None or not any(used):
            return []
        if self._request is not None and self._request[1] == used:
            self._request = None
        self._n_answers += 1
        return [self._answer(f"answer:{self._n_answers}", at, used, string(info.get("model")))]

    def _answer(self, key: str, at: datetime, used: Usage, model: str | None = None) -> Event:
        whole, cached, written, output, reasoning = used
        return self._event(
            "completion",
            at,
            key,
            model=model or self._model,
            input_tokens=max(0, whole - cached - written),
            cache_read_tokens=min(cached, whole),
            cache_write_5m_tokens=written,
            cache_write_1h_tokens=0,
            output_tokens=output,
            extra=without_none(reasoning_tokens=reasoning or None, turn_id=self._turn),
        )

    def _compaction(self, payload: Record, at: datetime) -> list[Event]:
        """Return a compaction, and the request behind it where no token_count tells of that."""
        about = {"hook_event_name": "PostCompact"}
        found = [self._event("activity", at, f"compacted:{at.isoformat()}", extra=about)]
        request, self._request = self._request, None
        if request is None or request[0] != identifier(payload.get("compaction_response_id")):
            return found
        return [self._answer(f"compaction:{request[0]}", at, request[1]), *found]

    def _call(self, payload: Record, at: datetime) -> list[Event]:
        call = identifier(payload.get("call_id"))
        if call is None:
            return []
        own = string(payload.get("name")) or safe_keyword(payload.get("type"))
        name = lines.tool_name(own, payload.get("namespace"))
        remember_call(self._calls, call, (name, at))
        self._failed = False
        extra = question_extra(name, QUESTION_TOOLS)
        about = {"tool_name": name, "tool_use_id": call, "extra": extra}
        return [self._event("tool_start", at, f"{call}:PreToolUse", **about)]

    def _output(self, payload: Record, at: datetime) -> list[Event]:
        call = identifier(payload.get("call_id"))
        if call is None:
            return []
        name, start = self._calls.pop(call, (None, None))
        is_error = lines.failed(payload.get("output")) or call in self._broken
        return [
            self._event(
                "tool_error" if is_error else "tool_execute",
                at,
                f"{call}:PostToolUse",
                tool_name=name,
                tool_use_id=call,
                status="error" if is_error else "ok",
                duration_ms=milliseconds(start, at),
            )
        ]

    def _web_search(self, payload: Record, at: datetime) -> list[Event]:
        call = identifier(payload.get("id")) or f"web_search:{at.isoformat()}"
        name = "web_search"
        key = f"{call}:PostToolUse"
        return [self._event("tool_execute", at, key, tool_name=name, tool_use_id=call)]

    def _turn_started(self, payload: Record, at: datetime) -> list[Event]:
        self._turn = identifier(payload.get("turn_id"))
        self._planned = self._failed = False
        self._broken.clear()
        return []

    def _item(self, payload: Record, at: datetime) -> list[Event]:
        item = mapping(payload.get("item"))
        kind = item.get("type")
        self._planned = self._planned or kind == "Plan"
        call = identifier(item.get("id"))
        if kind == "McpToolCall" and item.get("status") == "failed" and call is not None:
            # Its output, which comes next, is the error's text alone.
            self._broken.add(call)
        return self._prompt(payload, at) if kind == "UserMessage" else []

    def _prompt(self, payload: Record, at: datetime) -> list[Event]:
        form = payload.get("type")
        # Some versions write a prompt in both forms.
        self._prompt_form = self._prompt_form or form
        if form != self._prompt_form:
            return []
        return [self._event("prompt", at, f"prompt:{at.isoformat()}")]

    def _turn_ended(self, payload: Record, at: datetime) -> list[Event]:
        cut = payload.get("type") == "turn_aborted"
        if self._failed and not cut:
            # The error before it has ended the turn.
            return []
        turn = identifier(payload.get("turn_id")) or at.isoformat()
        asks = is_question(payload.get("last_agent_message"))
        end = self._event(
            "interrupt" if cut else "stop",
            at,
            f"{turn}:{'Interrupt' if cut else 'Stop'}",
            duration_ms=count(payload.get("duration_ms")),
            extra=without_none(reason=safe_keyword(payload.get("reason")), question=asks or None),
        )
        planned, self._planned = self._planned, False
        if cut or not planned:
            return [end]
        # A turn that made a plan ends at the question whether to carry it out.
        about = {"asks": "plan"}
        return [end, self._event("permission_request", at, f"{turn}:Plan", extra=about)]

    def _error(self, payload: Record, at: datetime) -> list[Event]:
        self._failed = True
        about = without_none(error=safe_keyword(payload.get("codex_error_info")))
        return [self._event("error", at, f"error:{at.isoformat()}", extra=about)]


_READERS = {
    "event_msg/token_count": CodexSession._tokens,
    "event_msg/user_message": CodexSession._prompt,
    "event_msg/item_completed": CodexSession._item,
    "event_msg/task_started": CodexSession._turn_started,
    "event_msg/task_complete": CodexSession._turn_ended,
    "event_msg/turn_aborted": CodexSession._turn_ended,
    "event_msg/error": CodexSession._error,
    "response_item/web_search_call": CodexSession._web_search,
    **{f"response_item/{kind}": CodexSession._call for kind in lines.CALLS},
    **{f"response_item/{kind}": CodexSession._output for kind in lines.OUTPUTS},
}
