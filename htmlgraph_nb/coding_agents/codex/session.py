"""Convert Codex's session files ("rollouts") to events. Pure.

``~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl``. Source of the format: RolloutLine and EventMsg in
codex-rs/protocol/src/protocol.rs of openai/codex, and files of the versions 0.40 to 0.169. Unknown
lines and fields are ignored.

Each ``token_count`` contains the tokens of the last request and those of the session so far. The
former are summed, because the latter can restart from 0; a line that repeats the previous total is
ignored. Input includes cached tokens, output includes reasoning. A forked session
starts with a copy of its parent's history, whose lines have the time of the fork or their own; the
copy does not count again. If the provider compacts the context, no ``token_count`` contains the
tokens of that request, only the ``token_usage_record`` that the ``compacted`` line names.

The name of a session is in ``thread_name_updated`` (seen in 0.100 to 0.140; later versions keep it
in a database). A person or a model gave it. A subagent has a nickname and a role.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ...core.timestamps import to_rfc3339
from ..content_rules import is_question
from ..failures import failure_extra
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
from ..session import cached_agent_id, parse_record
from . import lines
from .calls import Calls
from .constants import AGENT, SESSION_SOURCE
from .forks import Fork
from .lines import Record, Usage
from .service_tier import ServiceTier
from .turns import Turns, abort_event_type
from .usage_limits import UsageLimits

START_QUIET_S = 5.0
"""Seconds of quiet after which a turn has started without a prompt. The line of a prompt comes up
to 3 s after the start of its turn; a command that the user runs with ``!`` often ends sooner."""


@dataclass(slots=True)
class CodexSession:
    """Reader of one session file of Codex; see ``session.SessionReader``.

    Args:
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (START_QUIET_S,)

    hash_input: HashInput = no_hash
    _session: str | None = None
    _agent: str = ""
    _parent: str | None = None
    _root: str | None = None
    _project: str | None = None
    _cwd: str | None = None
    _branch: str | None = None
    _title: str | None = None
    _zone: str | None = None
    _context: int | None = None
    _limits: UsageLimits = field(default_factory=UsageLimits)
    _tier: ServiceTier = field(default_factory=ServiceTier)
    _model: str | None = None
    _at: datetime | None = None
    _total: Usage | None = None
    _n_completions: int = 0
    _request: tuple[str, Usage] | None = None
    _turns: Turns = field(default_factory=Turns)
    _calls: Calls = field(init=False)
    _prompt_form: object = None
    _fork: Fork = field(default_factory=Fork)

    def __post_init__(self) -> None:
        self._calls = Calls(self.hash_input)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Lines of types without events are not parsed. Lines before the id of the session are
        ignored.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        if not lines.may_have_events(line):
            return []
        record = parse_record(line)
        payload = mapping(record.get("payload"))
        kind = record.get("type")
        before, at = self._at, timestamp(record.get("timestamp"))
        at = self._at = at or before
        if at is None:
            return []
        if kind == "session_meta":
            return self._start(payload, at)
        if self._session is None:
            return []
        if self._fork.copied(record, payload, before, at):
            copied = lines.usage_of(mapping(payload.get("info")).get("total_token_usage"))
            self._total = copied or self._total
            return []
        self._tier.read(kind, payload)
        if kind == "turn_context":
            self._model = string(payload.get("model")) or self._model
            self._turns.current = identifier(payload.get("turn_id")) or self._turns.current
            self._cwd = whole_path(payload.get("cwd")) or self._cwd
            self._zone = string(payload.get("timezone"))
            return []
        if kind == "token_usage_record":
            response = identifier(payload.get("response_id"))
            used = lines.usage_of(payload.get("usage"))
            self._request = None if response is None or used is None else (response, used)
            return []
        reader = _READERS.get(kind if kind == "compacted" else f"{kind}/{payload.get('type')}")
        events = [] if reader is None else reader(self, payload, at)
        return [*self._start_unprompted_turn(), *events] if events else []

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the start of a turn without a prompt."""
        return [] if quiet_s < START_QUIET_S else self._start_unprompted_turn()

    def finish(self) -> list[Event]:
        """Return the start of a turn without a prompt."""
        return self._start_unprompted_turn()

    def _start_unprompted_turn(self) -> list[Event]:
        at = self._turns.pop_unprompted()
        if at is None:
            return []
        return [self._event("activity", at, f"{self._turns.current or at.isoformat()}:Start")]

    def _event(self, event_type: str, at: datetime, key: str, **fields: Any) -> Event:
        return Event(
            event_type=event_type,
            timestamp=at,
            session_id=self._root,
            event_id=shorten_id(f"{self._session}:{key}"),
            project=self._project,
            source=SESSION_SOURCE,
            **{
                "agent_id": self._agent,
                "parent_agent_id": self._parent,
                "branch": self._branch,
                "cwd": self._cwd,
                **fields,
            },
        )

    def _start(self, payload: Record, at: datetime) -> list[Event]:
        session = identifier(payload.get("id")) or identifier(payload.get("session_id"))
        created = timestamp(payload.get("timestamp")) or at
        if session is None or session == self._session:
            return []
        if self._fork.forked_at is not None and created <= self._fork.forked_at:
            # The copied history starts with the first line of the original session.
            return []
        parent = lines.parent_session(payload)
        is_fork = parent or identifier(payload.get("forked_from_id"))
        self._session, self._agent = session, cached_agent_id(session, AGENT)
        self._parent = None if parent is None else cached_agent_id(parent, AGENT)
        self._root = session if parent is None else parent
        self._project = local_project_name(payload.get("cwd"))
        self._cwd = whole_path(payload.get("cwd"))
        self._branch = branch_name(mapping(payload.get("git")).get("branch"))
        self._title = self._zone = self._context = self._prompt_form = None
        self._limits, self._tier, self._turns = UsageLimits(), ServiceTier(), Turns()
        self._model = self._total = self._request = None
        self._n_completions, self._calls = 0, Calls(self.hash_input)
        self._fork = Fork.of_meta(payload, created if is_fork else None)
        if parent is None:
            extra = without_none(version=safe_keyword(payload.get("cli_version")))
            return [self._event("session_start", created, "SessionStart", extra=extra)]
        return [self._child_start(created), *self._set_title(lines.subagent_name(payload), created)]

    def _child_start(self, at: datetime, run: int = 1) -> Event:
        """Return the start of a run of this subagent, as an event of its parent."""
        fields = {"agent_id": self._parent, "parent_agent_id": None, "branch": None, "cwd": None}
        extra, key = {"child_agent_id": self._agent}, "SubagentStart"
        key += "" if run == 1 else f"@{run}"
        return self._event("subagent_start", at, key, extra=extra, **fields)

    def _token_count(self, payload: Record, at: datetime) -> list[Event]:
        events = self._completions(mapping(payload.get("info")), at)
        quota = self._quota(payload, at)
        is_completed = any(event.event_type == "completion" for event in events)
        self._turns.limited = not is_completed and self._limits.full_until() is not None
        return [*events, *quota]

    def _quota(self, payload: Record, at: datetime) -> list[Event]:
        extra = self._limits.changes(mapping(payload.get("rate_limits")))
        if extra is None:
            return []
        return [self._event("quota", at, f"quota:{extra['account']}:{at.isoformat()}", extra=extra)]

    def _completions(self, info: Record, at: datetime) -> list[Event]:
        """Return the completion that a ``token_count`` reports, if it is new."""
        context = self._read_context(info)
        last_total = self._total
        total = lines.usage_of(info.get("total_token_usage"))
        used = lines.usage_of(info.get("last_token_usage"))
        if total is not None:
            self._total = total
            if total == last_total:
                return self._context_changed(context, at)
            if used is None:
                used = lines.growth(total, last_total)
        if used is None or not any(used):
            return self._context_changed(context, at)
        if self._request is not None and self._request[1] == used:
            self._request = None
        self._n_completions += 1
        key = f"answer:{self._n_completions}"
        return [self._completion(key, at, used, string(info.get("model")), context)]

    def _read_context(self, info: Record) -> dict[str, int]:
        """Return the tokens in the context, and its window; nothing for a subagent."""
        tokens = count(mapping(info.get("last_token_usage")).get("total_tokens"))
        if tokens is None or self._parent is not None:
            return {}
        window = count(info.get("model_context_window"))
        return {"context_tokens": tokens, **({"context_window": window} if window else {})}

    def _context_changed(self, context: dict[str, int], at: datetime) -> list[Event]:
        """Return the size of the context if it changed without a completion: by a compaction."""
        tokens = context.get("context_tokens")
        if tokens is None or tokens == self._context:
            return []
        self._context = tokens
        return [self._event("session_info", at, f"context:{at.isoformat()}", **context)]

    def _completion(
        self,
        key: str,
        at: datetime,
        used: Usage,
        model: str | None = None,
        context: dict[str, int] | None = None,
    ) -> Event:
        if context:
            self._context = context["context_tokens"]
        total_input, cached, written, output, reasoning = used
        return self._event(
            "completion",
            at,
            key,
            model=model or self._model,
            service_tier=self._tier.of_completion(),
            input_tokens=max(0, total_input - cached - written),
            cache_read_tokens=min(cached, total_input),
            cache_write_5m_tokens=written,
            cache_write_1h_tokens=0,
            output_tokens=output,
            extra=without_none(reasoning_tokens=reasoning or None, turn_id=self._turns.current),
            **(context or {}),
        )

    def _compaction(self, payload: Record, at: datetime) -> list[Event]:
        """Return a compaction, and its request if no ``token_count`` contains it."""
        extra = {"hook_event_name": "PostCompact", "compacted": True}
        events = [self._event("activity", at, f"compacted:{at.isoformat()}", extra=extra)]
        request, self._request = self._request, None
        if request is None or request[0] != identifier(payload.get("compaction_response_id")):
            return events
        key = self._calls.keys.key_of(f"compaction:{request[0]}", at)
        return [self._completion(key, at, request[1]), *events]

    def _tool_call_start(self, payload: Record, at: datetime) -> list[Event]:
        if (call := self._calls.start(payload, at)) is None:
            return []
        self._turns.failed = False
        return [self._event("tool_start", at, f"{call[0]}:PreToolUse", **call[1])]

    def _tool_call_end(self, payload: Record, at: datetime) -> list[Event]:
        if (call := self._calls.end(payload, at)) is None:
            return []
        kind = "tool_error" if call[1]["status"] == "error" else "tool_execute"
        return [self._event(kind, at, f"{call[0]}:PostToolUse", **call[1])]

    def _web_search(self, payload: Record, at: datetime) -> list[Event]:
        call = identifier(payload.get("id")) or f"web_search:{at.isoformat()}"
        fields = {"tool_name": "web_search", "tool_use_id": call}
        key = self._calls.keys.key_of(call, at)
        return [self._event("tool_execute", at, f"{key}:PostToolUse", **fields)]

    def _turn_started(self, payload: Record, at: datetime) -> list[Event]:
        run = self._turns.start(payload, at)
        self._calls.failed.clear()
        return [] if self._parent is None or run == 1 else [self._child_start(at, run)]

    def _item(self, payload: Record, at: datetime) -> list[Event]:
        item = mapping(payload.get("item"))
        kind = item.get("type")
        self._turns.planned = self._turns.planned or kind == "Plan"
        call = identifier(item.get("id"))
        if kind == "McpToolCall" and item.get("status") == "failed" and call is not None:
            # The next line, its output, contains only the text of the error.
            self._calls.failed.add(call)
        return self._prompt(payload, at) if kind == "UserMessage" else []

    def _prompt(self, payload: Record, at: datetime) -> list[Event]:
        form = payload.get("type")
        # Some versions write each prompt in two forms; read only the form of the first prompt.
        self._prompt_form = self._prompt_form or form
        if form != self._prompt_form:
            return []
        self._turns.on_prompt()
        return [self._event("prompt", at, f"prompt:{at.isoformat()}")]

    def _turn_ended(self, payload: Record, at: datetime) -> list[Event]:
        turns, reason = self._turns, payload.get("reason")
        if not turns.end(payload):
            return []
        planned, turns.planned = turns.planned, False
        turn = identifier(payload.get("turn_id")) or at.isoformat()
        fields = {"duration_ms": count(payload.get("duration_ms"))}
        if payload.get("type") == "turn_aborted":
            kind, extra = abort_event_type(reason), without_none(reason=safe_keyword(reason))
            key = f"{turn}:{'Interrupt' if kind == 'interrupt' else 'Stop'}"
            ends = [self._event(kind, at, key, extra=extra, **fields)]
            if reason == "replaced":
                ends.append(self._event("activity", at, f"{turn}:Next"))
            return ends
        if turns.failed:
            # The error has ended the turn already.
            return []
        message = payload.get("last_agent_message")
        if failure := mapping(payload.get("error")):
            # Later versions write the error of a turn only here.
            return self._error(failure, at)
        if message is None and turns.limited:
            # Some versions write no error at all.
            return self._error({"codex_error_info": "usage_limit_exceeded"}, at)
        extra = {"question": True} if is_question(message) else None
        ends = [self._event("stop", at, f"{turn}:Stop", extra=extra, **fields)]
        if planned:
            # After a turn that made a plan, Codex asks whether to carry it out.
            asks = {"asks": "plan"}
            ends.append(self._event("permission_request", at, f"{turn}:Plan", extra=asks))
        return ends

    def _error(self, payload: Record, at: datetime) -> list[Event]:
        error, kind = lines.error_kind(payload.get("codex_error_info"))
        if not lines.ends_turn(error):
            return []
        self._turns.failed = True
        failure = failure_extra(kind, payload.get("message"), at, self._zone)
        if failure.get("cannot_work") == "usage_limited":
            # The windows have an exact end; the text has only minutes.
            until = self._limits.full_until()
            failure |= {} if until is None else {"until": to_rfc3339(until)}
        extra = without_none(**failure, error=error)
        return [self._event("error", at, f"error:{at.isoformat()}", extra=extra)]

    def _renamed(self, payload: Record, at: datetime) -> list[Event]:
        return self._set_title(payload.get("thread_name"), at, {"title_generated": True})

    def _set_title(
        self, value: object, at: datetime, extra: dict[str, Any] | None = None
    ) -> list[Event]:
        title = label(value)
        if title is None or title == self._title:
            return []
        self._title = title
        return [
            self._event("session_info", at, f"title:{at.isoformat()}", title=title, extra=extra)
        ]


_READERS = {
    "compacted": CodexSession._compaction,
    "event_msg/token_count": CodexSession._token_count,
    "event_msg/user_message": CodexSession._prompt,
    "event_msg/item_completed": CodexSession._item,
    "event_msg/task_started": CodexSession._turn_started,
    "event_msg/task_complete": CodexSession._turn_ended,
    "event_msg/turn_aborted": CodexSession._turn_ended,
    "event_msg/error": CodexSession._error,
    "event_msg/thread_name_updated": CodexSession._renamed,
    "response_item/web_search_call": CodexSession._web_search,
    **{f"response_item/{kind}": CodexSession._tool_call_start for kind in lines.CALLS},
    **{f"response_item/{kind}": CodexSession._tool_call_end for kind in lines.OUTPUTS},
}
