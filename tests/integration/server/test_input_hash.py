"""The hash of a tool call's input is stored, and the input itself nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.coding_agents import input_key
from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.helpers.session_home import SessionHome, prompt
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

SECRET = "Xq7-secret-command"
SESSION = "1b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
INPUT = {"command": f"echo '{SECRET}'", "timeout": 1000, "tags": ["ä", "\ud800"]}
TELEMETRY, HOOK, FILE, SPOOL = CALLS = (
    "toolu_01Xk9QmVb3nT7sRfLw2cYp4D",
    "toolu_01Bq5RtWc8zK2mNfXv7hLs3J",
    "toolu_01Hd6YpMx4gQ9wTbZk1nVr8C",
    "toolu_01Ns2FvJb7cR5xLqWm9tGk6P",
)


def records(call: str) -> list[dict[str, Any]]:
    """Return the lines of a call and its result."""
    block = {"type": "tool_use", "id": call, "name": "Bash", "input": INPUT}
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"id": f"msg_{call}", "model": "claude-sonnet-4-5", "usage": usage}
    result = {"type": "tool_result", "tool_use_id": call, "content": SECRET}
    return [
        {"type": "assistant", "message": {**message, "content": [block]}},
        {"type": "user", "message": {"content": [result]}},
    ]


def run_hook(home: Path, url: str, call: str) -> None:
    """Report the start and the end of a call as Claude Code does."""
    for hook in ("PreToolUse", "PostToolUse"):
        payload = {"session_id": SESSION, "hook_event_name": hook, "tool_name": "Bash"}
        payload |= {"tool_use_id": call, "tool_input": INPUT, "tool_response": SECRET}
        subprocess.run(
            [sys.executable, "-m", "htmlgraph_nb.hook"],
            # Another order of keys, and numbers as another program writes them.
            input=json.dumps(dict(reversed(payload.items()))).replace("1000", "1e3").encode(),
            env=clean_environ(home, {"HTMLGRAPH_URL": url}),
            check=True,
            timeout=60,
        )


def hashes(server: Server) -> list[int | None]:
    """Return the stored hashes of starts and ends of calls."""
    rows = server.get("/api/history?tool=Bash&columns=event_type,input_hash&limit=99").json()
    return [row["input_hash"] for row in rows["events"] if row["event_type"].startswith("tool_")]


def test_input_hash_is_the_same_from_all_sources(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, their spool and the session file agree, and telemetry without a hash gets theirs."""
    user, home = SessionHome(tmp_path / "user"), tmp_path / "home"
    lines = [prompt(SECRET), *(record for call in CALLS for record in records(call))]
    path = user.add_claude(SESSION, timedelta(seconds=0), lines)
    run_hook(home, "http://127.0.0.1:9", SPOOL)
    assert (home / "spool.jsonl").stat().st_size
    spooled = (home / "spool.jsonl").read_bytes()
    assert SECRET.encode() not in spooled
    flags = ("--verbose", "--no-watch", "--backfill", "off")
    server = serve(*flags, environ=user.environ, home=home)
    wait_until(lambda: len(hashes(server)) == 2, "the spooled events")
    early = {"session_id": SESSION, "source": "otlp", "tool_name": "Bash"}
    key = f"{TELEMETRY}:PostToolUse"
    server.send("claude-1b9d6f4e", event_id=key, tool_use_id=TELEMETRY, **early)
    run_hook(home, server.url, HOOK)
    run_hook(home, server.url, TELEMETRY)
    assert len(hashes(server)) == 6
    server.stop()

    server = serve("--verbose", environ=user.environ, home=home)
    wait_until(lambda: len(hashes(server)) == 8, "the calls of the session file")
    found = set(hashes(server))
    assert len(found) == 1
    input_key._key.cache_clear()
    monkeypatch.setenv("HTMLGRAPH_HOME", str(home))
    frame = load_transcripts(path, progress=False)
    assert set(frame["input_hash"].dropna()) == found != {None}
    server.stop()
    stored = [file for file in home.rglob("*") if file.is_file()]
    assert server.db in stored
    assert server.log_path in stored
    for file in stored:
        assert SECRET.encode() not in file.read_bytes(), file
