"""Convert Claude Code's session files to events. Pure.

``~/.claude/projects/<folder>/<session>.jsonl`` holds a session, ``<session>/subagents/*.jsonl`` its
subagents. The format is undocumented ("internal, changes between versions"). This reader was
written against files of the versions 2.1.38 to 2.1.240; unknown lines and fields are ignored.

A completion is written as several lines, one for each block of its content, all with the same
``message.id`` (see ``answers``). Each repeats the usage, whose counts grow while the completion
streams. The line with the most output tokens counts, of equal lines the last. Claude Code itself
writes lines of the model ``<synthetic>``, which are not completions; API errors among them end the
turn. Before version 2.1.98 the output count of a completion can be a placeholder: if no line has a
stop reason, ``extra`` contains the version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from ...core.ids import call_key
from ...core.model import Event
from ..content_rules import question_extra
from ..fields import (
    branch_name,
    count,
    identifier,
    local_project_name,
    mapping,
    mappings,
    milliseconds,
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
from .answers import Answers
from .api_errors import failure_of, retry_of
from .completions import Completions
from .constants import AGENT, QUESTION_TOOLS
from .facts import FACT_TYPES, Facts, subagent_title
from .lines import (
    LineContext,
    Record,
    command_of,
    compaction,
    continues_turn,
    exit_events,
    is_interrupt,
    is_notice,
    is_typed,
    is_written,
    message_text,
    uuid_key,
    was_rejected,
)
from .progress import HasOwnFile, Progress
from .tasks import Running, child_start, child_stop
from .turns import Turns

TURN_QUIET_S = 0.1
"""Seconds of quiet after which a completion with a stop reason is complete: its lines follow each
other faster."""
SUBAGENT_QUIET_S = 1.0
"""The same for the end of a subagent. Its parent's file reports it sooner, with the work that
follows from it; else the parent would be idle for a moment."""
_THRESHOLDS = TURN_QUIET_S, SUBAGENT_QUIET_S, GIVE_UP_AFTER_S
_may_have_events = type_matcher(("assistant", "user", "system", "queue-operation"))
_may_have_facts = type_matcher(FACT_TYPES)
_MAX_FACT_BYTES = 4_096
"""Lines with facts are short; longer ones, which take long to search, have none."""
_MAX_SESSIONS = 1_000


def _always(_: str) -> bool:
    return True


def _nothing() -> Record:
    return {}


@dataclass(slots=True)
class ClaudeSession:
    """Reader of one session file of Claude Code; see ``session.SessionReader``.

    Args:
        session_id: the session of lines without a session id, taken from the name of the file.
        has_own_file: returns whether there is a file of the subagent with this id; ``finish``
            returns the events of subagents without one.
        subagent: if this is the file of a subagent, returns its ``description`` and ``agentType``.
        hash_input: returns the ``input_hash`` of tool calls.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = _THRESHOLDS

    session_id: str | None = None
    has_own_file: HasOwnFile = _always
    subagent: Callable[[], Record] = _nothing
    hash_input: HashInput = no_hash
    _at: datetime | None = None
    _project: str | None = None
    _branch: str | None = None
    _cwd: str | None = None
    _started: set[str] = field(default_factory=set)
    _calls: dict[str, OpenCall] = field(default_factory=dict)
    _call_keys: CallKeys = field(default_factory=CallKeys)
    _facts: Facts = field(default_factory=Facts)
    _answers: Answers = field(default_factory=Answers)
    _completions: Completions = field(default_factory=Completions)
    _turns: Turns = field(default_factory=Turns)
    _in_command: bool = False
    _running: Running = field(init=False)
    _progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._running = Running(self.has_own_file)
        new_reader = partial(ClaudeSession, hash_input=self.hash_input)
        self._progress = Progress(self.has_own_file, new_reader)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes.

        Lines of types without events, most lines of many files, are not parsed.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """
        is_short = len(line) <= _MAX_FACT_BYTES
        if not _may_have_events(line) and not (is_short and _may_have_facts(line)):
            return []
        return self.read_record(parse_record(line))

    def read_record(self, record: Record) -> list[Event]:
        """Return the events that a line completes, given its JSON object."""
        kind = record.get("type")
        if kind == "progress":
            session = identifier(record.get("sessionId")) or identifier(self.session_id)
            if session is not None:
                self._progress.add(record, session)
            return []
        if kind in FACT_TYPES:
            self._facts.read(record, identifier(self.session_id))
            # Before the first other line there is no agent yet, nor a time.
            context = self._context(record)
            if context is None or context.agent_id not in self._started:
                return []
            return self._facts.changes(context)
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        context = self._context(record) if reader else None
        if reader is None or context is None:
            return []
        start = self._start(record, context)
        return [*start, *self._facts.changes(context), *reader(self, record, context)]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the completions with a stop reason, and the turns that they end."""
        if quiet_s >= GIVE_UP_AFTER_S:
            return self.finish()
        if quiet_s < TURN_QUIET_S:
            return []
        return self._end(self._completions.stopped_agents(), quiet_s >= SUBAGENT_QUIET_S)

    def finish(self) -> list[Event]:
        """Return the completions and ends of turns that wait for a line that may never come."""
        return [*self._end(self._completions.agents()), *self._progress.finish()]

    def _end(self, agents: list[str], subagents: bool = True) -> list[Event]:
        """Return the pending completions of these agents, and the ends of all ended turns.

        Args:
            subagents: whether those of subagents are among them.
        """
        events = [event for agent in agents for event in self._completions.flush(agent)]
        for agent in self._turns.ended_agents(subagents):
            events += self._end_turn(agent)
        return events

    def _context(self, record: Record) -> LineContext | None:
        session = identifier(record.get("sessionId")) or identifier(self.session_id)
        # A line without a timestamp was written shortly after the line before it.
        at = self._at = timestamp(record.get("timestamp")) or self._at
        if session is None or at is None:
            return None
        if self._project is None:
            self._project = local_project_name(record.get("cwd"))
        # Lines that lack them were written in the same place as the line before.
        if "gitBranch" in record:
            self._branch = branch_name(record.get("gitBranch"))
        if "cwd" in record:
            self._cwd = whole_path(record.get("cwd"))
        main = cached_agent_id(session, AGENT)
        is_sidechain = record.get("isSidechain") is True
        child = identifier(record.get("agentId")) if is_sidechain else None
        return LineContext(
            agent_id=main if child is None else cached_agent_id(child, AGENT),
            parent=None if child is None else main,
            session=session,
            origin=identifier(mapping(record.get("forkedFrom")).get("sessionId")) or session,
            at=at,
            project=self._project,
            unnamed=is_sidechain and child is None,
            branch=self._branch,
            cwd=self._cwd,
        )

    def _start(self, record: Record, context: LineContext) -> list[Event]:
        """Return the start of the session or subagent if this is its first line."""
        if context.agent_id in self._started or len(self._started) >= _MAX_SESSIONS:
            return []
        self._started.add(context.agent_id)
        if context.parent is not None:
            parent, own = context.of_parent(), self.subagent()
            titles = subagent_title(
                context.agent_id, parent, own.get("description"), own.get("agentType")
            )
            return [child_start(context.agent_id, parent), *titles]
        extra = without_none(version=safe_keyword(record.get("version")))
        return [context.event("session_start", f"{context.session}:SessionStart", extra=extra)]

    def _assistant(self, record: Record, context: LineContext) -> list[Event]:
        message = mapping(record.get("message"))
        if message.get("model") == "<synthetic>":
            return self._synthetic(record, context)
        self._in_command = False
        blocks = mappings(message.get("content"))
        repeats_call = any(self._has_ended(block) for block in blocks)
        answer = self._answers.answer_of(record, message, context, repeats_call)
        events = self._completions.add(record, message, context, answer.key)
        is_unprompted = self._turns.starts_unprompted_turn(context.agent_id, answer.key)
        calls = [event for block in blocks for event in self._tool_call_start(block, context)]
        if calls:
            calls = [*self._start_turn(context), *calls]
        elif is_unprompted:
            # The user typed no prompt: a command, a notice or a hook made the model continue.
            calls = self._start_unprompted_turn(record, context)
        self._turns.on_completion(context, message, answer.line_key or answer.key)
        return [*events, *calls]

    def _has_ended(self, block: Record) -> bool:
        call = identifier(block.get("id")) if block.get("type") == "tool_use" else None
        return call is not None and call not in self._calls and self._call_keys.knows(call)

    def _synthetic(self, record: Record, context: LineContext) -> list[Event]:
        if record.get("isApiErrorMessage") is not True:
            return []
        self._turns.discard(context.agent_id)
        extra = failure_of(record, context.at)
        error = context.event("error", uuid_key(record), extra=extra)
        return [*self._completions.flush(context.agent_id), error]

    def _tool_call_start(self, block: Record, context: LineContext) -> list[Event]:
        call = identifier(block.get("id")) if block.get("type") == "tool_use" else None
        if call is None or call in self._calls:
            return []
        name = string(block.get("name"))
        hashed = self.hash_input(block.get("input"))
        key = self._call_keys.key_of(call, context.at)
        remember_call(self._calls, call, OpenCall(name, context.at, hashed, key))
        self._running.on_call(call, name, mapping(block.get("input")))
        key = call_key(context.origin, key, "PreToolUse", context.child)
        extra = question_extra(name, QUESTION_TOOLS)
        fields = {"tool_name": name, "tool_use_id": call, "input_hash": hashed, "extra": extra}
        return [context.event("tool_start", key, **fields)]

    def _start_turn(self, context: LineContext) -> list[Event]:
        """Record that a turn runs; return the start of a subagent that had ended before."""
        run = self._turns.start(context.agent_id)
        if not run or context.parent is None:
            return []
        return [child_start(context.agent_id, context.of_parent(), run=run)]

    def _start_unprompted_turn(self, record: Record, context: LineContext) -> list[Event]:
        start, key = self._start_turn(context), uuid_key(record)
        return [*start, context.event("activity", None if key is None else f"{key}:Work")]

    def _user(self, record: Record, context: LineContext) -> list[Event]:
        blocks = mappings(mapping(record.get("message")).get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        if results:
            self._in_command = False
        events = [
            event for block in results for event in self._tool_call_end(record, block, context)
        ]
        message = message_text(record)
        is_note = bool(results) or message is None or context.unnamed or is_written(record)
        self._answers.on_user_line(context.agent_id, not is_note)
        if message is not None and is_interrupt(message):
            self._turns.discard(context.agent_id)
            interrupt = context.event("interrupt", uuid_key(record))
            return [*self._completions.flush(context.agent_id), *events, interrupt]
        if results or message is None:
            return events
        return self._user_message(message, record, context)

    def _user_message(self, message: str, record: Record, context: LineContext) -> list[Event]:
        if context.unnamed:
            # Older versions wrote a subagent's lines into its parent's file, without its id.
            return []
        # The line after that of a command contains the prompt that the command expands to.
        is_meta = record.get("isMeta") is True and not (self._in_command and is_typed(message))
        if is_meta and continues_turn(message):
            self._turns.resume(context.agent_id)
            completed = self._completions.flush(context.agent_id)
            return [*completed, *self._start_unprompted_turn(record, context)]
        if is_meta or record.get("isCompactSummary") is True:
            return []
        before = [
            *self._completions.flush(context.agent_id),
            *self._end_turn(context.agent_id),
        ]
        if is_notice(message):
            ended = self._running.on_notice(message, context)
            return [*before, *self._start_unprompted_turn(record, context), *ended]
        if not is_typed(message):
            command = command_of(message)
            self._in_command = self._in_command or command is not None
            return [*before, *exit_events(command, record, context)]
        self._in_command = False
        start = self._start_turn(context)
        return [*before, *start, context.event("prompt", uuid_key(record))]

    def _tool_call_end(self, record: Record, block: Record, context: LineContext) -> list[Event]:
        call = identifier(block.get("tool_use_id"))
        if call is None:
            return []
        name, called_at, hashed, key = self._calls.pop(call, UNKNOWN_CALL)
        named = context.origin, key or call
        fields: dict[str, Any] = {"tool_name": name, "tool_use_id": call}
        failed = block.get("is_error") is True
        if failed and was_rejected(record, block):
            key = call_key(*named, "PermissionDenied", context.child)
            return [context.event("answered", key, extra={"decision": "denied"}, **fields)]
        result = mapping(record.get("toolUseResult"))
        end = context.event(
            "tool_error" if failed else "tool_execute",
            call_key(*named, "PostToolUse", context.child),
            status="error" if failed else "ok",
            duration_ms=milliseconds(called_at, context.at),
            input_hash=hashed,
            extra={"is_interrupt": True} if result.get("interrupted") is True else None,
            **fields,
        )
        started = replace(context, at=called_at or context.at)
        return [end, *self._running.on_result(result, call, name, context, started)]

    def _queued_notice(self, record: Record, context: LineContext) -> list[Event]:
        return self._running.on_notice(record.get("content"), context)

    def _system(self, record: Record, context: LineContext) -> list[Event]:
        kind = record.get("subtype")
        if kind == "turn_duration":
            self._turns.on_duration(context, uuid_key(record))
            return [
                *self._completions.flush(context.agent_id),
                *self._end_turn(context.agent_id, context, count(record.get("durationMs"))),
            ]
        if kind == "api_error":
            extra = retry_of(record, context.at)
            return [context.event("retry", uuid_key(record), extra=extra)]
        if kind != "compact_boundary":
            return []
        return [*self._completions.flush(context.agent_id), compaction(record, context)]

    def _end_turn(
        self, agent: str, context: LineContext | None = None, duration_ms: int | None = None
    ) -> list[Event]:
        end = self._turns.pop_end(agent)
        if end is None:
            return []
        if end.context.parent is not None:
            # The last completion of its turn ends a subagent; another prompt can resume it.
            return child_stop(agent, end.context.of_parent(), run=self._turns.n_ended(agent))
        extra = {"question": True} if end.asks else None
        at_end = context or end.context
        return [at_end.event("stop", end.key, duration_ms=duration_ms, extra=extra)]


_READERS = {
    "assistant": ClaudeSession._assistant,
    "user": ClaudeSession._user,
    "system": ClaudeSession._system,
    "queue-operation": ClaudeSession._queued_notice,
}
