"""Single lines of session files are recognized."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.lines import tokens_of
from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from tests.helpers.claude_lines import (
    only,
    user,
)
from tests.helpers.session_lines import (
    PAYLOADS,
    kinds,
    lines_of,
    read,
)


def test_compaction_by_the_user_ends_at_the_prompt() -> None:
    """After a manual compaction the agent waits at its prompt."""
    events = read(ClaudeSession(), lines_of(PAYLOADS / "claude" / "compaction.jsonl"))
    idle = only(events, "idle")
    assert idle.extra == {
        "trigger": "manual",
        "hook_event_name": "PostCompact",
        "pre_tokens": 20_965,
        "compacted": True,
    }
    assert idle.duration_ms == 15_335
    assert kinds(events).count("prompt") == 2


@pytest.mark.parametrize(
    ("usage", "split"),
    [
        ({"cache_creation_input_tokens": 9}, (9, 0)),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 4}}, (0, 4)),
        (
            {
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
            },
            (5, 4),
        ),
        (
            {
                "cache_creation_input_tokens": 3,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
            },
            (0, 3),
        ),
        ({"cache_creation": None}, (0, 0)),
    ],
)
def test_tokens_of_splits_cache_writes(usage: dict[str, Any], split: tuple[int, int]) -> None:
    """The total of cache writes is exact; writes without a lifetime count as five minutes."""
    counts = tokens_of(usage)
    assert (counts["cache_write_5m_tokens"], counts["cache_write_1h_tokens"]) == split


@pytest.mark.parametrize(
    "text",
    [
        "<command-name>/clear</command-name>",
        "<local-command-stdout>x</local-command-stdout>",
        "<bash-input>ls</bash-input>",
    ],
)
def test_is_typed_excludes_local_commands(text: str) -> None:
    """Local commands, shell escapes and notices are no prompts."""
    assert kinds(read(ClaudeSession(), [user(text)])) == ["session_start"]


@pytest.mark.parametrize("command", ["/exit", "/quit"])
def test_exit_events_end_the_session(command: str) -> None:
    """A command that exits ends the session."""
    command_line = user(f"<command-name>{command}</command-name>", 1)
    assert kinds(read(ClaudeSession(), [user("x", 0), command_line]))[-1] == "session_end"
