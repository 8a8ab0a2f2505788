"""What single lines of Claude Code's session files tell; see claude_session.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .asking import is_question
from .fields import count, fit, identifier, mapping, objects

AGENT = "claude"
FINAL_REASONS = frozenset({"end_turn", "stop_sequence", "max_tokens", "refusal"})
"""Why an answer stopped, where its turn ended with it."""
_NO_PROMPT = (
    *("<command-name>", "<local-command-", "<bash-input>", "<bash-stdout>", "<bash-stderr>"),
    *("<task-notification>", "<system-reminder>", "<teammate-message"),
)
_INTERRUPT = "[Request interrupted by user"
_REJECTED = "The user doesn't want to"
_COMMAND = re.compile(r"<command-name>(/[\w:.-]{1,64})</command-name>")
QUITS = frozenset({"/exit", "/quit"})
"""Commands that end the session."""
_TASK = re.compile(r"<task-id>([\w-]{1,128})</task-id>")
_TASK_ENDED = re.compile(r"<status>(?:completed|failed|killed|stopped)</status>")

Record = Mapping[str, Any]


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
    return uuid_key(record) if found is None else fit(f"{AGENT}:{found}")


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
    for block in objects(content):
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
    blocks = objects(message.get("content"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    return bool(texts) and is_question(texts[-1])


def is_typed(text: str) -> bool:
    """Whether the text is a person's, not a command's or a notice."""
    return not text.lstrip().startswith(_NO_PROMPT)


def ended_task(record: Record) -> str | None:
    """Return the id of the background task that a notice says has ended."""
    content = record.get("content")
    if not isinstance(content, str) or not _TASK_ENDED.search(content):
        return None
    task = _TASK.search(content)
    return None if task is None else task[1]
