"""Which process belongs to which session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.session import SessionRoot
from htmlgraph_nb.ingest.live_processes import (
    AgentProcess,
    LocalSession,
    StatusFile,
    agent_of_command,
    find_live,
    is_same_process,
    read_processes,
    read_status_file,
)
from tests.helpers.wait import wait_until

S1, S2, S3 = (f"{n}b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66" for n in (1, 2, 3))


def session(
    name: str, modified: float = 1_000.0, folder: str | None = "/shop", agent: str = "claude"
) -> LocalSession:
    """Return a session file."""
    return LocalSession(f"/p/{name}.jsonl", agent, modified, lambda: folder)


def process(pid: int, started_at: float = 500.0, folder: str | None = "/shop") -> AgentProcess:
    """Return a process of Claude Code."""
    return AgentProcess(pid, started_at, "claude", folder)


def running(
    sessions: list[LocalSession],
    processes: list[AgentProcess],
    *statuses: StatusFile,
) -> dict[str, int]:
    """Return the process of each session that has one, by the names of the files."""
    live = find_live(sessions, processes, {"claude": statuses})
    return {path[3:4]: each.pid for path, each in live.running.items()}


def test_find_live_by_status_file() -> None:
    """A status file names the process, whatever folder it is in."""
    processes = [process(7, folder="/other"), process(8)]
    statuses = [StatusFile(7, S1, 600.0)]
    assert running([session(S1)], processes, *statuses) == {"1": 7}


@pytest.mark.parametrize("processes", [[], [process(7, started_at=700.0)]])
def test_find_live_by_stale_status_file(processes: list[AgentProcess]) -> None:
    """A session whose process has ended, or whose pid is reused, is over."""
    live = find_live([session(S1)], processes, {"claude": [StatusFile(7, S1, 600.0)]})
    assert (live.running, live.gone) == ({}, {f"/p/{S1}.jsonl"})


@pytest.mark.parametrize("processes", [[], [process(7)]])
def test_find_live_by_status_file_of_another_container(processes: list[AgentProcess]) -> None:
    """Its process cannot be seen: it has not ended, and is none of those that can be seen."""
    status = StatusFile(7, S1, 600.0, is_local=False)
    live = find_live([session(S1)], processes, {"claude": [status]})
    assert (live.running, live.gone, live.elsewhere) == ({}, set(), {f"/p/{S1}.jsonl"})


@pytest.mark.parametrize(
    ("status", "ticks", "started_at", "expected"),
    [
        (StatusFile(7, S1, 600.0, 90), 90, 500.0, True),
        # The clock was set forward since.
        (StatusFile(7, S1, 600.0, 90), 90, 9_000.0, True),
        (StatusFile(7, S1, 600.0, 90), 91, 500.0, False),
        (StatusFile(7, S1, 600.0), 91, 500.0, True),
        (StatusFile(7, S1, 600.0, 90), None, 500.0, True),
        (StatusFile(7, S1, 600.0), None, 603.0, False),
        (StatusFile(7, S1, 600.0, written_at=9_000.0), None, 8_000.0, True),
    ],
)
def test_is_same_process_compares_starts(
    status: StatusFile, ticks: int | None, started_at: float, expected: bool
) -> None:
    """Ticks decide if both are known; else the process is not younger than its file."""
    found = AgentProcess(7, started_at, ticks=ticks)
    assert is_same_process(found, status) == expected


@pytest.mark.parametrize("name", ["1", "-", "b7d66", "jsonl", S1[:-1]])
def test_find_live_ignores_parts_of_ids(name: str) -> None:
    """A status file with a part of an id names no session."""
    live = find_live([session(S1), session(S2)], [], {"claude": [StatusFile(7, name, 600.0)]})
    assert not live.gone


def test_find_live_by_two_status_files() -> None:
    """A session that was resumed in another process lives."""
    statuses = [StatusFile(7, S1, 600.0), StatusFile(9, S1, 100.0)]
    live = find_live([session(S1)], [process(7)], {"claude": statuses})
    assert [each.pid for each in live.running.values()] == [7]
    assert not live.gone


def test_find_live_by_open_file() -> None:
    """The process that holds the file open is its own, whatever its name."""
    holder = AgentProcess(5, 2_000.0, None, "/x", frozenset({f"/p/{S1}.jsonl"}))
    assert running([session(S1), session(S2)], [holder]) == {"1": 5}


def test_find_live_by_folder() -> None:
    """The newest session of a folder that is older than no process belongs to it."""
    sessions = [session(S1, 900.0), session(S2, 1_000.0), session(S3, 1_100.0, "/else")]
    assert running(sessions, [process(4)]) == {"2": 4}
    assert running(sessions, [process(4), process(6, 600.0)]) == {"2": 6, "1": 4}
    assert running(sessions, [process(4, started_at=1_050.0)]) == {}
    assert running(sessions, [process(4, folder=None)]) == {}
    assert running([session(S1, agent="codex")], [process(4)]) == {}


def test_find_live_assigns_a_process_once() -> None:
    """A process that a status file names for one session has no other session."""
    sessions = [session(S1), session(S2, 2_000.0)]
    assert running(sessions, [process(7)], StatusFile(7, S1, 600.0)) == {"1": 7}


def test_find_live_reports_the_kinds_of_agents() -> None:
    """The kinds of agents that have any process."""
    processes = [process(7, folder="/other"), AgentProcess(8, 1.0, "codex")]
    assert find_live([], processes, {}).agents == {"claude", "codex"}


@pytest.mark.parametrize(
    ("arguments", "agent"),
    [
        (["claude"], "claude"),
        (["/usr/local/bin/claude", "--resume"], "claude"),
        (["node", "/usr/bin/codex"], "codex"),
        (["/usr/bin/node", "--no-warnings", "/usr/bin/gemini"], "gemini"),
        (["node", "/lib/node_modules/@anthropic-ai/claude-code/cli.js"], "claude"),
        (["node", "/x/@openai/codex/bin/codex.js", "exec"], "codex"),
        (["C:\\Users\\me\\claude.exe"], "claude"),
        (["/usr/bin/python3.12", "-E", "/home/me/.local/bin/codex"], "codex"),
        (["python3", "codex.py"], None),
        (["node", "server.js", "claude"], None),
        (["vim", "claude"], None),
        (["claude-monitor"], None),
        ([], None),
    ],
)
def test_agent_of_command(arguments: list[str], agent: str | None) -> None:
    """Programs and node scripts with the name of an agent, and no others."""
    name = os.path.basename(arguments[0])[:15] if arguments else "kworker"
    assert agent_of_command(name, arguments) == agent


@pytest.mark.parametrize("agent", AGENTS)
def test_agent_of_command_knows_all_agents(agent: str) -> None:
    """The programs of an agent and the scripts of its packages are those of no other agent."""
    for name in AGENTS[agent].commands:
        assert agent_of_command(name[:15], [f"/usr/bin/{name}"]) == agent
        assert agent_of_command("node", ["node", f"/home/me/.bun/bin/{name}", "-p"]) == agent
    for package in AGENTS[agent].packages:
        script = f"/usr/lib/node_modules/{package}/dist/cli.js"
        assert agent_of_command("node", ["/usr/bin/node", "--no-warnings", script]) == agent


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"pid": true, "sessionId": "x", "startedAt": 1}',
        b"[" * 9_999,
        *(
            b'{"pid": 7, "sessionId": "x", "startedAt": %s}' % time
            for time in (b"true", b'"1"', b"-1", b"NaN", b"Infinity", b"1" * 400)
        ),
    ],
)
def test_read_status_file_ignores_other_forms(tmp_path: Path, content: bytes) -> None:
    """Files of another form name no process."""
    path = tmp_path / "1.json"
    path.write_bytes(content)
    assert read_status_file(str(path)) is None


def test_read_status_file_of_a_current_version(tmp_path: Path) -> None:
    """The fields are those of Claude Code; a start that is no number of ticks is left out."""
    path = tmp_path / "7.json"
    record = {
        "pid": 7,
        "sessionId": S1,
        "cwd": "/shop",
        "startedAt": 600_000,
        "procStart": "90",
        "version": "2.1.332",
        "kind": "interactive",
        "pidDomain": "linux:another-machine:pid:[1]",
        "status": "busy",
        "statusUpdatedAt": 700_500,
    }
    path.write_text(json.dumps(record))
    written_at = path.stat().st_mtime
    expected = StatusFile(7, S1, 600.0, 90, "busy", 700.5, written_at, is_local=False)
    assert read_status_file(str(path)) == expected
    for start, status in (("Mon Nov 30 14:05:51 2026", "new"), (None, None), ("9" * 40, ["idle"])):
        path.write_text(json.dumps({**record, "procStart": start, "status": status}))
        found = read_status_file(str(path))
        assert found is not None
        assert (found.ticks, found.status) == (None, "")


def test_read_status_file_does_not_block_on_a_fifo(tmp_path: Path) -> None:
    """Only regular files are read."""
    os.mkfifo(tmp_path / "1.json")
    with pytest.raises(OSError, match="not a regular file"):
        read_status_file(str(tmp_path / "1.json"))


def test_read_processes_finds_holders_of_session_files(tmp_path: Path) -> None:
    """A process that writes a session file is found; one that reads it is not."""
    path = tmp_path / "s.jsonl"
    path.touch()
    code = "import sys, time; f = open(*sys.argv[1:]); print(1, flush=True); time.sleep(600)"
    started = time.time()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), mode], stdout=subprocess.PIPE, cwd=tmp_path
        )
        for mode in ("a", "r")
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        roots = [SessionRoot("claude", str(tmp_path))]
        found = wait_until(lambda: read_processes(roots), "the process")
        (holder,) = [each for each in found if each.files]
        assert (holder.pid, holder.files) == (children[0].pid, {str(path)})
        assert (holder.agent, holder.folder) == (None, os.path.realpath(tmp_path))
        assert abs(holder.started_at - started) < 60
    finally:
        for child in children:
            child.kill()
            child.communicate()
