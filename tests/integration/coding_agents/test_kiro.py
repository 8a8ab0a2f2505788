"""A server follows the file of Kiro CLI while its hooks report the same turn.

The file is a recorded session with current timestamps; the hooks are the real htmlgraph-hook.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import json_line, timestamp_from_now
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.session_lines import CONTENT
from tests.helpers.wait import wait_until

SESSION = "0c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"
FOLDER = ROOT / "tests/payloads/coverage/kiro/sessions/cli"


def hook(server: Server, name: str, *options: str, **payload: Any) -> None:
    """Run the real hook command as Kiro CLI does."""
    common = {"cwd": "/home/user/shop", "session_id": SESSION, "hook_event_name": name}
    fields = {key: value for key, value in {**common, **payload}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", "kiro", *options],
        input=json.dumps(fields).encode(),
        env=clean_environ(server.home, {"HTMLGRAPH_URL": server.url}),
        check=True,
        capture_output=True,
        timeout=60,
    )
    # Kiro adds the output to the context of the model.
    assert done.stdout == b""


def run(server: Server, *words: str) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "htmlgraph_server.cli", *words]
    environ = clean_environ(server.home)
    done = subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
    return done.stdout.decode()


def current_session() -> tuple[list[bytes], dict[str, Any]]:
    """Return the lines of the recorded session and the file beside it, with current times."""
    now = time.time()
    lines = (FOLDER / f"{SESSION}.jsonl").read_bytes().splitlines(keepends=True)
    prompt = json.loads(lines[0])
    prompt["data"]["meta"]["timestamp"] = int(now)
    prompt["data"]["content"][0]["data"] = CONTENT
    lines[0] = json.dumps(prompt).encode() + b"\n"
    beside = json.loads((FOLDER / f"{SESSION}.json").read_bytes())
    beside["created_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 1))
    (turn,) = beside["session_state"]["conversation_metadata"]["user_turn_metadatas"]
    turn["end_timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 2))
    return lines, beside


def rows_of(server: Server) -> list[dict[str, Any]]:
    """Return the stored events of hooks and session files."""
    text = server.get("/api/history?limit=10000&format=ndjson").text
    assert CONTENT not in text
    rows = [json.loads(row) for row in text.splitlines()]
    return [row for row in rows if row["source"] in ("kiro-hook", "kiro-session")]


def test_kiro_hooks_and_file_agree(server: Server) -> None:
    """One agent, one prompt, one call and one end of the turn, although hooks name no calls."""
    hook(server, "userPromptSubmit", "agent-config", prompt=CONTENT)
    hook(server, "preToolUse", "agent-config", tool_name="execute_bash", tool_input={"c": CONTENT})
    assert [row["source"] for row in rows_of(server)] == ["kiro-hook", "kiro-hook"]
    # Without a terminal no session is named; version 3 runs the hook of its own file as well.
    hook(server, "userPromptSubmit", "agent-config", session_id=None, prompt=CONTENT)
    hook(server, "UserPromptSubmit", "agent-config", session_id=f"sess_{SESSION}")
    lines, beside = current_session()
    folder = server.home / ".kiro/sessions/cli"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.json").write_text(json.dumps(beside))
    (folder / f"{SESSION}.jsonl").write_bytes(b"".join(lines))
    wait_until(
        lambda: "tool_execute" in [row["event_type"] for row in rows_of(server)],
        "the end of the call",
    )
    hook(server, "stop", "agent-config")
    wait_until(
        lambda: [each["status"] for each in server.presence().values()] == ["idle"], "the end"
    )
    (presence,) = server.presence().values()
    assert presence["agent_id"] == "kiro-0c1d2e3f"
    assert presence["title"] == "Repair of the till"
    counts = Counter(row["event_type"] for row in rows_of(server))
    assert (counts["prompt"], counts["tool_start"], counts["tool_execute"]) == (1, 1, 1)
    assert not list(server.home.rglob("hook-problem.json"))


def test_kiro_hooks_and_file_of_version_3_agree(server: Server) -> None:
    """The folder of the file is the session that its hooks name."""
    session = "sess_7e8f9a0b-1c2d-4e3f-8a4b-5c6d7e8f9a0b"
    (source,) = FOLDER.parent.glob("*/*/messages.jsonl")
    folder = server.home / ".kiro/sessions/shop-1a2b" / session
    folder.mkdir(parents=True)
    (folder / "session.json").write_bytes(source.with_name("session.json").read_bytes())
    hook(server, "SessionStart", session_id=session)
    hook(server, "UserPromptSubmit", session_id=session, prompt="")
    hook(server, "PreToolUse", session_id=session, tool_name="fs_write", tool_input={"c": CONTENT})
    lines = map(json.loads, source.read_bytes().splitlines())
    current = b"".join(json_line({**line, "timestamp": timestamp_from_now()}) for line in lines)
    (folder / "messages.jsonl").write_bytes(current)
    wait_until(
        lambda: "tool_execute" in [row["event_type"] for row in rows_of(server)],
        "the end of the call",
    )
    hook(server, "Stop", session_id=session)
    wait_until(
        lambda: [each["status"] for each in server.presence().values()] == ["idle"], "the end"
    )
    assert list(server.presence()) == [f"kiro-{session}"]
    counts = Counter(row["event_type"] for row in rows_of(server))
    assert (counts["prompt"], counts["tool_start"], counts["tool_execute"]) == (1, 1, 1)


@pytest.fixture
def config(server: Server) -> Path:
    """Return the config of an agent with a hook of its own."""
    path = server.home / ".kiro/agents/shop.json"
    path.parent.mkdir(parents=True)
    path.write_text('{\n  "name": "shop",\n  "hooks": {"stop": [{"command": "make"}]}\n}\n')
    return path


def test_kiro_is_connected_and_disconnected(server: Server, config: Path) -> None:
    """connect writes its file and changes the config, --undo restores both."""
    before = config.read_text()
    own = server.home / ".kiro/hooks/htmlgraph.json"
    shown = run(server, "connect", "kiro", "--dry-run")
    assert "+++" in shown
    assert not own.exists()
    assert config.read_text() == before
    run(server, "connect", "kiro")
    assert json.loads(own.read_text())["version"] == "v1"
    hooks = json.loads(config.read_text())["hooks"]
    assert [list(entry) for entry in hooks["preToolUse"]] == [["command", "timeout_ms"]]
    assert hooks["stop"][0] == {"command": "make"}
    assert Path(f"{config}.before-htmlgraph").read_text() == before
    assert sorted(each.name for each in config.parent.iterdir()) == [
        "shop.json",
        "shop.json.before-htmlgraph",
    ]
    assert run(server, "connect", "kiro").count("already connected") == 2
    checked = run(server, "connect", "--check")
    assert str(own) in checked
    assert str(config) in checked
    run(server, "connect", "kiro", "--undo")
    assert not own.exists()
    assert config.read_text() == before


def test_kiro_is_not_connected_in_part(server: Server, config: Path) -> None:
    """A config that is no JSON is named, and no file is written."""
    broken = config.with_name("till.json")
    broken.write_text('{"name": ')
    before = config.read_text()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(server, "connect", "kiro")
    assert f"cannot edit {broken}" in caught.value.stderr.decode()
    assert config.read_text() == before
    assert not (server.home / ".kiro/hooks").exists()


def test_kiro_uninstall_removes_its_hooks(server: Server, config: Path) -> None:
    """Also if the config has changed since."""
    run(server, "connect", "kiro")
    changed = json.loads(config.read_text())
    changed["model"] = "claude-sonnet-4.5"
    config.write_text(json.dumps(changed))
    run(server, "uninstall", "--project", str(server.home))
    assert not (server.home / ".kiro/hooks/htmlgraph.json").exists()
    assert json.loads(config.read_text()) == {
        "name": "shop",
        "hooks": {"stop": [{"command": "make"}]},
        "model": "claude-sonnet-4.5",
    }
