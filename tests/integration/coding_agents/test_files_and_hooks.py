"""A server follows the files of Pi, Qwen Code and Mistral Vibe while hooks report the same calls.

The files are recorded sessions with current timestamps; the hooks are the real htmlgraph-hook.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.pi.settings import SETTINGS as PI_SETTINGS
from htmlgraph_nb.coding_agents.vibe.settings import SETTINGS as VIBE_SETTINGS
from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import recorded_lines
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.session_lines import CONTENT
from tests.helpers.wait import wait_until

PAYLOADS = ROOT / "tests/payloads"
PI = "01a22dc3-aea2-7590-a285-f17d65b70a20"
QWEN = "7ca48c22-645a-4db2-9a7d-330f8f4fd1e7"
VIBE = "5f0c2a9e-31b7-8d02-6c44-9d1f0e7a2b35"
VIBE_FOLDER = "session_20260707_161142_5f0c2a9e"


def hook(server: Server, agent: str, **payload: Any) -> None:
    """Run the real hook command as an agent does."""
    environ = {"HTMLGRAPH_URL": server.url}
    subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", agent],
        input=json.dumps({"cwd": "/home/user/shop", **payload}).encode(),
        env=clean_environ(server.home, environ),
        check=True,
        timeout=60,
    )


def events(server: Server) -> list[dict[str, Any]]:
    """Return the history."""
    text = server.get("/api/history?limit=10000&format=ndjson").text
    assert CONTENT not in text
    return [json.loads(row) for row in text.splitlines()]


def n_tokens(server: Server) -> int:
    """Return the tokens of all agents."""
    return sum(int(each["total_cost_tokens"]) for each in server.presence().values())


def append(path: Path, lines: list[bytes]) -> None:
    """Write lines as the agent does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(lines)


def only_agent(server: Server) -> dict[str, Any]:
    """Return the only presence."""
    (presence,) = server.presence().values()
    return presence


def test_pi_extension_and_file_agree(server: Server) -> None:
    """One agent, each call once, with the dollars of the file and the hash of its input."""
    (source,) = (PAYLOADS / "pi").rglob("*.jsonl")
    lines = recorded_lines(source)
    path = server.home / ".pi/agent/sessions/--home-user-shop--" / source.name
    common = {"session_id": PI, "model": "fake-1", "transcript_path": str(path)}
    calls = re.findall(rb'"type":"toolCall","id":"(\w+)"', b"".join(lines))
    hook(server, "pi", hook_event_name="SessionStart", source="startup", **common)
    hook(server, "pi", hook_event_name="UserPromptSubmit", **common)
    wait_until(lambda: only_agent(server)["status"] == "active", "the prompt")
    call = {"tool_name": "bash", "tool_use_id": calls[0].decode(), **common}
    hook(server, "pi", hook_event_name="PreToolUse", **call)
    append(path, lines)
    wait_until(lambda: n_tokens(server) == 321, "the tokens")
    hook(server, "pi", hook_event_name="PostToolUse", duration_ms=29, **call)
    hook(server, "pi", hook_event_name="Stop", stop_reason="stop", **common)
    hook(server, "pi", hook_event_name="SessionEnd", reason="quit", **common)
    wait_until(lambda: only_agent(server)["status"] == "offline", "the end")
    presence = only_agent(server)
    assert presence["agent_id"] == f"pi-{PI}"
    assert presence["title"] == "Check out"
    assert presence["cost_usd"] == pytest.approx(3 * 0.000196)
    assert presence["total_tools_executed"] == 2
    starts = [event for event in events(server) if event["event_type"] == "tool_start"]
    assert len(starts) == 2
    assert all(event["input_hash"] is not None for event in starts)


def test_pi_dialog_of_an_extension_waits_for_the_user(server: Server) -> None:
    """Until the user closes it."""
    common = {"session_id": PI, "model": "fake-1"}
    hook(server, "pi", hook_event_name="UserPromptSubmit", **common)
    dialog = {"notification_type": "agent_needs_input", **common}
    hook(server, "pi", hook_event_name="Notification", **dialog)
    wait_until(lambda: only_agent(server)["attention"], "the dialog")
    hook(server, "pi", hook_event_name="ElicitationResult", **common)
    wait_until(lambda: not only_agent(server)["attention"], "the answer")


def test_qwen_hooks_and_file_agree(server: Server) -> None:
    """One agent and each call once, although the hooks make up ids of their own."""
    (source,) = (PAYLOADS / "qwen").rglob(f"{QWEN}.jsonl")
    lines = recorded_lines(source)
    path = server.home / ".qwen/projects/-home-user-shop/chats" / source.name
    common = {"session_id": QWEN, "transcript_path": str(path)}
    hook(server, "qwen", hook_event_name="SessionStart", source="startup", **common)
    hook(server, "qwen", hook_event_name="UserPromptSubmit", prompt=CONTENT, **common)
    permission = {"tool_name": "run_shell_command", "tool_input": {"note": CONTENT}, **common}
    hook(server, "qwen", hook_event_name="PermissionRequest", **permission)
    wait_until(lambda: only_agent(server)["attention"], "the request")
    call = {"tool_use_id": "toolu_1796062526014_kjtb8ndh0", "tool_call_id": "call_1", **permission}
    hook(server, "qwen", hook_event_name="PreToolUse", **call)
    wait_until(lambda: not only_agent(server)["attention"], "the answer")
    append(path, lines)
    wait_until(lambda: n_tokens(server) == 321, "the tokens")
    stop = {"last_assistant_message": CONTENT, "background_tasks": [], **common}
    hook(server, "qwen", hook_event_name="Stop", **stop)
    wait_until(lambda: only_agent(server)["status"] == "idle", "the end of the turn")
    presence = only_agent(server)
    assert presence["agent_id"] == "qwen-7ca48c22"
    assert presence["context_window"] == 1_000_000
    starts = [event for event in events(server) if event["event_type"] == "tool_start"]
    assert {event["tool_use_id"] for event in starts} == {"call_1", "call_2"}
    assert len({event["input_hash"] for event in starts}) == 1


def test_qwen_subagent_belongs_to_its_parent(server: Server) -> None:
    """It is shown while its file grows, and ends when ``meta.json`` says so."""
    folder = server.home / ".qwen/projects/-home-user-shop"
    (source,) = (PAYLOADS / "qwen").rglob("agent-*.jsonl")
    lines = recorded_lines(source)
    child = folder / "subagents" / source.parent.name / source.name
    meta = source.with_name(source.stem + ".meta.json")
    running = {**json.loads(meta.read_text()), "status": "running"}
    child.parent.mkdir(parents=True)
    child.with_name(meta.name).write_text(json.dumps(running))
    append(child, lines[:2])
    wait_until(lambda: len(server.presence()) == 2, "the subagent and its parent")
    parent = "qwen-004af7b8"
    shown = next(each for name, each in server.presence().items() if name != parent)
    assert (shown["parent_agent_id"], shown["title"]) == (parent, "Look around")
    append(child, lines[2:])
    child.with_name(meta.name).write_text(meta.read_text())
    wait_until(lambda: server.presence()[shown["agent_id"]]["status"] == "offline", "its end")
    assert n_tokens(server) == 2 * 57


def test_vibe_hooks_and_files_agree(server: Server) -> None:
    """The files give the facts and the tokens, the hooks the call before its result is written."""
    source = PAYLOADS / "vibe/logs/session" / VIBE_FOLDER
    lines = (source / "messages.jsonl").read_bytes().splitlines(keepends=True)
    meta = json.loads((source / "meta.json").read_text())
    call = json.loads(lines[1])["tool_calls"][0]["id"]
    path = server.home / ".vibe/logs/session" / VIBE_FOLDER / "messages.jsonl"
    common = {"session_id": VIBE, "parent_session_id": None, "transcript_path": str(path)}
    tool = {"tool_name": "bash", "tool_call_id": call, "tool_input": {}, **common}
    hook(server, "vibe", hook_event_name="before_tool", **tool)
    wait_until(lambda: only_agent(server)["detail"] == "tool", "the call")
    done = {"tool_status": "success", "tool_output_text": CONTENT, "duration_ms": 12.5, **tool}
    hook(server, "vibe", hook_event_name="after_tool", **done)
    append(path, lines[:3])
    stats = {"session_prompt_tokens": 9_000, "session_completion_tokens": 90}
    first = {**meta, "end_time": None, "total_messages": 3, "stats": {**meta["stats"], **stats}}
    path.with_name("meta.json").write_text(json.dumps(first))
    wait_until(lambda: n_tokens(server) == 9_090, "the tokens of the first step")
    append(path, lines[3:])
    path.with_name("meta.json").write_text(json.dumps({**meta, "end_time": None}))
    hook(server, "vibe", hook_event_name="post_agent_turn", **common)
    wait_until(lambda: n_tokens(server) == 31_873 + 642, "all tokens")
    wait_until(lambda: only_agent(server)["status"] == "idle", "the end of the turn")
    presence = only_agent(server)
    assert presence["agent_id"] == f"vibe-{VIBE}"
    assert (presence["title"], presence["branch"]) == ("Check out", "feat/checkout")
    ended = [each for each in events(server) if each["event_type"] == "tool_execute"]
    ids = {each["tool_use_id"] for each in ended}
    assert len(ended) == len(ids) == presence["total_tools_executed"] == 2


def test_programs_are_written_and_removed(server: Server) -> None:
    """connect writes them, --check finds them, --undo deletes them and nothing else."""
    environ = clean_environ(server.home)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "htmlgraph_server.cli", *words]
        done = subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
        return done.stdout.decode()

    files = {"pi": ".pi/agent/extensions/htmlgraph.js", "vibe": ".vibe/hooks.toml"}
    for agent, file in files.items():
        path = server.home / file
        run("connect", agent)
        text = path.read_text()
        assert "already connected" in run("connect", agent)
        assert str(path) in run("connect", "--check")
        program = shlex.split(re.findall(r'"([^"]*htmlgraph-hook[^"]*)"', text)[0])
        assert program[-1] == agent
        settings = PI_SETTINGS if agent == "pi" else VIBE_SETTINGS
        assert settings.program is not None
        assert text == settings.program(shlex.join(program))
        run("connect", agent, "--undo")
        assert not path.exists()
    own = server.home / files["vibe"]
    own.write_text("[[hooks]]\n")
    command = [sys.executable, "-m", "htmlgraph_server.cli", "connect", "vibe"]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, timeout=120)
    assert done.returncode != 0
    assert b"htmlgraph-nb did not write it" in done.stderr
    assert own.read_text() == "[[hooks]]\n"
