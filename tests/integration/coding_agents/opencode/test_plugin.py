"""The plugin forwards what OpenCode's bus reports, as names, ids and counts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.opencode.plugin import plugin_text
from tests.helpers.wait import wait_until

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node runs the plugin")

RUN = """
import { HtmlgraphPlugin } from "./htmlgraph.mjs";
const { event } = await HtmlgraphPlugin();
for (const each of JSON.parse(process.argv[2])) await event({ event: each });
"""
HOOK = """
import os, sys
with open(sys.argv[1], "ab") as file:
    os.write(file.fileno(), sys.stdin.buffer.read() + b"\\n")
"""


def forward(folder: Path, events: list[dict[str, Any]], expected: int) -> list[dict[str, Any]]:
    """Return what the plugin gave to the hook, in any order."""
    log, hook = folder / "log", folder / "hook.py"
    hook.write_text(HOOK)
    command = f"'{sys.executable}' '{hook}' '{log}'"
    (folder / "htmlgraph.mjs").write_text(plugin_text(command))
    (folder / "run.mjs").write_text(RUN)
    words = [str(NODE), "run.mjs", json.dumps(events)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    wait_until(lambda: len(lines()) >= expected)
    return [json.loads(line) for line in lines()]


def bus(kind: str, **properties: Any) -> dict[str, Any]:
    """Return an event of the bus."""
    return {"type": kind, "properties": properties}


def user(name: str, session: str = "ses_1") -> dict[str, Any]:
    """Return the event of a user's message."""
    return bus("message.updated", info={"id": name, "sessionID": session, "role": "user"})


def test_plugin_forwards_a_turn(tmp_path: Path) -> None:
    """A prompt once, a permission, its reply, the end."""
    events = [
        bus("session.created", info={"id": "ses_1", "directory": "/shop"}, sessionID="ses_1"),
        user("msg_1"),
        user("msg_1"),
        bus("session.status", sessionID="ses_1", status={"type": "busy"}),
        bus("permission.asked", sessionID="ses_1", permission="bash", metadata={"command": "x"}),
        bus("permission.replied", sessionID="ses_1", reply="once"),
        bus("message.part.updated", sessionID="ses_1", part={"text": "secret"}),
        bus("session.idle", sessionID="ses_1"),
        bus("session.idle", sessionID="ses_1"),
    ]
    found = forward(tmp_path, events, 5)
    common = {"session_id": "ses_1", "cwd": "/shop"}
    assert sorted(found, key=lambda item: item["hook_event_name"]) == [
        {"hook_event_name": "permission.asked", **common, "tool_name": "bash"},
        {"hook_event_name": "permission.replied", **common, "reply": "once"},
        {"hook_event_name": "session.created", **common},
        {"hook_event_name": "session.idle", **common},
        {"hook_event_name": "session.prompt", **common},
    ]


def test_plugin_names_the_main_session_of_a_subagent(tmp_path: Path) -> None:
    """As the database does."""
    info = {"id": "ses_2", "parentID": "ses_1", "directory": "/shop"}
    events = [
        bus("session.created", sessionID="ses_2", info=info),
        bus("question.asked", sessionID="ses_2", questions=[{"question": "secret"}]),
    ]
    (found,) = forward(tmp_path, events, 1)
    assert (found["session_id"], found["agent_id"]) == ("ses_1", "ses_2")
    assert "secret" not in json.dumps(found)


def test_plugin_reports_why_a_turn_failed_and_not_that_it_ended(tmp_path: Path) -> None:
    """A retry has a reason and a time, an error a name and a status."""
    status = {
        "type": "retry",
        "attempt": 2,
        "message": "Rate limit reached",
        "next": 1_780_000_000_000,
    }
    error = {"name": "APIError", "data": {"statusCode": 401, "message": "secret"}}
    events = [
        user("msg_1"),
        bus("session.status", sessionID="ses_1", status=status),
        bus("session.error", sessionID="ses_1", error=error),
        bus("session.idle", sessionID="ses_1"),
    ]
    found = {item["hook_event_name"]: item for item in forward(tmp_path, events, 3)}
    assert set(found) == {"session.prompt", "session.retry", "session.error"}
    retry, failed = found["session.retry"], found["session.error"]
    assert (retry["cannot_work"], retry["attempt"]) == ("rate_limited", 2)
    assert retry["until"] == "2026-05-28T20:26:40.000Z"
    assert (failed["error"], failed["status"]) == ("APIError", 401)
    assert "secret" not in json.dumps(found)


def test_plugin_survives_other_events_and_a_missing_hook(tmp_path: Path) -> None:
    """OpenCode never notices it."""
    (tmp_path / "htmlgraph.mjs").write_text(plugin_text("/missing/htmlgraph-hook opencode"))
    (tmp_path / "run.mjs").write_text(RUN)
    events: list[Any] = [{}, {"type": "session.idle"}, bus("session.status", sessionID="ses_1")]
    events += [user("msg_1"), bus("session.created", info=None), bus("server.connected")]
    words = [str(NODE), "run.mjs", json.dumps(events)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
