"""Single lines of session files are recognized."""

from __future__ import annotations

import json
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.codex.session import CodexSession
from tests.helpers.codex_lines import (
    ID,
    OTHER,
    count,
    item,
    meta,
)
from tests.helpers.session_lines import (
    check,
    line,
    read,
    tokens,
)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "say_it", "namespace": "mcp__demo"}, "mcp__demo__say_it"),
        ({"name": "mcp__demo__say_it"}, "mcp__demo__say_it"),
        ({"name": "shell_command", "namespace": "functions"}, "Bash"),
        ({"name": "wait_agent", "namespace": "multi_agent_v1"}, "wait_agent"),
        ({"name": "apply_patch", "namespace": ["mcp__"]}, "apply_patch"),
    ],
)
def test_tool_name_is_that_of_hooks(fields: dict[str, Any], name: str) -> None:
    """A tool has the same name in hooks and session files."""
    call, output = {"call_id": "c1", **fields}, {"call_id": "c1", "output": "done"}
    events = read(
        CodexSession(),
        [meta(), item("function_call", 1, **call), item("function_call_output", 2, **output)],
    )
    assert [event.tool_name for event in events[1:]] == [name, name]
    check(events)


def test_first_own_ordinal_ends_the_copied_history() -> None:
    """Lines of a subagent before its first own line are a copy."""
    head = json.loads(meta(OTHER, 10, parent_thread_id=ID, subagent_history_start_ordinal=3))
    counts = [json.loads(count((n, 0, n), (n, 0, n), 11)) for n in (7, 8, 9)]
    lines = [line({**each, "ordinal": index}) for index, each in enumerate([head, *counts])]
    assert tokens(read(CodexSession(), lines)) == (9, 0, 0, 0, 9)


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\nExit code: 1", "ok"),
        ("Exit code: 2\nOutput:\n", "error"),
        ("Chunk ID: 1\nProcess exited with code 127\nOutput:\n", "error"),
        ('{"output":"x","metadata":{"exit_code":1}}', "error"),
        ('{"output":"x","metadata":{"exit_code":0}}', "ok"),
        ('{"not json', "ok"),
        ({"content": "x", "success": False}, "error"),
        ([{"type": "input_image"}], "ok"),
        (None, "ok"),
    ],
)
def test_has_failed_reads_the_exit_status(output: Any, status: str) -> None:
    """A tool failed if the head of its output says so, not if the command printed it."""
    lines = [meta(), item("custom_tool_call_output", 1, call_id="c", output=output)]
    done = read(CodexSession(), lines)[-1]
    assert done.status == status
    assert done.event_type == ("tool_error" if status == "error" else "tool_execute")
