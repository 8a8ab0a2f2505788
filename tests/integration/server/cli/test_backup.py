"""``htmlgraph-nb backup`` and ``restore``: real files and servers."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from websockets.sync.client import connect

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.sealed_history import check_history, fill, sealed_files
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import error_line, run
from tests.integration.server.test_full_disk import run_limited


def add_events(path: Path, first: int, n: int, agent: str = "claude-ada") -> None:
    """Store events with ids ``e{first}`` and so on."""
    with PresenceManager(str(path)) as manager:
        for number in range(first, first + n):
            manager.update_presence(agent, {"event_type": "prompt", "event_id": f"e{number}"})


def event_ids(path: Path) -> set[str]:
    """Return the ids of all events in a file, read without the program."""
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT event_id FROM events") if row[0]}


def epoch_of(path: Path) -> str:
    """Return the epoch of a database."""
    return str(query_rows(str(path), "SELECT value FROM meta WHERE key = 'epoch'")[0][0])


def names_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {entry.name for entry in folder.iterdir()}


def test_backup_under_load_is_a_complete_database(server: Server, tmp_path: Path) -> None:
    """It has each event that was acknowledged before it began, and nothing torn."""
    sent: list[str] = []
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            ids = [f"e{len(sent) + k}" for k in range(20)]
            server.post("/api/events", [{"agent_id": "a", "event_id": name} for name in ids])
            sent.extend(ids)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        wait_until(lambda: len(sent) >= 200, "events")
        before = set(sent)
        target = tmp_path / "copies" / "backup.db"
        target.parent.mkdir()
        result = run(server.home, "backup", str(target), "--db", str(server.db))
    finally:
        done.set()
        thread.join()
    assert result.returncode == 0, result.stderr
    assert "events and 1 agent" in result.stdout
    assert names_in(target.parent) == {"backup.db"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    copied = event_ids(target)
    assert before <= copied <= set(sent)
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT min(id), max(id) - count(*) FROM events").fetchone() == (1, 0)
    server.check_log()


def test_backup_uses_the_database_of_the_running_server(server: Server, tmp_path: Path) -> None:
    """Without --db, as all commands."""
    server.post("/api/events", [{"agent_id": "a", "event_id": "e1"}])
    assert run(server.home, "backup", str(tmp_path / "b.db")).returncode == 0
    assert event_ids(tmp_path / "b.db") == {"e1"}


def test_backup_replaces_a_file_only_with_force(tmp_path: Path) -> None:
    """Nor the database itself, nor anything but a regular file."""
    db, target = tmp_path / "test.db", tmp_path / "backup"
    add_events(db, 0, 2)
    target.write_text("precious")
    line = error_line(run(tmp_path, "backup", str(target), "--db", str(db)))
    assert "exists already" in line
    assert "--force" in line
    assert target.read_text() == "precious"
    assert run(tmp_path, "backup", str(target), "--db", str(db), "--force").returncode == 0
    assert event_ids(target) == {"e0", "e1"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(target)
    for name in ("link", "copies"):
        (tmp_path / "copies").mkdir(exist_ok=True)
        done = run(tmp_path, "backup", str(tmp_path / name), "--db", str(db), "--force")
        assert "no regular file" in error_line(done)
    done = run(tmp_path, "backup", str(db), "--db", str(db), "--force")
    assert "another file than the database" in error_line(done)
    missing = str(tmp_path / "missing" / "b.db")
    assert "No such file" in error_line(run(tmp_path, "backup", missing, "--db", str(db)))
    done = run(tmp_path, "backup", str(tmp_path / "b"), "--db", str(tmp_path / "nothing.db"))
    assert "No such file" in error_line(done)


@pytest.mark.parametrize("n_bytes", [0, 20_000, 200_000])
def test_backup_on_full_disk_leaves_nothing(tmp_path: Path, n_bytes: int) -> None:
    """Neither the file nor a part of it."""
    pytest.importorskip("resource")
    db, folder = tmp_path / "test.db", tmp_path / "copies"
    folder.mkdir()
    fill(str(db), 8_000)
    code = "runpy.run_module('htmlgraph_server.cli', run_name='__main__', alter_sys=True)"
    arguments = ("backup", str(folder / "b.db"), "--db", str(db))
    done = run_limited(n_bytes, code, *arguments, home=tmp_path / "home")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "cannot write" in line
    assert names_in(folder) == set()


def test_backup_of_a_damaged_database_is_refused(tmp_path: Path) -> None:
    """A copy that is not sound never gets its name."""
    db = tmp_path / "test.db"
    fill(str(db), 8_000)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'events_event_id'"
        (root,) = connection.execute(query).fetchone()
    with db.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(os.urandom(page_bytes))
    done = run(tmp_path, "backup", str(tmp_path / "b.db"), "--db", str(db))
    assert str(db) in error_line(done)
    assert not [name for name in names_in(tmp_path) if name.startswith("b.db")]


def test_restore_replaces_the_database_and_keeps_it(tmp_path: Path) -> None:
    """The restored one has a new epoch, no segments of the other and no numbers it used."""
    db, backup = tmp_path / "test.db", tmp_path / "backup.db"
    fill(str(db), 8_000)
    seal(str(db), segment_rows=4_000)
    assert run(tmp_path, "backup", str(backup), "--db", str(db)).returncode == 0
    add_events(db, 0, 10)
    old_epoch, old_rows = epoch_of(db), history_rows(str(db), "seq")
    done = run(tmp_path, "restore", str(backup), "--db", str(db))
    assert done.returncode == 0, done.stderr
    (replaced,) = [
        tmp_path / name for name in names_in(tmp_path) if "replaced-" in name and name[-1] == "Z"
    ]
    assert str(replaced) in done.stdout
    assert epoch_of(db) != old_epoch
    assert epoch_of(replaced) == old_epoch
    assert sealed_files(str(db)) == []
    assert len(sealed_files(str(replaced))) == 2
    check_history(str(db), batch_rows=1_000)
    check_history(str(replaced), batch_rows=1_000)
    assert event_ids(db).isdisjoint({f"e{k}" for k in range(10)})
    assert history_rows(str(replaced), "seq") == old_rows
    with PresenceManager(str(db)) as manager:
        manager.update_presence("claude-ada", "prompt")
    assert history_rows(str(db), "seq")[-1][0] > old_rows[-1][0]


def test_restore_gives_dashboards_the_full_state(serve: Serve, tmp_path: Path) -> None:
    """A cursor of the replaced history, even one that is below the new position, is not resumed."""
    server = serve()
    server.post("/api/events", [{"agent_id": "kept", "event_id": "e0"}])
    backup = tmp_path / "backup.db"
    assert run(server.home, "backup", str(backup)).returncode == 0
    server.post("/api/events", [{"agent_id": "lost", "event_id": f"e{k}"} for k in range(1, 5)])
    cursor = server.get("/api/history").json()["cursor"]
    server.stop()
    assert run(server.home, "restore", str(backup), "--db", str(server.db)).returncode == 0
    server.start()
    try:
        with connect(server.ws(f"/ws/broadcasts?since={cursor}")) as dashboard:
            state = json.loads(dashboard.recv(timeout=20))
        assert state["type"] == "presence_state"
        assert state["full"] is True
        assert [agent["agent_id"] for agent in state["agents"]] == ["kept"]
        response = server.get(f"/api/history?cursor={cursor}")
        assert (response.status, response.error["code"]) == (409, "other_epoch")
        server.check_log()
    finally:
        server.stop()


def test_restore_is_refused_while_a_server_runs(serve: Serve, tmp_path: Path) -> None:
    """The error names its process and how to stop it; so for any other program."""
    server = serve()
    server.post("/api/events", [{"agent_id": "a", "event_id": "e1"}])
    backup = tmp_path / "backup.db"
    assert run(server.home, "backup", str(backup)).returncode == 0
    line = error_line(run(server.home, "restore", str(backup), "--db", str(server.db)))
    assert f"kill {server.pid}" in line
    # Also of another user, whose server files are elsewhere.
    line = error_line(run(tmp_path / "other", "restore", str(backup), "--db", str(server.db)))
    assert f"kill {server.pid}" in line
    server.stop()
    with PresenceManager(str(server.db)):
        line = error_line(run(server.home, "restore", str(backup), "--db", str(server.db)))
        assert "a program uses" in line
    assert not [name for name in names_in(server.home) if "replaced" in name or "part" in name]


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")


def _newer(path: Path) -> None:
    add_events(path, 0, 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")


def _truncated(path: Path) -> None:
    fill(str(path), 2_000)
    os.truncate(path, path.stat().st_size // 2)


BAD = {
    "foreign": (_foreign, "another program"),
    "newer": (_newer, "newer htmlgraph-nb"),
    "truncated": (_truncated, "bad"),
    "text": (lambda path: path.write_text("x" * 5_000), "not a valid database"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "folder": (lambda path: path.mkdir(), "not a regular file"),
    "fifo": (os.mkfifo, "not a regular file"),
    "missing": (lambda path: None, "No such file"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
@pytest.mark.parametrize("name", BAD)
def test_restore_refuses_what_is_no_backup(tmp_path: Path, name: str) -> None:
    """The database stays as it is."""
    db, bad = tmp_path / "test.db", tmp_path / "bad"
    add_events(db, 0, 3)
    make, expected = BAD[name]
    make(bad)
    line = error_line(run(tmp_path, "restore", str(bad), "--db", str(db)))
    assert expected in line
    assert str(bad) in line
    assert event_ids(db) == {"e0", "e1", "e2"}
    assert not [name for name in names_in(tmp_path) if "replaced" in name or "part" in name]
    assert error_line(run(tmp_path, "restore", str(db), "--db", str(db)))


@pytest.mark.parametrize("command", [("backup", "x"), ("restore", "x"), ("forget", "x")])
def test_backup_of_postgresql_names_its_tools(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The error does not show the password."""
    location = "postgresql://ada:secret@127.0.0.1/agents"
    line = error_line(run(tmp_path, *command, "--db", location))
    assert "pg_dump" in line
    assert "secret" not in line
