"""Opening a database: created, migrated, or refused and left unchanged."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from htmlgraph_nb.errors import HtmlgraphError, StoreDamaged, StoreTooNew, StoreUnavailable
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import select_in
from htmlgraph_nb.storage.migrations import SCHEMA_VERSION
from tests.helpers.database_files import file_hashes, history_rows, run_python


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "history.db")


def test_open_writer_initializes_empty_file(path: str) -> None:
    """Folders are created, the file has its application id, and the view of history works."""
    deep = os.path.join(os.path.dirname(path), "one", "two", "h.db")
    Path(path).touch()
    for name in (path, deep):
        with PresenceManager(name) as manager:
            manager.update_presence("a", {"tool_name": "Bash", "session_id": "s"})
        with sqlite3.connect(name) as db:
            assert db.execute("PRAGMA application_id").fetchone() == (0x48474E42,)
            assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.close()
        assert history_rows(name, "seq, agent_id, tool_name, session_id") == [(1, "a", "Bash", "s")]
        assert file_hashes(name).keys() == {name}, "the log was checkpointed and removed"


@pytest.mark.parametrize("n", [0, 1, 500, 501, 1_700])
def test_select_in_looks_up_any_number_of_values(n: int) -> None:
    """Values without a row are left out."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT)")
    db.executemany("INSERT INTO names VALUES (?, ?)", [(i, f"n{i}") for i in range(0, n, 2)])
    rows = select_in(db, "SELECT id, name FROM names WHERE id IN ({})", range(n))
    assert sorted(rows) == [(i, f"n{i}") for i in range(0, n, 2)]


def _make_newer(path: str) -> None:
    PresenceManager(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()


_CRASHING_OWNER = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE agent_presence (agent_id TEXT PRIMARY KEY, status TEXT)")
db.execute("INSERT INTO agent_presence VALUES ('a', 'active')")
os._exit(0)
"""


def _make_foreign_with_log(path: str) -> None:
    assert run_python(_CRASHING_OWNER, path).returncode == 0
    assert os.path.exists(f"{path}-wal")


def _make_foreign(path: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE agent_presence (agent_id TEXT PRIMARY KEY, status TEXT)")
        db.execute("CREATE TABLE agent_events (event_id TEXT PRIMARY KEY)")
    db.close()


def _make_garbage(path: str) -> None:
    Path(path).write_bytes(random.Random(1).randbytes(20_000))


def _make_short_garbage(path: str) -> None:
    Path(path).write_text("not a database")


def _make_truncated(path: str) -> None:
    with PresenceManager(path) as manager:
        for n in range(300):
            manager.update_presence(f"agent-{n}", "tool_execute")
    os.truncate(path, os.path.getsize(path) // 2)


def _make_corrupt(path: str) -> None:
    with PresenceManager(path) as manager:
        for n in range(300):
            manager.update_presence(f"agent-{n}", "tool_execute")
    with open(path, "r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (os.path.getsize(path) - 4_096))


def _make_without_epoch(path: str) -> None:
    PresenceManager(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM meta")
    db.close()


def _make_unreadable_presence(path: str) -> None:
    with PresenceManager(path) as manager:
        manager.update_presence("a", "tool_execute")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE agent_presence SET status = 'acXive', evidence = '{'")
    db.close()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (_make_newer, StoreTooNew, "schema version 999.*install a newer"),
        (_make_foreign, StoreDamaged, "of another program; name another file"),
        (_make_foreign_with_log, StoreDamaged, "of another program; name another file"),
        (_make_garbage, StoreDamaged, "not a valid database"),
        (_make_short_garbage, StoreDamaged, "not a valid database"),
        (_make_truncated, StoreDamaged, "not a valid database"),
        (_make_corrupt, StoreDamaged, "not a valid database"),
        (_make_without_epoch, StoreDamaged, "lacks its epoch"),
        (_make_unreadable_presence, StoreDamaged, "presence of 'a' unreadable"),
    ],
)
def test_open_writer_refuses_unusable_file(
    path: str, make: Callable[[str], None], error: type[HtmlgraphError], says: str
) -> None:
    """Neither the file nor its log is changed."""
    make(path)
    before = file_hashes(path)
    for _ in range(2):
        with pytest.raises(error, match=says) as caught:
            PresenceManager(path)
        assert path in str(caught.value)
    assert file_hashes(path) == before


def test_damaged_file_raises_store_errors_only(path: str) -> None:
    """With random bytes flipped, opening works or raises a StoreError that names the file."""
    with PresenceManager(path) as manager:
        for n in range(60):
            manager.update_presence(f"agent-{n}", {"tool_name": "Bash", "prompt_id": n})
    sound, dice = Path(path).read_bytes(), random.Random(7)
    refusals: list[str] = []
    for _ in range(80):
        damaged = bytearray(sound)
        for _ in range(dice.choice([1, 20, 400])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        Path(path).write_bytes(damaged)
        for rest in (f"{path}-wal", f"{path}-shm"):
            Path(rest).unlink(missing_ok=True)
        try:
            with PresenceManager(path) as manager:
                manager.update_presence("agent-7", "tool_execute")
                manager.update_presence("new", {"tool_name": "New"})
        except HtmlgraphError as error:
            refusals.append(str(error))
    assert all(path in said for said in refusals)
    assert 10 < len(refusals) < 80


@pytest.mark.parametrize("where", ["a folder", "below a file", ":memory:"])
def test_open_writer_refuses_impossible_path(tmp_path: Path, where: str) -> None:
    """The error names the path and the reason."""
    (tmp_path / "file").touch()
    target = {"a folder": tmp_path, "below a file": tmp_path / "file" / "h.db"}.get(where, where)
    with pytest.raises(StoreUnavailable, match=r"cannot create|unable to open|in-memory"):
        PresenceManager(str(target))


_WRITE_ONE = """
import os, sys
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager
if os.geteuid() == 0:
    # File modes do not restrict root, so run as another user; the interpreter is loaded already.
    os.setuid(65534)
try:
    PresenceManager(sys.argv[1]).update_presence("a", "tool_execute")
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [(0o555, 0o666), (0o555, None), (0o777, 0o444)])
def test_open_writer_reports_missing_permission(mode: tuple[int, int | None]) -> None:
    """A folder or file without write permission: the error names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "h.db")
        if mode[1] is not None:
            PresenceManager(path).close()
            os.chmod(path, mode[1])
        os.chmod(folder, mode[0])
        done = run_python(_WRITE_ONE, path)
        os.chmod(folder, 0o700)
    assert done.returncode == 0, done.stderr
    assert path in done.stdout


_FORK = """
import os, sys
from htmlgraph_nb.errors import StoreClosed
from htmlgraph_nb.presence import PresenceManager
manager = PresenceManager(sys.argv[1])
manager.update_presence("parent", "prompt")
child = os.fork()
if not child:
    try:
        manager.update_presence("child", "prompt")
    except StoreClosed as error:
        manager.close()
        with PresenceManager(sys.argv[1]) as own:
            own.update_presence("child", "prompt")
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(2)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert set(manager.agents) == {"parent", "child"}
manager.update_presence("parent", "stop")
manager.close()
"""


def test_store_refuses_use_after_fork(path: str) -> None:
    """The child cannot use the connection of the parent, which keeps working."""
    done = run_python(_FORK, path)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in history_rows(path, "agent_id")] == ["parent", "child", "parent"]


def test_epoch_and_seq_survive_restart(path: str) -> None:
    """Also for a second manager of the file; another file has another epoch."""
    with PresenceManager(path) as manager:
        manager.update_presence("a", "prompt")
        cursor = manager.cursor
    with PresenceManager(path) as manager, PresenceManager(path) as second:
        assert manager.cursor == second.cursor == cursor
        assert cursor.seq == 1
        assert manager.update_presence("a", "stop").seq == 2
    with PresenceManager(f"{path}.other") as manager:
        assert manager.cursor.epoch != cursor.epoch


_OPEN_TOGETHER = """
import sys
from htmlgraph_nb.presence import PresenceManager
sys.stdin.readline()
with PresenceManager(sys.argv[1]) as manager:
    for _ in range(20):
        manager.update_presence(sys.argv[2], "tool_execute")
"""


def test_open_writer_from_many_processes(tmp_path: Path) -> None:
    """Concurrent creation never shows a partial schema, a lock error or a duplicate seq."""
    for trial in range(3):
        path = str(tmp_path / f"new-{trial}.db")
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _OPEN_TOGETHER, path, f"a{n}"],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for n in range(5)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        failures = [process.communicate(timeout=60)[1] for process in processes]
        assert failures == [""] * 5
        assert [row[0] for row in history_rows(path)] == list(range(1, 101))


_START_ON_FULL_DISK = """
import resource, signal, sys
from htmlgraph_nb.errors import StoreError
from htmlgraph_nb.presence import PresenceManager
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    PresenceManager(sys.argv[1]).close()
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("n_bytes", [0, 1_000, 4_000, 16_000, 24_000, 40_000])
def test_open_writer_reports_full_disk_at_first_start(path: str, n_bytes: int) -> None:
    """The error is that of the disk, and with space again the same file opens."""
    done = run_python(_START_ON_FULL_DISK, path, str(n_bytes))
    assert done.stdout.startswith(f"StoreUnavailable {path}"), (done.stdout, done.stderr)
    assert "disk" in done.stdout
    with PresenceManager(path) as manager:
        manager.update_presence("a", "prompt")
    assert history_rows(path, "agent_id") == [("a",)]
