"""Subagents that only the progress lines of their parent's file mention."""

from __future__ import annotations

import json

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from tests.helpers.claude_lines import CHILD, CHILD_ID, record
from tests.helpers.session_lines import SESSION, at, kinds


def progress(seconds: float) -> bytes:
    """Return a progress line with the prompt of a subagent."""
    message = {
        "type": "user",
        "uuid": f"p{seconds}",
        "timestamp": at(seconds),
        "message": {"content": "do it"},
    }
    data = {"type": "agent_progress", "agentId": CHILD_ID, "message": message}
    return record("progress", seconds, data=data)


def feed(reader: ClaudeSession, line: bytes) -> None:
    """Feed a line that completes no events."""
    assert reader.read_record(json.loads(line)) == []


def test_progress_of_a_subagent_without_a_file_is_read() -> None:
    """Its events are returned at the end, once."""
    reader = ClaudeSession(SESSION, has_own_file=lambda _: False)
    feed(reader, progress(1))
    events = reader.finish()
    assert kinds(events) == ["subagent_start", "prompt"]
    assert events[1].agent_id == CHILD
    assert reader.finish() == []


def test_progress_of_a_subagent_with_a_file_is_ignored() -> None:
    """The subagent's own file has the same lines."""
    reader = ClaudeSession(SESSION)
    feed(reader, progress(1))
    assert reader.finish() == []


def test_progress_of_other_kinds_is_ignored() -> None:
    """Hooks and tools write progress lines, too."""
    reader = ClaudeSession(SESSION, has_own_file=lambda _: False)
    feed(reader, record("progress", 1, data={"type": "hook_progress", "agentId": CHILD_ID}))
    assert reader.finish() == []
