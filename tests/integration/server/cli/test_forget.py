"""``htmlgraph-nb forget`` deletes all that is stored: the bytes of all files are searched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.environ import clean_environ
from tests.helpers.sealed_history import sealed_files
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import error_line, run

SECRET = {
    "agent_id": "claude-5ec7e7a1",
    "session_id": "5ec7e7a1-0000-4000-8000-000000000001",
    "project": "secretshop",
    "branch": "feature/secretbranch",
    "title": "Rewrite the secrettitle",
    "cwd": "/home/ada/secretshop-folder",
    "worktree": "secretworktree",
    "model": "secretmodel",
    "user": "secretuser",
    "tool_name": "SecretTool",
}
OTHER = {
    "agent_id": "claude-07be7a11",
    "session_id": "07be7a11-0000-4000-8000-000000000002",
    "project": "othershop",
    "branch": "otherbranch",
    "title": "Other title",
    "cwd": "/home/ada/othershop",
    "tool_name": "OtherTool",
}
TEXTS = [
    *("5ec7e7a1", "secretshop", "secretbranch", "secrettitle", "secretworktree", "secretmodel"),
    *("secretuser", "SecretTool", "secretaccount", "secretfeature"),
]


def events_of(agent: dict[str, Any], n: int = 20) -> list[dict[str, Any]]:
    """Return events of an agent and a subagent of it, with all that can be stored of them."""
    name, kinds = agent["agent_id"], ("prompt", "tool_start", "tool_execute", "completion")
    events = [
        {
            **agent,
            "event_type": kinds[k % 4],
            "event_id": f"{agent['session_id']}:{k}",
            "tool_use_id": f"{agent['session_id']}-call-{k // 4}",
            "source": "claude-session",
            "input_tokens": 10,
        }
        for k in range(n)
    ]
    child = {
        **agent,
        "agent_id": f"{name}/sub",
        "parent_agent_id": name,
        "title": f"Subagent of {agent['title']}",
        "source": "claude-session",
    }
    account = "secretaccount" if agent is SECRET else "otheraccount"
    quota = {
        "agent_id": name,
        "session_id": agent["session_id"],
        "event_type": "quota",
        "extra": {"account": account, "windows": [{"window": "5h", "used_percent": 20}]},
    }
    return [*events, {**child, "event_type": "session_start"}, quota]


def files_with(folder: Path, texts: Iterable[str] = TEXTS) -> dict[str, list[str]]:
    """Return file → texts that its bytes or its name contain, of all files in a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("log-"):
            data = path.read_bytes()
            has = [text for text in texts if text.encode() in data or text in path.name]
            if has:
                found[str(path.relative_to(folder))] = has
    return found


def fill_manager(path: Path) -> None:
    """Store both agents, and seal a part of their history."""
    from htmlgraph_nb.core.model import Event

    with PresenceManager(str(path)) as manager:
        for agent in (SECRET, OTHER):
            manager.ingest([Event.from_dict(event) for event in events_of(agent)])
    seal(str(path), segment_rows=10)


@pytest.mark.parametrize(
    "selector",
    [
        ("claude-5ec7e7a1", "--history"),
        ("--agent", "claude-5ec7e7a1"),
        ("--session", SECRET["session_id"], "--yes"),
        ("--project", "secretshop", "--yes"),
    ],
    ids=["history", "agent", "session", "project"],
)
def test_forget_leaves_no_byte_without_a_server(tmp_path: Path, selector: tuple[str, ...]) -> None:
    """Neither in the database, nor in its log, nor in columnar copies; the rest stays."""
    db = tmp_path / "htmlgraph.db"
    fill_manager(db)
    assert sealed_files(str(db))
    before = files_with(tmp_path)
    assert sorted({text for texts in before.values() for text in texts}) == sorted(
        set(TEXTS) - {"secretfeature"}
    )
    yes = () if "--yes" in selector else ("--yes",)
    done = run(tmp_path, "forget", *selector, *yes, "--db", str(db))
    assert done.returncode == 0, done.stderr
    assert "deleted 22 events of 2 agents in 1 session" in done.stdout
    assert files_with(tmp_path) == {}
    rows = history_rows(str(db), "agent_id")
    assert len(rows) == 22
    with PresenceManager(str(db)) as manager:
        assert set(manager.agents) == {"claude-07be7a11", "claude-07be7a11/sub"}
        assert manager.agents["claude-07be7a11"].title == "Other title"
        manager.update_presence("new", {"event_type": "prompt", "project": "p"})
    assert query_rows(str(db), "PRAGMA integrity_check") == [("ok",)]
    assert query_rows(str(db), "SELECT account FROM quotas") == [("otheraccount",)]
    assert seal(str(db), segment_rows=10).n_segments == 2
    assert files_with(tmp_path) == {}


def test_forget_under_a_server_reaches_its_dashboards(serve: Serve, tmp_path: Path) -> None:
    """They get the removal; the server goes on with names of both old and new events."""
    server = serve("--no-watch")
    for agent in (SECRET, OTHER):
        assert server.post("/api/events", events_of(agent)).status == 200
    server.post("/api/features/secretfeature", {"status": "done", "agent_id": SECRET["agent_id"]})
    with connect(server.ws("/ws/broadcasts?replay=updates")) as dashboard:
        done = run(server.home, "forget", "--project", "secretshop", "--yes")
        assert done.returncode == 0, done.stderr
        removed: set[str] = set()
        while len(removed) < 2:
            message = json.loads(dashboard.recv(timeout=20))
            if message["type"] == "presence_removed":
                removed.add(message["agent_id"])
    assert removed == {"claude-5ec7e7a1", "claude-5ec7e7a1/sub"}
    assert files_with(server.home) == {}
    agents = {agent["agent_id"] for agent in server.get("/api/presence").json()["agents"]}
    assert agents == {"claude-07be7a11", "claude-07be7a11/sub"}
    # Names that the server had cached: of deleted ones new numbers are used.
    again = [{"agent_id": "x", "project": "secretshop", "tool_name": "OtherTool"}]
    again += [{"agent_id": "claude-07be7a11", "project": "othershop", "tool_name": "NewTool"}]
    assert server.post("/api/events", again).json()["accepted"] == 2
    rows = server.get("/api/history?order=desc&limit=2").json()["events"]
    assert [(row["agent_id"], row["project"], row["tool_name"]) for row in rows] == [
        ("claude-07be7a11", "othershop", "NewTool"),
        ("x", "secretshop", "OtherTool"),
    ]
    server.check_log()


def test_forget_dry_run_changes_nothing(tmp_path: Path) -> None:
    """It says how much it would delete; unknown names and contradictions are errors."""
    db = tmp_path / "htmlgraph.db"
    fill_manager(db)
    before = history_rows(str(db), "seq")
    done = run(tmp_path, "forget", "--project", "secretshop", "--dry-run", "--db", str(db))
    assert done.stdout.startswith("would delete 22 events of 2 agents in 1 session (")
    assert history_rows(str(db), "seq") == before
    for arguments, expected in (
        (("--project", "secretshpo"), "unknown project 'secretshpo'; similar: 'secretshop'"),
        (("--session", "nothing"), "unknown session 'nothing'"),
        (("claude-5ec7e7a1", "--project", "secretshop"), "use --agent"),
        ((), "expected AGENT"),
        (("--before", "soon"), "--before: expected"),
        (("--project", "secretshop"), "--yes"),
    ):
        line = error_line(run(tmp_path, "forget", *arguments, "--db", str(db)))
        assert expected in line
    assert history_rows(str(db), "seq") == before


def test_forget_before_keeps_later_events(tmp_path: Path) -> None:
    """And the agents that have them; kinds of names narrow each other."""
    db = tmp_path / "htmlgraph.db"
    with PresenceManager(str(db)) as manager:
        for agent, project in (("a", "p"), ("b", "q"), ("c", "p")):
            for day in (1, 2) if agent != "c" else (1,):
                event = {"event_type": "prompt", "project": project}
                event["timestamp"] = f"2026-01-0{day}T12:00:00Z"
                manager.update_presence(agent, event)
    flags = ("--before", "2026-01-02", "--yes", "--db", str(db))
    assert run(tmp_path, "forget", "--project", "p", *flags).returncode == 0
    assert history_rows(str(db), "agent_id") == [("a",), ("b",), ("b",)]
    assert run(tmp_path, "forget", *flags).returncode == 0
    assert history_rows(str(db), "agent_id") == [("a",), ("b",)]
    with PresenceManager(str(db)) as manager:
        assert set(manager.agents) == {"a", "b"}


def test_forgotten_sessions_are_not_imported_again(tmp_path: Path) -> None:
    """Not by a server that starts, nor by ``import``, unless it is asked for them."""
    home = tmp_path / "user"
    folder = home / ".claude" / "projects" / "-home-ada-secretshop"
    folder.mkdir(parents=True)
    session = SECRET["session_id"]
    lines = [
        {
            "type": "user",
            "sessionId": session,
            "uuid": "u1",
            "timestamp": "2026-11-29T10:00:00.000Z",
            "cwd": "/home/ada/secretshop",
            "gitBranch": "secretbranch",
            "version": "2.0.0",
            "message": {"role": "user", "content": "hello"},
        },
        {
            "type": "assistant",
            "sessionId": session,
            "uuid": "u2",
            "timestamp": "2026-11-29T10:00:05.000Z",
            "cwd": "/home/ada/secretshop",
            "gitBranch": "secretbranch",
            "version": "2.0.0",
            "message": {
                "role": "assistant",
                "id": "msg_01",
                "model": "claude-sonnet-4-5",
                "content": [{"type": "text", "text": "hi"}],
                "usage": {"input_tokens": 5, "output_tokens": 2},
            },
        },
    ]
    (folder / f"{session}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = tmp_path / "data"
    db = str(data / "htmlgraph.db")
    environ = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude")}

    def command(*arguments: str) -> str:
        done = run(data, *arguments, "--db", db, environ=environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "imported" in command("import", "claude")
    n_events = len(history_rows(db, "seq"))
    assert n_events > 1
    assert files_with(data, ["5ec7e7a1", "secretshop"])
    command("forget", "--project", "secretshop", "--yes")
    assert files_with(data, ["5ec7e7a1", "secretshop", "secretbranch"]) == {}
    command("import", "claude")
    assert files_with(data, ["5ec7e7a1", "secretshop", "secretbranch"]) == {}
    server = Server(data, "--backfill", "all", environ=environ)
    server.db = Path(db)
    server.arguments[server.arguments.index("--db") + 1] = db
    server.start()
    try:
        wait_until(
            lambda: (server.get("/api/status").json().get("backfill") or {}).get("state") == "done",
            "the import at the start",
        )
        assert server.get("/api/presence").json()["agents"] == []
    finally:
        server.stop()
    server.check_log()
    assert files_with(data, ["5ec7e7a1", "secretshop", "secretbranch"]) == {}
    command("import", "claude", "--forgotten")
    assert len(history_rows(db, "seq")) == n_events


def test_forget_reads_the_spool_first(tmp_path: Path) -> None:
    """What hooks left for the next server is deleted, too."""
    data = tmp_path / "data"
    db = data / "htmlgraph.db"
    data.mkdir()
    with PresenceManager(str(db)) as manager:
        manager.update_presence("claude-07be7a11", "prompt")
    hook = {
        "session_id": SECRET["session_id"],
        "cwd": "/home/ada/secretshop",
        "hook_event_name": "UserPromptSubmit",
        "prompt": "hello",
    }
    command = shutil.which("htmlgraph-hook", path=os.path.dirname(os.sys.executable))
    assert command
    subprocess.run(
        [command, "claude"],
        input=json.dumps(hook).encode(),
        env={**clean_environ(data), "HOME": str(tmp_path)},
        check=True,
        timeout=60,
    )
    assert files_with(data, ["5ec7e7a1"])
    done = run(data, "forget", "--session", SECRET["session_id"], "--yes")
    assert done.returncode == 0, done.stderr
    assert files_with(data, ["5ec7e7a1"]) == {}
