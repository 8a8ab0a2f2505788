"""The server finds agents on its machine by session files, hooks and processes.

The session files are recordings with current timestamps, written by separate processes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.core.model import TOKEN_FIELDS
from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import json_line, recorded_lines, timestamp_from_now
from tests.helpers.server_process import Server
from tests.helpers.session_lines import PAYLOADS
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

CLAUDE = "4d5611e5-241a-462a-8d15-5122611a9569"
NODE = platform.node()


def session_path(home: Path, agent: str, name: str) -> Path:
    """Return the path at which an agent would write a session file of this name."""
    folders = {
        "claude": ".claude/projects/-home-user-shop",
        "codex": ".codex/sessions/2026/05/30",
        "gemini": ".gemini/tmp/shop/chats",
    }
    return home / folders[agent] / name


@contextmanager
def writing(path: Path, lines: Sequence[bytes], pause_s: float = 0.0) -> Iterator[None]:
    """Write these lines from another process during the block, and wait for it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.session_writer", str(path), str(pause_s)],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(lines))
    process.stdin.close()
    try:
        yield
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def tokens(server: Server) -> tuple[int, ...]:
    """Return the sums of the token fields in the server's history."""
    rows = server.get("/api/history?limit=10000&format=ndjson").text.splitlines()
    events = [json.loads(row) for row in rows]
    return tuple(sum(event.get(name) or 0 for event in events) for name in TOKEN_FIELDS)


def n_events(server: Server) -> int:
    """Return the number of events in the server's history."""
    return len(server.get("/api/history?limit=10000&format=ndjson").text.splitlines())


def tokens_in(folder: Path) -> tuple[int, ...]:
    """Return the same sums as read from the session files."""
    frame = load_transcripts(folder, progress=False)
    return tuple(int(frame[name].sum()) for name in TOKEN_FIELDS)


def pairs(parts: Sequence[list[bytes]]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield the parts in pairs; the last second part may be empty."""
    for first in range(0, len(parts), 2):
        rest = parts[first + 1 :]
        yield parts[first], rest[0] if rest else []


FILES = {
    "claude": ("claude/permission.jsonl", "permission.jsonl"),
    "codex": ("codex/rollout-model-switch.jsonl", "rollout-model-switch.jsonl"),
    "gemini": ("gemini/shop/chats", "session-now.jsonl"),
}


def recorded_session(agent: str) -> list[bytes]:
    """Return the lines of a recorded session whose last timestamp is now."""
    path = PAYLOADS / FILES[agent][0]
    return recorded_lines(sorted(path.glob("session-*.jsonl"))[0] if path.is_dir() else path)


@pytest.mark.parametrize("agent", FILES)
def test_session_is_shown_while_it_is_written(server: Server, agent: str) -> None:
    """Without any hook: the agent appears, and its tokens are counted once."""
    path = session_path(server.home, agent, FILES[agent][1])
    lines = recorded_session(agent)
    with writing(path, lines, 0.01):
        wait_until(server.presence, "the agent")
    total = tokens_in(path)
    assert sum(total) > 0
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")
    watching = server.get("/api/status").json()["watching"]
    assert watching["followed"] == 1
    assert str(path).startswith(tuple(watching["folders"]))


def test_session_survives_server_crashes(serve: Serve, tmp_path: Path) -> None:
    """The server is killed repeatedly while an agent writes; each token is counted once."""
    home = tmp_path / "home"
    path = session_path(home, "claude", f"{CLAUDE}.jsonl")
    lines = recorded_lines(PAYLOADS / "claude" / f"{CLAUDE}.jsonl")
    # A subagent without its own file is only reported after a long silence.
    lines = [line for line in lines if b'"agent_progress"' not in line]
    # The next prompt completes the last completion.
    thanks = {"type": "user", "message": {"content": "thanks"}, "uuid": "u1"}
    lines.append(json_line({**thanks, "sessionId": CLAUDE, "timestamp": timestamp_from_now()}))
    step = len(lines) // 6
    parts = [lines[start : start + step] for start in range(0, len(lines), step)]
    for online, offline in pairs(parts):
        server = serve(home=home)
        before = n_events(server)
        with writing(path, online, 0.005):
            wait_until(lambda: n_events(server) > before, "something new")  # noqa: B023
            server.kill()
        with writing(path, offline):
            pass
    server = serve(home=home)
    total = tokens_in(path)
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")


def test_session_from_before_the_first_start_is_not_read(serve: Serve, tmp_path: Path) -> None:
    """Old sessions are left to ``htmlgraph-nb import``."""
    home = tmp_path / "home"
    old, new = (session_path(home, "claude", name) for name in ("old.jsonl", "new.jsonl"))
    for path in (old, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(recorded_lines(PAYLOADS / "claude" / "permission.jsonl")))
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    os.utime(old, (yesterday, yesterday))
    server = serve(home=home)
    wait_until(lambda: tokens(server) == tokens_in(new), "the new session")
    watching = server.get("/api/status").json()["watching"]
    assert (watching["files"], watching["followed"]) == (2, 1)


@pytest.mark.parametrize(
    ("flags", "environ"), [(["--no-watch"], {}), ([], {"HTMLGRAPH_WATCH": "off"})]
)
def test_watch_off_follows_no_session(
    serve: Serve, flags: list[str], environ: dict[str, str]
) -> None:
    """The status lists no folders; a Stop hook still makes the server read the tokens."""
    server = serve(*flags, environ=environ)
    path = session_path(server.home, "claude", "s.jsonl")
    path.parent.mkdir(parents=True)
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    path.write_bytes(b"".join(lines))
    assert server.get("/api/status").json()["watching"]["folders"] == []
    session = json.loads(lines[-1])["sessionId"]
    stop = {"hook_event_name": "Stop", "session_id": session, "transcript_path": str(path)}
    assert server.post("/api/hooks/claude", stop).status == 204
    total = tokens_in(path)
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")
    (agent,) = server.presence().values()
    assert agent["total_tools_executed"] == 0


def test_hook_cannot_name_a_file_elsewhere(serve: Serve) -> None:
    """A path outside the agents' folders or on another machine is not read."""
    server = serve("--no-watch")
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    outside = server.home / "outside.jsonl"
    inside = session_path(server.home, "claude", "s.jsonl")
    inside.parent.mkdir(parents=True)
    for path in (outside, inside):
        path.write_bytes(b"".join(lines))
    session = json.loads(lines[-1])["sessionId"]
    stop = {"hook_event_name": "Stop", "session_id": session}
    elsewhere = {"htmlgraph": {"host": f"not-{NODE}"}}
    for extra in ({"transcript_path": str(outside)}, {"transcript_path": str(inside), **elsewhere}):
        assert server.post("/api/hooks/claude", {**stop, **extra}).status == 204
    # Hooks are processed in order: once this one is read, the others were processed.
    other = session_path(server.home, "claude", "t.jsonl")
    fresh = "11111111-2222-4333-8444-555555555555"
    text = b"".join(lines).replace(session.encode(), fresh.encode())
    other.write_bytes(text.replace(b"msg_", b"m_"))
    last = {**stop, "session_id": fresh, "transcript_path": str(other)}
    assert server.post("/api/hooks/claude", last).status == 204
    wait_until(lambda: sum(tokens(server)), "the tokens of the file that may be read")
    session_ids = {
        json.loads(row)["session_id"]
        for row in server.get("/api/history?format=ndjson").text.splitlines()
        if json.loads(row)["event_type"] == "completion"
    }
    assert session_ids == {fresh}


def hook(server: Server, environ: dict[str, str], payload: dict[str, Any], *wrapper: str) -> None:
    """Run the real hook command as an agent does."""
    subprocess.run(
        [*wrapper, sys.executable, "-m", "htmlgraph_nb.hook", "claude"],
        input=json.dumps(payload).encode(),
        env=clean_environ(server.home, environ),
        check=True,
        timeout=60,
    )


def test_hook_sends_tokens_to_a_remote_server(serve: Serve) -> None:
    """The hook reads the file for a server that cannot; each completion is sent once."""
    token = "a-token-of-words"
    server = serve("--no-watch", "--token", token)
    path = server.home / "session.jsonl"
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    session = json.loads(lines[-1])["sessionId"]
    # An address of the same server that is not a loopback address.
    url = server.url.replace("127.0.0.1", "0.0.0.0")
    environ = {"HTMLGRAPH_URL": url, "HTMLGRAPH_TOKEN": token}
    stop = {"hook_event_name": "Stop", "session_id": session, "transcript_path": str(path)}

    def all_sent() -> bool:
        # On a busy machine the hook may reach its time limit; the next call continues.
        hook(server, environ, stop)
        return tokens(server) == tokens_in(path)

    for part in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        with path.open("ab") as file:
            file.writelines(part)
        hook(server, environ, stop)
    wait_until(all_sent, "the tokens", 60)
    assert all_sent()
    (agent,) = server.presence().values()
    assert agent["session_id"] == session


AGENT = """
import json, subprocess, sys
for line in sys.stdin:
    subprocess.run(json.loads(line)["run"], input=line.encode(), shell=True)
    print("done", flush=True)
"""


def test_agent_is_offline_after_its_process_exits(serve: Serve) -> None:
    """The hook sends its ancestor processes; a shell that ends with it is not the agent."""
    server = serve("--no-watch")
    environ = clean_environ(server.home, {"HTMLGRAPH_URL": server.url})
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
        text=True,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    try:
        run = f"true; {sys.executable} -m htmlgraph_nb.hook claude; true"
        for name in ("SessionStart", "UserPromptSubmit", "PreToolUse"):
            fields = {"hook_event_name": name, "tool_name": "Bash", "tool_use_id": "toolu_1"}
            agent.stdin.write(json.dumps({"session_id": CLAUDE, "run": run, **fields}) + "\n")
            agent.stdin.flush()
            assert agent.stdout.readline() == "done\n"

        def watched() -> bool:
            return bool(server.get("/api/status").json()["watching"]["processes"])

        wait_until(watched, "the process")
        (presence,) = server.presence().values()
        assert presence["status"] == "active"
        # Not waited for: a zombie counts as exited.
        agent.kill()
        wait_until(
            lambda: next(iter(server.presence().values()))["status"] == "offline",
            "the end of the process",
        )
        (presence,) = server.presence().values()
        assert presence["reason"] == "its process exited"
    finally:
        agent.kill()
        agent.wait()
        agent.stdin.close()
        agent.stdout.close()


def test_claude_status_file_identifies_the_process(serve: Serve, tmp_path: Path) -> None:
    """Without any hook: a followed session ends when its process exits."""
    home = tmp_path / "home"
    session = "22222222-2222-4333-8444-555555555555"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as agent:
        status = home / ".claude" / "sessions" / f"{agent.pid}.json"
        status.parent.mkdir(parents=True)
        started = int(datetime.now(UTC).timestamp() * 1_000)
        record = {"pid": agent.pid, "sessionId": session, "startedAt": started, "status": "busy"}
        status.write_text(json.dumps(record))
        server = serve(home=home)
        path = session_path(home, "claude", f"{session}.jsonl")
        path.parent.mkdir(parents=True)
        prompt = {"type": "user", "message": {"content": "go"}, "uuid": "u1"}
        path.write_bytes(
            json_line({**prompt, "sessionId": session, "timestamp": timestamp_from_now()})
        )
        wait_until(lambda: [a["status"] for a in server.presence().values()] == ["active"], "work")
        agent.kill()
        wait_until(
            lambda: [a["status"] for a in server.presence().values()] == ["offline"],
            "the end of the process",
        )


def test_status_command_lists_the_watched_folders(serve: Serve, tmp_path: Path) -> None:
    """``htmlgraph-nb status`` lists the folders of session files."""
    home = tmp_path / "home"
    folder = home / ".codex" / "sessions"
    folder.mkdir(parents=True)
    server = serve(home=home)
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "status", "--url", server.url],
        capture_output=True,
        text=True,
        env=clean_environ(home),
        check=True,
        timeout=60,
    )
    assert f"0 session files for changes, 0 changed recently ({folder.resolve()})" in done.stdout
