"""Tool calls of Codex's session files, and their input as hooks report it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.codex.calls import Calls, hook_input
from htmlgraph_nb.coding_agents.codex.hooks import events_from_hook
from htmlgraph_nb.coding_agents.codex.session import CodexSession
from tests.helpers.codex_lines import item, meta
from tests.helpers.session_lines import START, hashed, read

PATCH = "*** Begin Patch\n*** Add File: a.py\n+x = 1\n*** End Patch\n"


def call(**payload: Any) -> dict[str, Any]:
    """Return the payload of a line of a call."""
    if "arguments" in payload and not isinstance(payload["arguments"], str):
        payload["arguments"] = json.dumps(payload["arguments"])
    return {"type": "function_call", **payload}


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        ("Bash", call(arguments={"cmd": "ls", "workdir": "/a"}), {"command": "ls"}),
        ("Bash", call(arguments={"command": "ls", "timeout_ms": 9}), {"command": "ls"}),
        (
            "Bash",
            call(arguments={"command": ["bash", "-lc", "ls *"]}),
            {"command": "bash -lc 'ls *'"},
        ),
        (
            "Bash",
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls", "-l"]}},
            {"command": "ls -l"},
        ),
        ("apply_patch", {"type": "custom_tool_call", "input": PATCH}, {"command": PATCH}),
        ("update_plan", call(arguments={"plan": []}), {"plan": []}),
        ("mcp__web__fetch", call(arguments=' {"url": "x"}'), {"url": "x"}),
        ("list", call(arguments=""), {}),
        ("list", call(arguments="not JSON"), "not JSON"),
        ("list", call(arguments="[" * 100_000), "[" * 100_000),
        ("list", call(), None),
    ],
)
def test_hook_input_is_that_of_hooks(name: str, payload: dict[str, Any], expected: Any) -> None:
    """Of a shell only the command, of a patch its text, else the arguments."""
    assert hook_input(name, payload) == expected


def test_calls_end_has_the_hash_of_the_start() -> None:
    """The line of a result has no input."""
    calls = Calls(hashed)
    start = calls.start(call(call_id="c", name="exec_command", arguments={"cmd": "ls"}), START)
    end = calls.end({"call_id": "c", "output": "x"}, START)
    assert start is not None
    assert end is not None
    assert start[1]["input_hash"] == end[1]["input_hash"] == hashed({"command": "ls"})
    assert calls.start({}, START) is calls.end({}, START) is None
    unknown = calls.end({"call_id": "other"}, START)
    assert unknown is not None
    assert unknown == ("other", {**unknown[1], "input_hash": None})


def test_calls_have_the_hashes_of_hooks() -> None:
    """A call has the same hash in both sources."""
    lines = [
        meta(),
        item("function_call", 1, name="exec_command", call_id="1", arguments='{"cmd": "ls -l"}'),
        item("function_call_output", 2, call_id="1", output=""),
    ]
    _, *events = read(CodexSession(hashed), lines)
    sent = {"input_hash": hashed({"command": "ls -l"})}
    for event, hook in zip(events, ("PreToolUse", "PostToolUse"), strict=True):
        payload = {"session_id": "s", "tool_use_id": "1", "htmlgraph": sent}
        (own,) = events_from_hook({**payload, "hook_event_name": hook}, received_at=START)
        assert event.input_hash == own.input_hash is not None
