"""A server sees the agents of its machine: by their files, by what hooks name, by their processes.

The files are recorded ones with times of now, written by processes of their own.
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
from tests.helpers.growing_session import json_line, recorded_lines, timestamp_from_now
from tests.helpers.server_process import Server, clean_environ
from tests.helpers.session_lines import PAYLOADS
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

CLAUDE = "4d5611e5-241a-462a-8d15-5122611a9569"
NODE = platform.node()


def place(home: Path, agent: str, name: str) -> Path:
    """Return where an agent would keep a session file of this name."""
    folders = {
        "claude": ".claude/projects/-home-user-shop",
        "codex": ".codex/sessions/2026/05/30",
        "gemini": ".gemini/tmp/shop/chats",
    }
    return home / folders[agent] / name


@contextmanager
def written(path: Path, lines: Sequence[bytes], pause_s: float = 0.0) -> Iterator[None]:
    """Let another process write these lines meanwhile, and wait for its end."""
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
    """Return the sums of the five kinds in the server's history."""
    rows = server.get("/api/history?limit=10000&format=ndjson").text.splitlines()
    events = [json.loads(row) for row in rows]
    return tuple(sum(event.get(name) or 0 for event in events) for name in TOKEN_FIELDS)


def n_events(server: Server) -> int:
    """Return the length of the server's history."""
    return len(server.get("/api/history?limit=10000&format=ndjson").text.splitlines())


def expected(folder: Path) -> tuple[int, ...]:
    """Return the same sums of the files, read at once."""
    frame = load_transcripts(folder, progress=False)
    return tuple(int(frame[name].sum()) for name in TOKEN_FIELDS)


def pairs(parts: Sequence[list[bytes]]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield each two that follow each other; the last has nothing to follow where it is alone."""
    for first in range(0, len(parts), 2):
        rest = parts[first + 1 :]
        yield parts[first], rest[0] if rest else []


FILES = {
    "claude": ("claude/permission.jsonl", "permission.jsonl"),
    "codex": ("codex/rollout-model-switch.jsonl", "rollout-model-switch.jsonl"),
    "gemini": ("gemini/shop/chats", "session-now.jsonl"),
}


def recording(agent: str) -> list[bytes]:
    """Return a recorded session of an agent that ends now."""
    path = PAYLOADS / FILES[agent][0]
    return recorded_lines(sorted(path.glob("session-*.jsonl"))[0] if path.is_dir() else path)


@pytest.mark.parametrize("agent", FILES)
def test_a_session_is_seen_as_it_is_written(server: Server, agent: str) -> None:
    """With nothing connected: it shows up, and in the end has its tokens, each once."""
    path = place(server.home, agent, FILES[agent][1])
    lines = recording(agent)
    with written(path, lines, 0.01):
        wait_until(server.presence, "the agent")
    total = expected(path)
    assert sum(total) > 0
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")
    watching = server.get("/api/status").json()["watching"]
    assert watching["followed"] == 1
    assert str(path).startswith(tuple(watching["folders"]))


def test_nothing_is_lost_or_doubled_by_crashes(serve: Serve, tmp_path: Path) -> None:
    """The server is killed again and again while an agent writes; the last one has it all."""
    home = tmp_path / "home"
    path = place(home, "claude", f"{CLAUDE}.jsonl")
    lines = recorded_lines(PAYLOADS / "claude" / f"{CLAUDE}.jsonl")
    # Of a subagent without a file of its own it is told only after a long silence.
    lines = [one for one in lines if b'"agent_progress"' not in one]
    # After it, the last answer is known to be whole.
    thanks = {"type": "user", "message": {"content": "thanks"}, "uuid": "u1"}
    lines.append(json_line({**thanks, "sessionId": CLAUDE, "timestamp": timestamp_from_now()}))
    step = len(lines) // 6
    parts = [lines[start : start + step] for start in range(0, len(lines), step)]
    for seen, unseen in pairs(parts):
        server = serve(home=home)
        before = n_events(server)
        with written(path, seen, 0.005):
            wait_until(lambda: n_events(server) > before, "something new")  # noqa: B023
            server.kill()
        with written(path, unseen):
            pass
    server = serve(home=home)
    total = expected(path)
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")


def test_past_sessions_stay_out(serve: Serve, tmp_path: Path) -> None:
    """What was written long before the first server is left to ``htmlgraph-nb import``."""
    home = tmp_path / "home"
    old, new = (place(home, "claude", name) for name in ("old.jsonl", "new.jsonl"))
    for path in (old, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(recorded_lines(PAYLOADS / "claude" / "permission.jsonl")))
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    os.utime(old, (yesterday, yesterday))
    server = serve(home=home)
    wait_until(lambda: tokens(server) == expected(new), "the new session")
    watching = server.get("/api/status").json()["watching"]
    assert (watching["files"], watching["followed"]) == (2, 1)


@pytest.mark.parametrize(
    ("flags", "environ"), [(["--no-watch"], {}), ([], {"HTMLGRAPH_WATCH": "off"})]
)
def test_switched_off(serve: Serve, flags: list[str], environ: dict[str, str]) -> None:
    """Nothing is followed, and the status says so; a hook's Stop still brings the tokens."""
    server = serve(*flags, environ=environ)
    path = place(server.home, "claude", "s.jsonl")
    path.parent.mkdir(parents=True)
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    path.write_bytes(b"".join(lines))
    assert server.get("/api/status").json()["watching"]["folders"] == []
    session = json.loads(lines[-1])["sessionId"]
    stop = {"hook_event_name": "Stop", "session_id": session, "transcript_path": str(path)}
    assert server.post("/api/hooks/claude", stop).status == 204
    total = expected(path)
    wait_until(lambda: tokens(server) == total, f"the tokens {total}")
    (agent,) = server.presence().values()
    assert agent["total_tools_executed"] == 0


def test_a_file_elsewhere_is_not_read(serve: Serve) -> None:
    """A path outside the agents' folders, or of another machine, is left alone."""
    server = serve("--no-watch")
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    outside = server.home / "outside.jsonl"
    inside = place(server.home, "claude", "s.jsonl")
    inside.parent.mkdir(parents=True)
    for path in (outside, inside):
        path.write_bytes(b"".join(lines))
    session = json.loads(lines[-1])["sessionId"]
    stop = {"hook_event_name": "Stop", "session_id": session}
    elsewhere = {"htmlgraph": {"host": f"not-{NODE}"}}
    for about in ({"transcript_path": str(outside)}, {"transcript_path": str(inside), **elsewhere}):
        assert server.post("/api/hooks/claude", {**stop, **about}).status == 204
    # What comes later was looked at later.
    other = place(server.home, "claude", "t.jsonl")
    fresh = "11111111-2222-4333-8444-555555555555"
    text = b"".join(lines).replace(session.encode(), fresh.encode())
    other.write_bytes(text.replace(b"msg_", b"m_"))
    last = {**stop, "session_id": fresh, "transcript_path": str(other)}
    assert server.post("/api/hooks/claude", last).status == 204
    wait_until(lambda: sum(tokens(server)), "the tokens of the file that may be read")
    answered = {
        json.loads(row)["session_id"]
        for row in server.get("/api/history?format=ndjson").text.splitlines()
        if json.loads(row)["event_type"] == "completion"
    }
    assert answered == {fresh}


def hook(server: Server, environ: dict[str, str], payload: dict[str, Any], *above: str) -> None:
    """Run the real hook command as an agent would."""
    subprocess.run(
        [*above, sys.executable, "-m", "htmlgraph_nb.hook", "claude"],
        input=json.dumps(payload).encode(),
        env=clean_environ(server.home, environ),
        check=True,
        timeout=60,
    )


def test_a_server_elsewhere_is_sent_the_tokens(serve: Serve) -> None:
    """The hook reads the file for a server that cannot, each answer once."""
    token = "a-token-of-words"
    server = serve("--no-watch", "--token", token)
    path = server.home / "session.jsonl"
    lines = recorded_lines(PAYLOADS / "claude" / "permission.jsonl")
    session = json.loads(lines[-1])["sessionId"]
    # The same server under an address that does not say that it is here.
    url = server.url.replace("127.0.0.1", "0.0.0.0")
    environ = {"HTMLGRAPH_URL": url, "HTMLGRAPH_TOKEN": token}
    stop = {"hook_event_name": "Stop", "session_id": session, "transcript_path": str(path)}

    def sent() -> bool:
        # On a busy machine a call can end before its reading does; the next one goes on.
        hook(server, environ, stop)
        return tokens(server) == expected(path)

    for part in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        with path.open("ab") as file:
            file.writelines(part)
        hook(server, environ, stop)
    wait_until(sent, "the tokens", 60)
    assert sent()
    (agent,) = server.presence().values()
    assert agent["session_id"] == session


AGENT = """
import json, subprocess, sys
for line in sys.stdin:
    subprocess.run(json.loads(line)["run"], input=line.encode(), shell=True)
    print("done", flush=True)
"""


def test_an_agent_whose_process_is_gone_is_offline(serve: Serve) -> None:
    """The hook tells of the processes above it; a shell that ends with it is not the agent."""
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
            about = {"hook_event_name": name, "tool_name": "Bash", "tool_use_id": "toolu_1"}
            agent.stdin.write(json.dumps({"session_id": CLAUDE, "run": run, **about}) + "\n")
            agent.stdin.flush()
            assert agent.stdout.readline() == "done\n"

        def watched() -> bool:
            return bool(server.get("/api/status").json()["watching"]["processes"])

        wait_until(watched, "the process")
        (presence,) = server.presence().values()
        assert presence["status"] == "active"
        # Not waited for: what its parent has not taken note of has ended all the same.
        agent.kill()
        wait_until(lambda: next(iter(server.presence().values()))["status"] == "offline", "its end")
        (presence,) = server.presence().values()
        assert presence["reason"] == "its process exited"
    finally:
        agent.kill()
        agent.wait()
        agent.stdin.close()
        agent.stdout.close()


def test_claude_codes_own_status_file_names_a_process(serve: Serve, tmp_path: Path) -> None:
    """Without any hook: a session that is followed ends with its process."""
    home = tmp_path / "home"
    session = "22222222-2222-4333-8444-555555555555"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as agent:
        status = home / ".claude" / "sessions" / f"{agent.pid}.json"
        status.parent.mkdir(parents=True)
        started = int(datetime.now(UTC).timestamp() * 1_000)
        told = {"pid": agent.pid, "sessionId": session, "startedAt": started, "status": "busy"}
        status.write_text(json.dumps(told))
        server = serve(home=home)
        path = place(home, "claude", f"{session}.jsonl")
        path.parent.mkdir(parents=True)
        prompt = {"type": "user", "message": {"content": "go"}, "uuid": "u1"}
        path.write_bytes(
            json_line({**prompt, "sessionId": session, "timestamp": timestamp_from_now()})
        )
        wait_until(lambda: [a["status"] for a in server.presence().values()] == ["active"], "work")
        agent.kill()
        wait_until(
            lambda: [a["status"] for a in server.presence().values()] == ["offline"], "its end"
        )


def test_status_command_names_the_folders(serve: Serve, tmp_path: Path) -> None:
    """``htmlgraph-nb status`` says which folders are watched."""
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
    assert f"0 of 0 session files in {folder.resolve()}" in done.stdout
