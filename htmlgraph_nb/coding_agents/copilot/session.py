"""Convert Copilot CLI's session files to events. Pure.

``~/.copilot/session-state/<session>/events.jsonl``. Source of the format: schemas/
session-events.schema.json in the npm package @github/copilot-linux-x64, and files of the versions
1.0.77, 1.0.78 and 1.0.102. Unknown lines and fields are ignored.

All agents of a session write to its file; ``agentId`` tells subagents apart. The lines of a turn
are described in ``turns``, those of tokens in ``usage``. A permission that a person denied left no
line before version 1.0.102. Costs are in premium requests and AI units, which are no currency.

``workspace.yaml`` beside the file has the name of the session.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar

from ...core.ids import shorten_id
from ...core.model import Event
from ..content_rules import is_question
from ..failures import failure_extra
from ..fields import (
    branch_name,
    count,
    identifier,
    local_project_name,
    mapping,
    safe_keyword,
    timestamp,
    whole_path,
    without_none,
)
from ..input_hash import HashInput, no_hash
from ..session import cached_agent_id, parse_record
from ..titles import start_of_prompt
from . import lines
from .calls import CallEvent, Calls
from .children import ChildEvent, Children
from .constants import AGENT, SESSION_SOURCE
from .lines import Record
from .turns import FINAL_QUIET_S, OTHER_QUIET_S, Turn
from .usage import Usage

_MAX_AGENTS = 1_000
WORKSPACE_FILE = "workspace.yaml"


@dataclass(slots=True)
class CopilotSession:
    """Reader of one session file of Copilot CLI; see ``session.SidecarReader``.

    Args:
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (FINAL_QUIET_S, OTHER_QUIET_S)

    hash_input: HashInput = no_hash
    _session: str | None = None
    _at: datetime | None = None
    _cwd: str | None = None
    _branch: str | None = None
    _model: str | None = None
    _title: str | None = None
    _workspace: dict[str, str] = field(default_factory=dict)
    _prompt: str = ""
    _turns: defaultdict[str, Turn] = field(default_factory=lambda: defaultdict(Turn))
    _children: Children = field(default_factory=lambda: Children("", ""))
    _usage: Usage = field(default_factory=Usage)
    _calls: Calls = field(init=False)

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
        kind, data = record.get("type"), mapping(record.get("data"))
        at = self._at = timestamp(record.get("timestamp")) or self._at
        read = _READERS.get(kind if isinstance(kind, str) else "")
        if at is None or read is None:
            return []
        if kind == "session.start":
            return self._start(record, data, at)
        if self._session is None:
            return []
        ends = [event for turn in self._turns.values() for event in turn.until(at)]
        return [*ends, *read(self, record, data, at)]

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return the name of the session in ``workspace.yaml``, and its branch."""
        if name == WORKSPACE_FILE:
            self._workspace = lines.workspace_values(data)
        return self._set_title()

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the ends of turns that no other turn has followed."""
        return [event for turn in self._turns.values() for event in turn.after(quiet_s)]

    def finish(self) -> list[Event]:
        """Return the ends of turns that another turn may still follow."""
        return [event for turn in self._turns.values() for event in turn.close()]

    def _event(self, event_type: str, record: Record, at: datetime, **fields: Any) -> Event:
        """Return an event of the agent that a line belongs to."""
        agent, parent = self._children.agents_of(record)
        key = fields.pop("key", None) or f"{self._session}:{self._name_of(record, at)}"
        return Event(
            event_type=event_type,
            timestamp=at,
            session_id=self._session,
            event_id=shorten_id(key),
            project=local_project_name(self._cwd),
            source=SESSION_SOURCE,
            **{
                "agent_id": agent,
                "parent_agent_id": parent,
                "branch": None if parent else self._branch,
                "cwd": self._cwd,
                **fields,
            },
        )

    def _name_of(self, record: Record, at: datetime) -> str:
        return identifier(record.get("id")) or f"{record.get('type')}:{at.isoformat()}"[:200]

    def _turn(self, record: Record) -> Turn:
        name = identifier(record.get("agentId")) or ""
        if name not in self._turns and len(self._turns) >= _MAX_AGENTS:
            # The main agent is the first, and the oldest subagents are done.
            del self._turns[next((each for each in self._turns if each), "")]
        return self._turns[name]

    def _start(self, record: Record, data: Record, at: datetime) -> list[Event]:
        session = identifier(data.get("sessionId"))
        if session is None or session == self._session:
            return []
        before = self.finish()
        self._session = session
        self._children = Children(session, cached_agent_id(session, AGENT))
        self._model = self._title = self._branch = self._cwd = None
        self._workspace, self._prompt, self._usage = {}, "", Usage()
        self._turns.clear()
        self._calls = Calls(self.hash_input)
        self._read_context(mapping(data.get("context")))
        self._model = lines.model_name(data.get("selectedModel"))
        extra = without_none(version=safe_keyword(data.get("copilotVersion")))
        start = timestamp(data.get("startTime")) or at
        fields = {"model": self._model, "extra": extra}
        return [*before, self._event("session_start", record, start, **fields)]

    def _read_context(self, context: Record) -> bool:
        """Set folder and branch; return whether one of them has changed."""
        before = self._cwd, self._branch
        self._cwd = whole_path(context.get("cwd")) or self._cwd
        if context.get("pendingGitContext") is not True:
            self._branch = branch_name(context.get("branch"))
        return (self._cwd, self._branch) != before

    def _resume(self, record: Record, data: Record, at: datetime) -> list[Event]:
        ends = self.finish()
        self._turns.clear()
        self._read_context(mapping(data.get("context")))
        extra = {"source": "resume"}
        return [*ends, self._event("session_start", record, at, extra=extra)]

    def _context_changed(self, record: Record, data: Record, at: datetime) -> list[Event]:
        return [self._event("session_info", record, at)] if self._read_context(data) else []

    def _model_changed(self, record: Record, data: Record, at: datetime) -> list[Event]:
        model = lines.model_name(data.get("newModel", data.get("chosenModel")))
        if model is None or (model == self._model and not record.get("agentId")):
            return []
        if not record.get("agentId"):
            self._model = model
        return [self._event("session_info", record, at, model=model)]

    def _prompted(self, record: Record, data: Record, at: datetime) -> list[Event]:
        turn = self._turn(record)
        ends = turn.close()
        is_main = record.get("agentId") is None
        # Autopilot prompts the agent by itself; skills and other agents add hidden messages.
        is_continued = data.get("isAutopilotContinuation") is True
        is_prompt = is_continued or not is_main or not data.get("source")
        titles = []
        if is_main and is_prompt and not self._prompt:
            self._prompt = start_of_prompt(data.get("content"))
            titles = self._set_title()
        turn.start()
        kind = "prompt" if is_prompt else "activity"
        extra = {"source": "autopilot"} if is_continued else None
        return [*ends, self._event(kind, record, at, extra=extra), *titles]

    def _turn_started(self, record: Record, _data: Record, at: datetime) -> list[Event]:
        return [self._event("activity", record, at)] if self._turn(record).start() else []

    def _turn_ended(self, record: Record, _data: Record, at: datetime) -> list[Event]:
        turn = self._turn(record)
        extra = {"question": True} if turn.asks else None
        turn.hold(self._event("stop", record, at, extra=extra))
        return []

    def _aborted(self, record: Record, data: Record, at: datetime) -> list[Event]:
        self._turn(record).break_off()
        reason = safe_keyword(data.get("reason"))
        kind = "stop" if reason == "autopilot_credit_limit" else "interrupt"
        return [self._event(kind, record, at, extra=without_none(reason=reason))]

    def _message(self, record: Record, data: Record, at: datetime) -> list[Event]:
        turn = self._turn(record)
        ends = turn.close()
        calls_tools = lines.requests_tools(data)
        turn.respond(calls_tools, not calls_tools and is_question(data.get("content")))
        used = self._usage.message(lines.model_name(data.get("model")) or self._model, data)
        if used is None:
            return ends
        key = f"{AGENT}:{identifier(data.get('messageId')) or self._name_of(record, at)}"
        return [*ends, self._event("completion", record, at, key=key, **used)]

    def _usage_record(self, record: Record, data: Record, at: datetime) -> list[Event]:
        usage = mapping(data.get("usage"))
        used = self._usage.record(usage)
        accounting = mapping(usage.get("accounting"))
        source, number = identifier(accounting.get("sourceSessionId")), accounting.get("sequence")
        is_numbered = source is not None and count(number) is not None
        # A fork of the session has a copy with the same number.
        key = f"{source}:{number}" if is_numbered else self._name_of(record, at)
        if record.get("agentId") is None and usage.get("interactionType") in _CONVERSATION:
            used |= {
                "context_tokens": count(usage.get("inputTokens")) or None,
                "context_window": count(usage.get("maxPromptTokens")) or None,
            }
        return [self._event("completion", record, at, key=f"{AGENT}:{key}", **used)]

    def _user_call(self, _record: Record, data: Record, _at: datetime) -> list[Event]:
        self._calls.requested_by_user(data)
        return []

    def _call_started(self, record: Record, data: Record, at: datetime) -> list[Event]:
        return self._call_event(record, at, self._calls.start(data, at))

    def _call_ended(self, record: Record, data: Record, at: datetime) -> list[Event]:
        return self._call_event(record, at, self._calls.end(data, at))

    def _call_event(self, record: Record, at: datetime, event: CallEvent | None) -> list[Event]:
        if event is None:
            return []
        kind, key, fields = event
        return [self._event(kind, record, at, key=f"{self._session}:{key}", **fields)]

    def _permission(self, record: Record, data: Record, at: datetime) -> list[Event]:
        return [self._event("permission_request", record, at, **self._calls.permission(data))]

    def _answered(self, record: Record, _data: Record, at: datetime) -> list[Event]:
        # Not the end of the call: it runs now, or a line reports that it was denied.
        return [self._event("answered", record, at)]

    def _compaction_started(self, record: Record, _data: Record, at: datetime) -> list[Event]:
        turn = self._turn(record)
        if turn.end is not None and turn.calls_tools:
            # Between two responses.
            turn.end = None
        extra = {"hook_event_name": "PreCompact"}
        return [*turn.close(), self._event("activity", record, at, extra=extra)]

    def _compacted(self, record: Record, data: Record, at: datetime) -> list[Event]:
        turn, used = self._turn(record), self._usage.compaction(data)
        events = []
        if used is not None:
            key = f"{AGENT}:{self._name_of(record, at)}:compaction"
            events.append(self._event("completion", record, at, key=key, **used))
        extra: dict[str, Any] = {"hook_event_name": "PostCompact"}
        fields: dict[str, Any] = {}
        if data.get("success") is True:
            extra["compacted"] = True
            fields["context_tokens"] = _context_of(data)
            fields["context_window"] = count(data.get("tokenLimit")) or None
        # One that the user requested at the prompt ends there.
        kind = "activity" if turn.is_open else "idle"
        return [*events, self._event(kind, record, at, extra=extra, **fields)]

    def _failed(self, record: Record, data: Record, at: datetime) -> list[Event]:
        turn = self._turn(record)
        error, kind = lines.error_kind(data)
        extra = without_none(**failure_extra(kind, data.get("message"), at), error=error)
        failure = self._event("error", record, at, extra=extra)
        if turn.is_open and turn.end is None:
            # Copilot CLI may repeat the request; else the end of the turn follows.
            turn.failure = failure
            return []
        turn.break_off()
        return [failure]

    def _checkpoint(self, record: Record, _data: Record, _at: datetime) -> list[Event]:
        # Written when the agent waits at its prompt.
        turn = self._turn(record)
        return [] if turn.calls_tools else turn.close()

    def _shut_down(self, record: Record, data: Record, at: datetime) -> list[Event]:
        events = self.finish()
        base = f"{AGENT}:{self._name_of(record, at)}"
        for number, used in enumerate(self._usage.rest(data.get("modelMetrics"))):
            events.append(self._event("completion", record, at, key=f"{base}:{number}", **used))
        context = count(data.get("currentTokens")) or None
        extra = without_none(reason=safe_keyword(data.get("shutdownType")))
        fields = {"extra": extra, "context_tokens": context}
        return [*events, self._event("session_end", record, at, **fields)]

    def _child_started(self, record: Record, data: Record, at: datetime) -> list[Event]:
        return self._child_events(record, at, self._children.start(record, data))

    def _child_ended(self, record: Record, data: Record, at: datetime) -> list[Event]:
        turn = self._turns.pop(identifier(record.get("agentId")) or "-", Turn())
        events = self._children.end(record, data)
        return [*turn.close(), *self._child_events(record, at, events)]

    def _child_events(self, record: Record, at: datetime, events: list[ChildEvent]) -> list[Event]:
        base = f"{self._session}:{self._name_of(record, at)}"
        return [
            self._event(kind, record, at, key=f"{base}{end}", **fields)
            for kind, end, fields in events
        ]

    def _set_title(self) -> list[Event]:
        if self._session is None or self._at is None or not self._workspace:
            return []
        title, is_named = lines.title_of(self._workspace, self._prompt)
        branch = branch_name(self._workspace.get("branch"))
        is_same_branch = branch is None or self._branch is not None
        if title in (None, self._title) and is_same_branch:
            return []
        self._title, self._branch = title or self._title, self._branch or branch
        extra = None if is_named or title is None else {"title_generated": True}
        key = f"{self._session}:Title:{_digest(title, branch)}"
        fields = {"title": title, "extra": extra}
        return [self._event("session_info", {}, self._at, key=key, **fields)]


def _digest(*values: str | None) -> str:
    """Return a digest of values, too short to tell which values they were."""
    return sha256("\0".join(value or "" for value in values).encode()).hexdigest()[:4]


_CONVERSATION = (None, "conversation-agent")
"""``interactionType`` of requests whose input is the context of the main agent."""


def _context_of(data: Record) -> int | None:
    parts = (data.get(f"{name}Tokens") for name in ("system", "conversation", "toolDefinitions"))
    return sum(count(part) or 0 for part in parts) or None


_READERS = {
    "session.start": CopilotSession._start,
    "session.resume": CopilotSession._resume,
    "session.context_changed": CopilotSession._context_changed,
    "session.model_change": CopilotSession._model_changed,
    "session.auto_mode_resolved": CopilotSession._model_changed,
    "session.compaction_start": CopilotSession._compaction_started,
    "session.compaction_complete": CopilotSession._compacted,
    "session.error": CopilotSession._failed,
    "session.usage_checkpoint": CopilotSession._checkpoint,
    "session.usage_record": CopilotSession._usage_record,
    "session.shutdown": CopilotSession._shut_down,
    "user.message": CopilotSession._prompted,
    "assistant.turn_start": CopilotSession._turn_started,
    "assistant.message": CopilotSession._message,
    "assistant.turn_end": CopilotSession._turn_ended,
    "abort": CopilotSession._aborted,
    "tool.user_requested": CopilotSession._user_call,
    "tool.execution_start": CopilotSession._call_started,
    "tool.execution_complete": CopilotSession._call_ended,
    "permission.requested": CopilotSession._permission,
    "permission.completed": CopilotSession._answered,
    "subagent.started": CopilotSession._child_started,
    "subagent.completed": CopilotSession._child_ended,
    "subagent.failed": CopilotSession._child_ended,
}
