"""Commands that remove things, and how commands end: real processes, files and servers."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import COMMAND, error_line, run
from tests.integration.server.cli.test_connect_command import User, UserInProcess


def stored(db: Path) -> Path:
    """Create a database with two agents and return its path."""
    manager = PresenceManager(db)
    for agent_id in ("claude-ada", "claude-bob"):
        for _ in range(3):
            manager.update_presence(agent_id, "tool_execute")
    manager.close()
    return db


def history_counts(db: Path) -> dict[str, int]:
    """Return the number of stored events by agent."""
    from htmlgraph_nb import load_history

    return dict(load_history(db)["agent_id"].astype(str).value_counts())


def environ_of(home: Path) -> Mapping[str, str]:
    """Return the environment with the data folder ``home``."""
    return clean_environ(home, None)


def test_command_alone_prints_its_help(tmp_path: Path) -> None:
    """Someone who types the name only wants to know what there is."""
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ +serve +\w", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["connect", "otel"], ["uninstall"]])
def test_commands_end_quietly_on_a_broken_pipe(tmp_path: Path, arguments: list[str]) -> None:
    """As with ``| head``: no traceback, no message."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [COMMAND, *arguments],
            env={**environ_of(tmp_path), "HOME": str(tmp_path)},
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == b""


def test_explain_ends_quietly_on_a_broken_pipe(server: Server) -> None:
    """Also a command whose output is one long text."""
    server.post("/api/events", [{"agent_id": "claude-e60261", "event_type": "prompt"}])
    done = subprocess.run(
        ["sh", "-c", f"'{COMMAND}' explain e60261 --url {server.url} | true"],
        env=environ_of(Path(server.db).parent),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""


def test_explain_accepts_a_part_of_an_id(server: Server, tmp_path: Path) -> None:
    """An ambiguous part lists the ids, an unknown one suggests similar ids."""
    ids = ["claude-e6026aaa", "claude-4a9c1ab2", "codex-4a9c9999"]
    server.post("/api/events", [{"agent_id": name, "event_type": "prompt"} for name in ids])
    done = run(tmp_path, "explain", "E6026", "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert "claude-e6026aaa" in done.stdout
    line = error_line(run(tmp_path, "explain", "4a9c", "--url", server.url))
    assert "claude-4a9c1ab2, codex-4a9c9999" in line
    line = error_line(run(tmp_path, "explain", "claud-e6026aab", "--url", server.url))
    assert "similar ids: claude-e6026aaa" in line


def test_forget_removes_an_agent_and_its_history(tmp_path: Path) -> None:
    """Without --history the events stay."""
    db = stored(tmp_path / "htmlgraph.db")
    done = run(tmp_path, "forget", "ada", "--db", str(db))
    assert done.returncode == 0, done.stderr
    assert "claude-ada is removed; its history stays" in done.stdout
    assert history_counts(db)["claude-ada"] == 4
    assert run(tmp_path, "forget", "claude-bob", "--history", "--db", str(db)).returncode == 0
    assert history_counts(db) == {"claude-ada": 4}
    assert run(tmp_path, "forget", "claude-ada", "--history", "--db", str(db)).returncode == 0
    assert "claude-ada" not in history_counts(db)
    assert "unknown agent 'claude-ada'" in error_line(
        run(tmp_path, "forget", "claude-ada", "--db", str(db))
    )
    assert "no such file" in error_line(run(tmp_path, "forget", "x", "--db", str(db) + "x"))


def test_forget_includes_subagents(tmp_path: Path) -> None:
    """Those of subagents as well; with --history also those that only the history knows."""
    db = tmp_path / "htmlgraph.db"
    manager = PresenceManager(db)
    for agent_id, parent in (("a", None), ("a/b", "a"), ("a/b/c", "a/b"), ("other", None)):
        manager.ingest(
            [
                Event(
                    agent_id=agent_id,
                    event_type="prompt",
                    parent_agent_id=parent,
                    title=f"Do {agent_id}",
                )
            ]
        )
    manager.forget("a/b/c")
    manager.close()
    done = run(tmp_path, "forget", "do a", "--db", str(db))
    assert "fits 2 agents: a (Do a), a/b (Do a/b)" in error_line(done)
    done = run(tmp_path, "forget", "a", "--db", str(db))
    assert done.stdout.startswith("a and 1 subagent are removed; their history stays: ")
    done = run(tmp_path, "forget", "a", "--history", "--db", str(db))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("deleted 6 events of 3 agents")
    assert set(history_counts(db)) <= {"other", "a"}


def test_forget_is_seen_by_a_running_server(server: Server, tmp_path: Path) -> None:
    """The agent leaves the roster of the server, which keeps running."""
    server.post("/api/events", [{"agent_id": "claude-ada", "event_type": "prompt"}])
    assert run(tmp_path, "forget", "claude-ada", "--db", server.db).returncode == 0
    wait_until(lambda: "claude-ada" not in server.presence())


def test_reset_deletes_the_data(tmp_path: Path) -> None:
    """Database, segments, spool and the state of status lines; not without --yes."""
    db = stored(tmp_path / "htmlgraph.db")
    assert run(tmp_path, "seal", "--db", str(db)).returncode == 0
    (tmp_path / "spool.jsonl").write_text("{}\n")
    (tmp_path / "spool.jsonl.1-2.taken").write_text("{}\n")
    (tmp_path / "statusline").mkdir()
    (tmp_path / "mine.txt").write_text("keep")
    assert "type --yes" in run(tmp_path, "reset").stderr
    assert db.exists()
    done = run(tmp_path, "reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["mine.txt"]
    assert "nothing is stored" in run(tmp_path, "reset", "--yes").stdout


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("kind", ["folder", "fifo", "text", "empty", "sqlite", "link"])
def test_reset_refuses_what_is_no_database_of_ours(
    tmp_path: Path, kind: str, variable: bool
) -> None:
    """A typo after --db deletes no folder, device or file of another program."""
    path = target = tmp_path / "mine ü?#%41"
    if kind == "link":
        target = tmp_path / "target.txt"
        path.symlink_to(target)
    if kind == "folder":
        path.mkdir()
        (path / "precious.txt").write_text("keep")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE t (a)")
    else:
        target.write_text("" if kind == "empty" else "precious")
    (tmp_path / f"{path.name}-wal").write_text("keep")
    before = sorted(tmp_path.rglob("*"))
    environ = {**environ_of(tmp_path), **({"HTMLGRAPH_DB": str(path)} if variable else {})}
    arguments = [] if variable else ["--db", str(path)]
    done = subprocess.run(
        [COMMAND, "reset", "--yes", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done
    assert "expected a database of htmlgraph-nb" in error_line(done)
    assert sorted(tmp_path.rglob("*")) == before


def test_reset_deletes_a_damaged_database(tmp_path: Path) -> None:
    """In the data folder, where the name says whose it is; elsewhere also after a crash."""
    (tmp_path / "htmlgraph.db").write_text("damaged")
    other = tmp_path / "other ü?#%41.db"
    killed = "from htmlgraph_nb.presence import PresenceManager as P; import os, sys; "
    killed += "P(sys.argv[1]).update_presence('claude-ada', 'prompt'); os._exit(0)"
    subprocess.run([sys.executable, "-c", killed, str(other)], check=True, timeout=60)
    assert run(tmp_path, "reset", "--yes").returncode == 0
    assert run(tmp_path, "reset", "--yes", "--db", str(other)).returncode == 0
    assert os.listdir(tmp_path) == []


def test_reset_refuses_while_a_server_runs(serve: Serve) -> None:
    """Also when its file in the data folder is missing."""
    server = serve()
    home = Path(server.db).parent
    line = error_line(run(home, "reset", "--yes", "--db", server.db))
    assert "uses" in line
    for file in (home / "servers").glob("*.json"):
        file.unlink()
    wait_until(lambda: server.get("/api/status").json()["database"]["owner_pid"])
    assert "uses" in error_line(run(home, "reset", "--yes", "--db", server.db))
    assert Path(server.db).exists()


def test_status_without_a_server_names_the_data(tmp_path: Path) -> None:
    """Where the history is, is of interest just then."""
    done = run(tmp_path, "status")
    assert done.returncode == 2
    assert done.stderr.endswith(f"\nStored data: {tmp_path / 'htmlgraph.db'}\n")


def test_export_refuses_an_unknown_format(tmp_path: Path) -> None:
    """A file of another format is no folder of Parquet files."""
    db = stored(tmp_path / "htmlgraph.db")
    line = error_line(run(tmp_path, "export", str(tmp_path / "h.json"), "--from", str(db)))
    assert ".parquet, .arrow, .feather, .csv, .csv.gz, or a folder" in line
    assert not (tmp_path / "h.json").exists()
    for name in ("h.json/", "v1.2", "folder"):
        done = run(tmp_path, "export", f"{tmp_path}/{name}", "--from", str(db))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).is_dir()


def test_uninstall_undoes_every_connect(tmp_path: Path) -> None:
    """All agents, user and project; a broken file does not keep the others connected."""
    user: User = UserInProcess(tmp_path / "home")
    claude = user.write_settings("claude", b'{"model": "opus"}')
    broken = user.write_settings("codex", b"{")
    for arguments in (["claude"], ["gemini"], ["claude", "--project"]):
        assert user.run("connect", *arguments).returncode == 0
    text = claude.read_bytes()
    shown = user.run("uninstall", "--dry-run")
    assert "would be disconnected" in shown.stdout
    assert claude.read_bytes() == text
    done = user.run("uninstall", HTMLGRAPH_HOME=str(tmp_path / "data"))
    assert done.returncode == 2
    assert str(broken) in done.stderr
    assert "-" in done.stdout
    assert done.stdout.count("is disconnected") == 3
    assert f"The data stays: {tmp_path / 'data' / 'htmlgraph.db'}" in done.stdout
    assert "htmlgraph-nb reset" in done.stdout
    assert claude.read_bytes() == b'{"model": "opus"}'
    assert not user.settings("gemini").exists()
    assert not user.settings("claude", project=True).exists()
    broken.unlink()
    again = user.run("uninstall")
    assert again.returncode == 0
    assert "no agent is connected here" in again.stdout


def test_reset_refuses_a_shared_database(tmp_path: Path) -> None:
    """It deletes files; the error shows no password."""
    done = run(tmp_path, "reset", "--yes", "--db", "postgresql://ann:secret-7@127.0.0.1:1/x")
    assert done.returncode != 0
    assert "works on files" in done.stderr
    assert "secret-7" not in done.stderr + done.stdout
