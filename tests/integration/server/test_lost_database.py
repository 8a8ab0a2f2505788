"""The database is deleted, moved, replaced or overwritten under a running server.

The server stops acknowledging at once, says once what happened, writes to no file that was put
there, and each event that it acknowledged is in the file that was its database, if that exists.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb import PresenceManager
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed")

READS = (
    *("/api/history", "/api/history?format=csv", "/api/history?format=arrow", "/api/activity"),
    *("/api/costs", "/api/sessions"),
)


def other_database(path: Path, n_events: int = 40) -> Path:
    """Write another database of this program, larger than a new one."""
    with PresenceManager(str(path)) as manager:
        for number in range(n_events):
            manager.update_presence(f"other-{number}", "prompt")
    return path


def send(server: Server, first: int, n: int) -> list[int]:
    """Send events one by one, and return the statuses of the responses."""
    return [
        server.post("/api/events", [{"agent_id": f"a{k % 3}", "event_id": f"e{k}"}]).status
        for k in range(first, first + n)
    ]


def problem(server: Server) -> str | None:
    """Return what the status report says about the database."""
    text: str | None = server.get("/api/status").json()["database"]["error"]
    return text


def event_ids(path: Path) -> set[str]:
    """Return the ids of all stored events of the tests."""
    return {row[0] for row in history_rows(str(path), "event_id") if row[0]}


def hash_of(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def integrity(path: Path) -> str:
    """Return what SQLite says about the pages of a file."""
    return str(query_rows(str(path), "PRAGMA integrity_check")[0][0])


def check_refuses(server: Server, text: str) -> None:
    """Assert that events and history get 503 with the cause, and that the log has it once."""
    response = server.post("/api/events", [{"agent_id": "a", "event_id": "refused"}])
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert response.error["code"] == "store_unavailable"
    assert text in response.error["message"]
    for path in READS:
        refused = server.get(path)
        assert (refused.status, refused.error["code"]) == (503, "store_unavailable"), path
    assert server.get("/api/presence").status == 200
    found = problem(server)
    assert found is not None
    assert text in found
    lines = [line for line in server.log().splitlines() if text in line and " 503 " not in line]
    assert len(lines) == 1, server.log()
    assert " WARNING " in lines[0]


REMOVALS: dict[str, Callable[[Path], object]] = {
    "rm": lambda db: [os.unlink(f"{db}{suffix}") for suffix in ("", "-wal", "-shm")],
    "rm of the file only": os.unlink,
    "mv": lambda db: os.rename(db, f"{db}.moved"),
    "mv of the folder": lambda db: os.rename(db.parent, f"{db.parent}.moved"),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_server_refuses_events_without_its_database(tmp_path: Path, removal: str) -> None:
    """Deleted or moved away, all of it or its folder; a moved file has every acknowledged event."""
    server = Server(tmp_path / "home", "--db", str(tmp_path / "data" / "test.db"))
    server.db = tmp_path / "data" / "test.db"
    try:
        server.start()
        assert send(server, 0, 60) == [200] * 60
        REMOVALS[removal](server.db)
        assert send(server, 60, 10) == [503] * 10
        check_refuses(server, "cannot be found")
        moved = Path(f"{server.db}.moved")
        if removal == "mv":
            assert event_ids(moved) >= {f"e{k}" for k in range(60)}
            for suffix in ("-wal", "-shm"):
                Path(f"{moved}{suffix}").unlink(missing_ok=True)
    finally:
        assert server.stop() == 0
    server.check_log()


@pytest.mark.parametrize("whole_folder", [False, True])
def test_server_goes_on_when_its_database_returns(tmp_path: Path, whole_folder: bool) -> None:
    """Moved away and back: no restart is needed, and nothing is missing."""
    db = tmp_path / "data" / "test.db"
    target = db.parent if whole_folder else db
    with running(tmp_path / "home", "--db", str(db)) as server:
        assert send(server, 0, 30) == [200] * 30
        os.rename(target, f"{target}.moved")
        assert send(server, 30, 5) == [503] * 5
        os.rename(f"{target}.moved", target)
        wait_until(lambda: problem(server) is None)
        assert send(server, 30, 10) == [200] * 10
        assert len(server.get("/api/history?limit=1000").json()["events"]) >= 40
        assert server.log().count("is back; events are stored again") == 1
    assert event_ids(db) == {f"e{k}" for k in range(40)}
    assert integrity(db) == "ok"


def test_server_leaves_file_that_was_moved_over_its_database(tmp_path: Path) -> None:
    """A backup is restored by mv, under load and with a long log; a restart uses it."""
    other = other_database(tmp_path / "other.db")
    with running(tmp_path / "home") as server:
        assert send(server, 0, 30) == [200] * 30
        bulk = [{"agent_id": "a", "event_id": f"b{k}"} for k in range(1_000)]
        assert server.post("/api/events", bulk).status == 200
        before = hash_of(other)
        os.replace(other, server.db)
        assert send(server, 30, 10) == [503] * 10
        check_refuses(server, "was replaced by another file")
        wait_until(lambda: not Path(f"{server.db}-wal").exists())
        assert hash_of(server.db) == before
    assert hash_of(server.db) == before
    with running(tmp_path / "home") as server:
        assert len(server.presence()) == 40
        assert send(server, 0, 3) == [200] * 3
    assert integrity(server.db) == "ok"


def wait_for_checkpoint(server: Server, ids: set[str]) -> None:
    """Wait until the file has these events without its log, and the server has seen that."""
    wait_until(lambda: event_ids_in_file(server.db) >= ids, "a checkpoint")
    # The server looks at the file before each transaction.
    assert send(server, 900, 1) == [200]


def event_ids_in_file(db: Path) -> set[str]:
    """Return the events in the file without its log."""
    copy = Path(f"{db}.checkpointed")
    shutil.copyfile(db, copy)
    try:
        return event_ids(copy)
    except sqlite3.DatabaseError:
        # In the middle of a checkpoint.
        return set()


def copy_of(db: Path) -> bytes:
    """Return a sound copy of a database that is in use."""
    copy = Path(f"{db}.copy")
    with closing(sqlite3.connect(db)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy.read_bytes()


def overwrite(db: Path, content: bytes) -> None:
    """Write other content to the same file, as cp and dd do."""
    with open(db, "r+b") as file:
        file.write(content)
        file.truncate(len(content))


def _garbage(db: Path) -> None:
    with open(db, "r+b") as file:
        file.write(b"\xa5" * 4_096)


OVERWRITES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "cp": (lambda db, other: shutil.copyfile(other, db), "with another database"),
    "cp of a text": (lambda db, _: db.write_text("notes\n" * 40_000), "with something else"),
    "truncated to nothing": (lambda db, _: os.truncate(db, 0), "was truncated"),
    "truncated to half": (lambda db, _: os.truncate(db, db.stat().st_size // 2), "was truncated"),
    "dd over the header": (lambda db, _: _garbage(db), "with something else"),
}


@pytest.mark.parametrize("kind", OVERWRITES)
def test_server_leaves_content_that_was_written_to_its_database(tmp_path: Path, kind: str) -> None:
    """The same file with other content: nothing is acknowledged, and not a byte is changed."""
    write, text = OVERWRITES[kind]
    other = other_database(tmp_path / "other.db", 200)
    with running(tmp_path / "home") as server:
        assert send(server, 0, 30) == [200] * 30
        bulk = [{"agent_id": f"a{k % 50}", "event_id": f"b{k}"} for k in range(1_000)]
        assert server.post("/api/events", bulk).status == 200
        wait_for_checkpoint(server, {f"b{k}" for k in range(1_000)})
        write(server.db, other)
        assert send(server, 30, 10) == [503] * 10
        check_refuses(server, text)
        written = hash_of(server.db)
        wait_until(lambda: not Path(f"{server.db}-wal").exists())
    assert hash_of(server.db) == written
    if kind == "cp":
        assert written == hash_of(other)
        with running(tmp_path / "home") as server:
            assert len(server.presence()) == 200


def test_server_refuses_events_after_older_copy_was_written_over(tmp_path: Path) -> None:
    """A backup of the same database is restored by cp while the server runs."""
    with running(tmp_path / "home") as server:
        assert send(server, 0, 30) == [200] * 30
        older = copy_of(server.db)
        for part in range(3):
            bulk = [{"agent_id": f"a{k}", "event_id": f"b{part}-{k}"} for k in range(700)]
            assert server.post("/api/events", bulk).status == 200
        wait_for_checkpoint(server, {f"b{part}-{k}" for part in range(3) for k in range(700)})
        overwrite(server.db, older)
        assert send(server, 30, 10) == [503] * 10
        check_refuses(server, "with an older copy")
        wait_until(lambda: not Path(f"{server.db}-wal").exists())
    assert server.db.read_bytes() == older
    with running(tmp_path / "home") as server:
        assert server.presence().keys() == {"a0", "a1", "a2"}


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_server_saves_what_a_removed_log_held(tmp_path: Path, suffix: str) -> None:
    """The log or its index is deleted: after kill -9, too, each acknowledged event is there."""
    home = tmp_path / "home"
    server = Server(home).start()
    try:
        assert send(server, 0, 60) == [200] * 60
        os.unlink(f"{server.db}{suffix}")
        statuses = send(server, 60, 40)
        assert statuses[-20:] == [503] * 20
        check_refuses(server, f"{suffix} was removed")
    finally:
        server.kill()
    server.check_log()
    acknowledged = {f"e{k}" for k, status in enumerate([200] * 60 + statuses) if status == 200}
    with running(home) as again:
        assert send(again, 100, 1) == [200]
    assert event_ids(server.db) >= acknowledged
    assert integrity(server.db) == "ok"


def test_server_refuses_events_after_its_log_was_overwritten(tmp_path: Path) -> None:
    """The database keeps what was checkpointed, and is sound."""
    with running(tmp_path / "home") as server:
        bulk = [{"agent_id": f"a{k}", "event_id": f"b{k}"} for k in range(1_000)]
        assert server.post("/api/events", bulk).status == 200
        wait_for_checkpoint(server, {f"b{k}" for k in range(1_000)})
        assert send(server, 0, 20) == [200] * 20
        os.truncate(f"{server.db}-wal", 0)
        assert send(server, 20, 40)[-20:] == [503] * 20
        check_refuses(server, "-wal was overwritten")
    assert event_ids(server.db) >= {f"b{k}" for k in range(1_000)}
    assert integrity(server.db) == "ok"


def test_server_ignores_changed_modes(tmp_path: Path) -> None:
    """chmod and touch change nothing: the server has the file open."""
    with running(tmp_path / "home") as server:
        assert send(server, 0, 5) == [200] * 5
        os.chmod(server.db, 0o400)
        os.utime(server.db, (0, 0))
        assert send(server, 5, 5) == [200] * 5
        assert problem(server) is None
        os.chmod(server.db, 0o600)
    assert event_ids(server.db) == {f"e{k}" for k in range(10)}


def test_hook_keeps_its_events_while_the_database_is_gone(tmp_path: Path) -> None:
    """Hooks spool after a 503; once the file is back, the server reads the spool."""
    db = tmp_path / "data" / "test.db"
    with running(tmp_path / "home", "--db", str(db)) as server:
        server.send("a")
        os.rename(db, f"{db}.moved")
        assert server.post("/api/events", {"agent_id": "a"}).status == 503
        environ = clean_environ(tmp_path / "home", {"HTMLGRAPH_URL": server.url})
        for _ in range(3):
            subprocess.run(
                [sys.executable, "-m", "htmlgraph_nb.hook", "claude"],
                input=b'{"session_id":"s","hook_event_name":"Stop"}',
                env=environ,
                check=True,
            )
        os.rename(f"{db}.moved", db)
        count = "SELECT count(*) FROM history WHERE event_type = 'stop'"
        wait_until(lambda: query_rows(str(db), count) == [(3,)], "the spooled events", 30)
