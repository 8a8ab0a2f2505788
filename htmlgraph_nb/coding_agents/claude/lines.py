"""Read single lines of Claude Code's session files; see ``session``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ...core.ids import shorten_id
from ...core.model import Event
from ...core.validation import MAX_INTEGER
from ..content_rules import is_question
from ..fields import count, identifier, mapping, mappings, safe_keyword, without_none
from .constants import AGENT, SESSION_SOURCE

FINAL_REASONS = frozenset(
    {"end_turn", "stop_sequence", "max_tokens", "refusal", "model_context_window_exceeded"}
)
"""Values of ``stop_reason`` that end a turn."""
_NOT_TYPED = (
    *("<command-name>", "<local-command-", "<bash-input>", "<bash-stdout>", "<bash-stderr>"),
    *("<task-notification>", "<system-reminder>", "<teammate-message"),
)
_CONTINUED = (
    "Stop hook feedback:",
    "SubagentStop hook feedback:",
    "Output token limit hit.",
)
"""Starts of messages by which Claude Code makes the model work on without a prompt."""
_INTERRUPT = "[Request interrupted by user"
_REJECTED = "The user doesn't want to"
_COMMAND = re.compile(r"<command-name>(/[\w:.-]{1,64})</command-name>")
_EXIT_COMMANDS = frozenset({"/exit", "/quit"})
_TASK_ID = re.compile(r"<task-id>([\w-]{1,128})</task-id>")
_TASK_ENDED = re.compile(r"<status>(?:completed|failed|killed|stopped)</status>")

Record = Mapping[str, Any]
"""JSON object of a line."""


@dataclass(frozen=True, slots=True)
class LineContext:
    """The agent that a line belongs to, and when the line was written.

    Attributes:
        parent: agent id of the parent if the agent is a subagent.
        origin: the session that the line was copied from, else the session.
        unnamed: whether the line belongs to a subagent but lacks its id; the context is then that
            of the main agent.
    """

    agent_id: str
    parent: str | None
    session: str
    at: datetime
    project: str | None = None
    unnamed: bool = False
    branch: str | None = None
    cwd: str | None = None
    origin: str = ""

    @property
    def child(self) -> str | None:
        """The id of the agent if it is a subagent."""
        return None if self.parent is None else self.agent_id

    def of_parent(self) -> LineContext:
        """Return the context of the parent, or of the agent itself if it has none."""
        parent = self.parent or self.agent_id
        return replace(self, agent_id=parent, parent=None)

    def event(self, event_type: str, key: str | None, **fields: Any) -> Event:
        """Return an event of the agent.

        Args:
            key: the event id, shortened if it is too long; None: no id.
            fields: further fields of the event; they take precedence.
        """
        return Event(
            event_type=event_type,
            timestamp=self.at,
            session_id=self.session,
            event_id=None if key is None else shorten_id(key),
            project=self.project,
            branch=self.branch,
            cwd=self.cwd,
            source=SESSION_SOURCE,
            **{"agent_id": self.agent_id, "parent_agent_id": self.parent, **fields},
        )


def compaction(record: Record, context: LineContext) -> Event:
    """Return the event of a compaction."""
    metadata = mapping(record.get("compactMetadata"))
    trigger = safe_keyword(metadata.get("trigger"))
    # The user ran a manual compaction at the prompt, so the agent waits at the prompt again.
    return context.event(
        "idle" if trigger == "manual" else "activity",
        uuid_key(record),
        duration_ms=count(metadata.get("durationMs")),
        extra=without_none(
            trigger=trigger,
            hook_event_name="PostCompact",
            pre_tokens=count(metadata.get("preTokens")),
            compacted=True,
        ),
    )


def exit_events(command: str | None, record: Record, context: LineContext) -> list[Event]:
    """Return the end of the session if the command exits."""
    if command not in _EXIT_COMMANDS:
        return []
    key = uuid_key(record)
    extra = {"reason": "prompt_input_exit"}
    return [context.event("session_end", None if key is None else f"{key}:End", extra=extra)]


def tokens_of(usage: Record) -> dict[str, int | None]:
    """Return the five counts of a usage object of Anthropic's API; its input excludes the cache.

    Tokens written to the cache without a lifetime count as written for five minutes, the default of
    the API.
    """
    written = count(usage.get("cache_creation_input_tokens"))
    split = mapping(usage.get("cache_creation"))
    short = count(split.get("ephemeral_5m_input_tokens")) or 0
    long = count(split.get("ephemeral_1h_input_tokens")) or 0
    if written is not None and written != short + long:
        long = min(long, written)
        short = written - long
    return {
        "input_tokens": count(usage.get("input_tokens")),
        "cache_read_tokens": count(usage.get("cache_read_input_tokens")),
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": long,
        "output_tokens": count(usage.get("output_tokens")),
    }


def context_tokens_of(usage: Record) -> int | None:
    """Return the tokens that a request read: all input, cached or not; None if it is unknown."""
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    counts = [count(usage.get(name)) for name in names]
    return min(sum(filter(None, counts)), MAX_INTEGER) or None


def line_uuid(record: Record) -> str | None:
    """Return the id of a line, of a copy in a forked session that of the original line."""
    original = mapping(record.get("forkedFrom")).get("messageUuid")
    return identifier(original) or identifier(record.get("uuid"))


def uuid_key(record: Record) -> str | None:
    """Return the key of a line, which its copies share; None if the line has no id."""
    uuid = line_uuid(record)
    return None if uuid is None else f"{AGENT}:{uuid}"


def was_rejected(record: Record, block: Record) -> bool:
    """Return whether the user denied the tool call, which is not a failure of the tool."""
    if record.get("toolUseResult") == "User rejected tool use":
        return True
    content = block.get("content")
    return isinstance(content, str) and content.startswith(_REJECTED)


def message_text(record: Record) -> str | None:
    """Return the first text of a message, which Claude Code may have written; None: no text."""
    content = mapping(record.get("message")).get("content")
    if isinstance(content, str):
        return content
    for block in mappings(content):
        if block.get("type") == "text":
            return str(block.get("text", ""))
    return None


def is_interrupt(text: str) -> bool:
    """Return whether a user message marks a turn that the user interrupted."""
    return text.startswith(_INTERRUPT)


def continues_turn(text: str) -> bool:
    """Return whether a user message of Claude Code's own makes the model work on."""
    return text.startswith(_CONTINUED)


def command_of(text: str) -> str | None:
    """Return the slash command of a user message, such as "/clear"; None if it is not a command."""
    match = _COMMAND.match(text.lstrip())
    return None if match is None else match[1]


def is_notice(text: str) -> bool:
    """Return whether a user message is a notice about a background task, which starts a turn."""
    return text.startswith("<task-notification>")


def ends_with_question_text(message: Record) -> bool:
    """Return whether the last text block of a completion ends with a question."""
    blocks = mappings(message.get("content"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    return bool(texts) and is_question(texts[-1])


def is_written(record: Record) -> bool:
    """Return whether Claude Code itself wrote a user message: a note or a summary."""
    return record.get("isMeta") is True or record.get("isCompactSummary") is True


def is_typed(text: str) -> bool:
    """Return whether the user typed a message; commands and Claude Code write messages, too."""
    return not text.lstrip().startswith(_NOT_TYPED)


def ended_task(notice: object) -> str | None:
    """Return the id of the background task whose end a notice reports; None: it reports no end."""
    if not isinstance(notice, str) or not _TASK_ENDED.search(notice):
        return None
    match = _TASK_ID.search(notice)
    return None if match is None else match[1]
