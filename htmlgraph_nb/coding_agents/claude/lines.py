"""What single lines of Claude Code's session files tell; see claude_session.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ...core.ids import shorten_id
from ..content_rules import is_question
from ..fields import count, identifier, mapping, mappings, safe_keyword, without_none
from .constants import AGENT

FINAL_REASONS = frozenset({"end_turn", "stop_sequence", "max_tokens", "refusal"})
"""Why an answer stopped, where its turn ended with it."""
_NO_PROMPT = (
    *("<command-name>", "<local-command-", "<bash-input>", "<bash-stdout>", "<bash-stderr>"),
    *("<task-notification>", "<system-reminder>", "<teammate-message"),
)
_INTERRUPT = "[Request interrupted by user"
_REJECTED = "The user doesn't want to"
_COMMAND = re.compile(r"<command-name>(/[\w:.-]{1,64})</command-name>")
_QUITS = frozenset({"/exit", "/quit"})
_TASK = re.compile(r"<task-id>([\w-]{1,128})</task-id>")
_TASK_ENDED = re.compile(r"<status>(?:completed|failed|killed|stopped)</status>")

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LineContext:
    """Whose line it is and when it was written; ``aside``: a subagent's that has no name."""

    agent_id: str
    parent: str | None
    session: str
    at: datetime
    aside: bool = False

    def of_parent(self) -> LineContext:
        """Return the same of the agent whose subagent it is."""
        return LineContext(self.parent or self.agent_id, None, self.session, self.at)


class Told(NamedTuple):
    """What a line tells: of whom, an event type, the key of the event and its other fields."""

    who: LineContext
    kind: str
    key: str | None
    fields: dict[str, Any]


def compaction(record: Record, who: LineContext) -> Told:
    """Return what the line of a compaction tells."""
    facts = mapping(record.get("compactMetadata"))
    trigger = safe_keyword(facts.get("trigger"))
    about = without_none(
        trigger=trigger, hook_event_name="PostCompact", pre_tokens=count(facts.get("preTokens"))
    )
    fields = {"duration_ms": count(facts.get("durationMs")), "extra": about}
    # The user asked for it at the prompt, so the prompt is where the agent is again.
    return Told(who, "idle" if trigger == "manual" else "activity", uuid_key(record), fields)


def quitting(command: str | None, record: Record, who: LineContext) -> list[Told]:
    """Return the end of the session, if the command is one that ends it."""
    if command not in _QUITS:
        return []
    key = uuid_key(record)
    about = {"extra": {"reason": "prompt_input_exit"}}
    return [Told(who, "session_end", None if key is None else f"{key}:End", about)]


def tokens_of(usage: Record) -> dict[str, int | None]:
    """Return the five counts of a usage object of the Anthropic API; its input excludes the cache.

    What was written to the cache without a word of how long it is kept counts as kept for five
    minutes, the API's default.
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


def message_key(record: Record, message: Record) -> str | None:
    """Return the key of an answer; copies in files of resumed and forked sessions have the same."""
    found = identifier(message.get("id")) or identifier(record.get("requestId"))
    return uuid_key(record) if found is None else shorten_id(f"{AGENT}:{found}")


def uuid_key(record: Record) -> str | None:
    uuid = identifier(record.get("uuid"))
    return None if uuid is None else f"{AGENT}:{uuid}"


def was_rejected(record: Record, block: Record) -> bool:
    """Whether the user did not let the tool run, which is no failure of it."""
    if record.get("toolUseResult") == "User rejected tool use":
        return True
    content = block.get("content")
    return isinstance(content, str) and content.startswith(_REJECTED)


def user_text(record: Record) -> str | None:
    """Return the text on the user's side of a line, which may be Claude Code's own; None: none."""
    content = mapping(record.get("message")).get("content")
    if isinstance(content, str):
        return content
    for block in mappings(content):
        if block.get("type") == "text":
            return str(block.get("text", ""))
    return None


def is_interrupt(text: str) -> bool:
    """Whether the text is the mark of a turn that the user interrupted."""
    return text.startswith(_INTERRUPT)


def command_of(text: str) -> str | None:
    """Return the slash command whose line it is, as "/clear"; None: it is none's."""
    found = _COMMAND.match(text.lstrip())
    return None if found is None else found[1]


def is_notice(text: str) -> bool:
    """Whether the text is a notice of a background task's end, which wakes the agent."""
    return text.startswith("<task-notification>")


def ends_with_question(message: Record) -> bool:
    """Whether the last text of an answer ends with a question."""
    blocks = mappings(message.get("content"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    return bool(texts) and is_question(texts[-1])


def is_typed(text: str) -> bool:
    """Whether the text is a person's, not a command's or a notice."""
    return not text.lstrip().startswith(_NO_PROMPT)


def ended_task(notice: object) -> str | None:
    """Return the id of the background task that a notice's text says has ended."""
    if not isinstance(notice, str) or not _TASK_ENDED.search(notice):
        return None
    task = _TASK.search(notice)
    return None if task is None else task[1]
