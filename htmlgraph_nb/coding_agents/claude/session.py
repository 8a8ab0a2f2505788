"""Claude Code's session files to Events, pure.

``~/.claude/projects/<folder>/<session>.jsonl`` holds a session, ``<session>/subagents/*.jsonl`` its
subagents. The format is not documented ("internal, changes between versions"); what is read here
was seen in files of the versions 2.1.38 to 2.1.240, and unknown lines and fields are ignored.

An answer of the model is written as several lines, one for each block of its content, which repeat
its usage; while it streams their counts grow. All have the same ``message.id``, and of them the
whole line with the most output tokens counts, the last of equals. Lines of the model
``<synthetic>`` are Claude Code's own. Before version 2.1.98 the output count of an answer can be a
placeholder: where no line tells why it stopped, ``extra`` names the version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from ...core.ids import call_key, shorten_id
from ...core.model import Event
from ..content_rules import question_extra
from ..fields import (
    base_name,
    count,
    identifier,
    mapping,
    mappings,
    milliseconds,
    safe_keyword,
    string,
    timestamp,
    without_none,
)
from ..session import GIVE_UP_AFTER_S, Call, known_agent, record_of, remember_call, type_finder
from .answers import Answers
from .constants import AGENT, QUESTION_TOOLS
from .lines import (
    LineContext,
    Record,
    Told,
    command_of,
    compaction,
    is_interrupt,
    is_notice,
    is_typed,
    message_key,
    quitting,
    user_text,
    uuid_key,
    was_rejected,
)
from .progress import HasOwnFile, Progress
from .tasks import Running, child_start, child_stop
from .turns import Turns

SOURCE = "claude-session"
_may_tell = type_finder(("assistant", "user", "system", "queue-operation"))
_MAX_SESSIONS = 1_000
TURN_QUIET_S = 0.1
"""Lines of one answer follow each other faster, so an answer that told why it stopped is whole."""


def _each_has_one(_: str) -> bool:
    return True


@dataclass(slots=True)
class ClaudeSession:
    """Reader of one session file of Claude Code; see ``session.SessionReader``.

    Args:
        session_id: the session of lines that name none, as the file's name tells it.
        has_own_file: whether there is a file of the subagent of this id; what is said of those that
            have none is told by ``finish``.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]] = (TURN_QUIET_S, GIVE_UP_AFTER_S)

    session_id: str | None = None
    has_own_file: HasOwnFile = _each_has_one
    _at: datetime | None = None
    _project: str | None = None
    _known: set[str] = field(default_factory=set)
    _calls: dict[str, Call] = field(default_factory=dict)
    _running: Running = field(default_factory=Running)
    _answers: Answers = field(default_factory=Answers)
    _turns: Turns = field(default_factory=Turns)
    _in_command: bool = False
    _progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._progress = Progress(self.has_own_file, ClaudeSession)

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that are certain with this line; InvalidEvent if it is no JSON object.

        Lines of a kind that tells nothing, the larger part of many files, are not parsed.
        """
        if not _may_tell(line):
            return []
        return self.take(record_of(line))

    def take(self, record: Record) -> list[Event]:
        """Return the events that are certain with this line's object."""
        kind = record.get("type")
        if kind == "progress":
            session = identifier(record.get("sessionId")) or identifier(self.session_id)
            if session is not None:
                self._progress.take(record, session)
            return []
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        who = self._who(record) if reader else None
        if reader is None or who is None:
            return []
        if self._project is None:
            self._project = base_name(record.get("cwd"))
        begun = self._begin(record, who)
        return begun + reader(self, record, who)

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the answers that told why they stopped, and the ends of turns with them."""
        if quiet_s >= GIVE_UP_AFTER_S:
            return self.finish()
        if quiet_s < TURN_QUIET_S:
            return []
        found = [event for agent in self._answers.whole() for event in self._flush(agent)]
        for agent in self._turns.ended():
            found += self._end_turn(agent)
        return found

    def finish(self) -> list[Event]:
        """Return the answers and the ends of turns that wait for a line that may not come."""
        found = [event for agent in self._answers.agents() for event in self._flush(agent)]
        for agent in self._turns.ended():
            found += self._end_turn(agent)
        return found + self._progress.tell()

    def _who(self, record: Record) -> LineContext | None:
        session = identifier(record.get("sessionId")) or identifier(self.session_id)
        # A line without a time was written about when the one before it was.
        at = self._at = timestamp(record.get("timestamp")) or self._at
        if session is None or at is None:
            return None
        main = known_agent(session, AGENT)
        aside = record.get("isSidechain") is True
        child = identifier(record.get("agentId")) if aside else None
        if child is None:
            return LineContext(main, None, session, at, aside)
        return LineContext(known_agent(child, AGENT), main, session, at)

    def _event(self, who: LineContext, kind: str, key: str | None, **fields: Any) -> Event:
        return Event(
            event_type=kind,
            timestamp=who.at,
            session_id=who.session,
            event_id=None if key is None else shorten_id(key),
            project=self._project,
            source=SOURCE,
            **{"agent_id": who.agent_id, "parent_agent_id": who.parent, **fields},
        )

    def _tell(self, told: Iterable[Told]) -> list[Event]:
        return [self._event(one.who, one.kind, one.key, **one.fields) for one in told]

    def _flush(self, agent: str) -> list[Event]:
        """Return the answer that another line, or the quiet, has shown to be complete."""
        return self._tell(self._answers.flush(agent))

    def _begin(self, record: Record, who: LineContext) -> list[Event]:
        """Return the begin of a session or subagent whose first line this is."""
        if who.agent_id in self._known or len(self._known) >= _MAX_SESSIONS:
            return []
        self._known.add(who.agent_id)
        if who.parent is None:
            about = without_none(version=safe_keyword(record.get("version")))
            return [self._event(who, "session_start", f"{who.session}:SessionStart", extra=about)]
        return self._tell([child_start(who.agent_id, who.of_parent())])

    def _assistant(self, record: Record, who: LineContext) -> list[Event]:
        message = mapping(record.get("message"))
        if message.get("model") == "<synthetic>":
            if record.get("isApiErrorMessage") is not True:
                return []
            self._turns.forget(who.agent_id)
            about = without_none(error=safe_keyword(record.get("error")))
            key = uuid_key(record)
            return [*self._flush(who.agent_id), self._event(who, "error", key, extra=about)]
        self._in_command = False
        found = self._tell(self._answers.take(record, message, who))
        begins = self._turns.starts_unprompted_turn(who.agent_id, message_key(record, message))
        for block in mappings(message.get("content")):
            call = identifier(block.get("id")) if block.get("type") == "tool_use" else None
            if call is not None and call not in self._calls:
                name = string(block.get("name"))
                remember_call(self._calls, call, (name, who.at))
                own = call_key(who.session, call, "PreToolUse")
                extra = question_extra(name, QUESTION_TOOLS)
                fields = {"tool_name": name, "tool_use_id": call, "extra": extra}
                found.append(self._event(who, "tool_start", own, **fields))
                begins = False
                self._turns.begin(who.agent_id)
        if begins:
            # Nobody typed a prompt: a command, a notice or a hook made the model go on.
            found += self._woken(record, who)
        self._turns.answered(who, record, message)
        return found

    def _woken(self, record: Record, who: LineContext) -> list[Event]:
        self._turns.begin(who.agent_id)
        key = uuid_key(record)
        return [self._event(who, "activity", None if key is None else f"{key}:Work")]

    def _user(self, record: Record, who: LineContext) -> list[Event]:
        blocks = mappings(mapping(record.get("message")).get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        if results:
            self._in_command = False
        found = [event for block in results for event in self._result(record, block, who)]
        said = user_text(record)
        if said is not None and is_interrupt(said):
            self._turns.forget(who.agent_id)
            end = self._event(who, "interrupt", uuid_key(record))
            return [*self._flush(who.agent_id), *found, end]
        return found if results or said is None else self._said(said, record, who)

    def _said(self, said: str, record: Record, who: LineContext) -> list[Event]:
        if who.aside:
            # Older versions wrote a subagent's lines among its parent's, without its name.
            return []
        # What a command put into words, after its own line, is what the model is asked.
        is_own = record.get("isMeta") is True and not (self._in_command and is_typed(said))
        if is_own or record.get("isCompactSummary") is True:
            return []
        before = [*self._flush(who.agent_id), *self._end_turn(who.agent_id)]
        if is_notice(said):
            ended = self._tell(self._running.noticed(said, who))
            return [*before, *self._woken(record, who), *ended]
        if not is_typed(said):
            command = command_of(said)
            self._in_command = self._in_command or command is not None
            return [*before, *self._tell(quitting(command, record, who))]
        self._in_command = False
        self._turns.begin(who.agent_id)
        return [*before, self._event(who, "prompt", uuid_key(record))]

    def _result(self, record: Record, block: Record, who: LineContext) -> list[Event]:
        call = identifier(block.get("tool_use_id"))
        if call is None:
            return []
        name, start = self._calls.pop(call, (None, None))
        about = {"tool_name": name, "tool_use_id": call}
        failed = block.get("is_error") is True
        if failed and was_rejected(record, block):
            key = call_key(who.session, call, "PermissionDenied")
            return [self._event(who, "answered", key, extra={"decision": "denied"}, **about)]
        result = mapping(record.get("toolUseResult"))
        done = self._event(
            who,
            "tool_error" if failed else "tool_execute",
            call_key(who.session, call, "PostToolUse"),
            status="error" if failed else "ok",
            duration_ms=milliseconds(start, who.at),
            extra={"is_interrupt": True} if result.get("interrupted") is True else None,
            **about,
        )
        begun = replace(who, at=start or who.at)
        return [done, *self._tell(self._running.told_by(result, name, who, begun))]

    def _queue(self, record: Record, who: LineContext) -> list[Event]:
        return self._tell(self._running.noticed(record.get("content"), who))

    def _system(self, record: Record, who: LineContext) -> list[Event]:
        kind = record.get("subtype")
        if kind == "turn_duration":
            self._turns.timed(who, uuid_key(record))
            return [
                *self._flush(who.agent_id),
                *self._end_turn(who.agent_id, who, count(record.get("durationMs"))),
            ]
        if kind != "compact_boundary":
            return []
        return [*self._flush(who.agent_id), *self._tell([compaction(record, who)])]

    def _end_turn(
        self, agent: str, who: LineContext | None = None, duration_ms: int | None = None
    ) -> list[Event]:
        last = self._turns.take_end(agent)
        if last is None:
            return []
        if last.who.parent is not None:
            # A subagent has one turn, and its answer is its end.
            return self._tell(child_stop(agent, last.who.of_parent()))
        about = {"question": True} if last.asks else None
        end = who or last.who
        return [self._event(end, "stop", last.key, duration_ms=duration_ms, extra=about)]


_READERS = {
    "assistant": ClaudeSession._assistant,
    "user": ClaudeSession._user,
    "system": ClaudeSession._system,
    "queue-operation": ClaudeSession._queue,
}
