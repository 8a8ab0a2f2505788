"""A server follows the file of Copilot CLI while its hooks report the same calls.

The file is a recorded session with current timestamps; the hooks are the real htmlgraph-hook.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import recorded_lines
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.session_lines import CONTENT
from tests.helpers.wait import wait_until

SESSION = "b0d743e2-1b3b-4f2d-8ba9-f15a1f626ee8"
SOURCE = ROOT / "tests/payloads/coverage/copilot/session-state" / SESSION


def hook(server: Server, name: str, **payload: Any) -> None:
    """Run the real hook command as Copilot CLI does."""
    common = {"cwd": "/home/user/shop", "session_id": SESSION, "hook_event_name": name}
    subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", "copilot"],
        input=json.dumps({**common, **payload}).encode(),
        env=clean_environ(server.home, {"HTMLGRAPH_URL": server.url}),
        check=True,
        timeout=60,
    )


def run(server: Server, *words: str) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "htmlgraph_server.cli", *words]
    environ = clean_environ(server.home)
    done = subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
    return done.stdout.decode()


def test_copilot_hooks_and_file_agree(server: Server) -> None:
    """One agent and each call once, although the hooks name no calls."""
    lines = recorded_lines(SOURCE / "events.jsonl")
    folder = server.home / ".copilot/session-state" / SESSION
    folder.mkdir(parents=True)
    (folder / "workspace.yaml").write_bytes((SOURCE / "workspace.yaml").read_bytes())
    hook(server, "SessionStart", source="new")
    hook(server, "UserPromptSubmit", prompt=CONTENT)
    calls = [index for index, each in enumerate(lines) if b'"tool.execution_start"' in each]
    for index in calls:
        record = json.loads(lines[index])
        record["data"]["arguments"] = {"command": f"{CONTENT} {index}"}
        lines[index] = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    tools = [json.loads(lines[index])["data"] for index in calls]
    path = folder / "events.jsonl"
    for tool in tools:
        if tool["toolName"] == "bash":
            hook(server, "PreToolUse", tool_name="Bash", tool_input=tool["arguments"])
    path.write_bytes(b"".join(lines))
    used = [json.loads(each)["data"] for each in lines if b'"session.shutdown"' in each][-1]
    counts = [each["usage"] for each in used["modelMetrics"].values()]
    total = sum(each["inputTokens"] + each["outputTokens"] for each in counts)
    wait_until(
        lambda: sum(each["total_cost_tokens"] for each in server.presence().values()) == total,
        "the tokens",
    )
    hook(server, "Stop", transcript_path=str(path))
    hook(server, "SessionEnd", reason="user_exit")
    wait_until(
        lambda: [each["status"] for each in server.presence().values()] == ["offline"], "the end"
    )
    (presence,) = server.presence().values()
    assert presence["agent_id"] == "copilot-b0d743e2"
    assert (presence["title"], presence["branch"]) == ("Repair of the till", "main")
    text = server.get("/api/history?limit=10000&format=ndjson").text
    assert CONTENT not in text
    rows = [json.loads(row) for row in text.splitlines()]
    starts = [row for row in rows if row["event_type"] == "tool_start"]
    assert len(starts) == len(tools)


def test_copilot_is_connected_and_disconnected(server: Server) -> None:
    """connect writes a file, --check finds it, --undo leaves no hook."""
    path = server.home / ".copilot/hooks/htmlgraph.json"
    other = path.with_name("mine.json")
    other.parent.mkdir(parents=True)
    other.write_text('{"version": 1, "hooks": {}}')
    run(server, "connect", "copilot")
    assert "htmlgraph-hook copilot" in path.read_text()
    assert "already connected" in run(server, "connect", "copilot")
    assert str(path) in run(server, "connect", "--check")
    run(server, "connect", "copilot", "--undo")
    assert not path.exists() or "htmlgraph-hook" not in path.read_text()
    assert other.read_text() == '{"version": 1, "hooks": {}}'
