"""Opening the file: what is made, what is refused and left as it is, who may not write."""

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
from htmlgraph_nb.history.load import load_presence
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.schema import SCHEMA_VERSION
from tests.helpers.database_files import file_hashes, history_rows, run_python
from tests.helpers.databases import VERSIONS, restore


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file that is not there yet."""
    return str(tmp_path / "history.db")


def test_an_empty_file_becomes_a_database(path: str) -> None:
    """Folders are made; the file says whose it is, and people can read its history."""
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


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("write_first", [True, False])
def test_migrate_keeps_presence_of_older_file(path: str, version: int, write_first: bool) -> None:
    """The first program that opens the file migrates it, a reader too; its agents stay."""
    restore(version, path)
    if write_first:
        with PresenceManager(path) as manager:
            assert manager.agents["claude-1"].session_id == "s-3"
            manager.update_presence("claude-1", {"event_type": "tool_error", "tool_name": "Bash"})
            assert manager.agents["claude-1"].total_errors == 1
    presence = load_presence(path).set_index("agent_id")
    assert presence["total_errors"].to_dict() == {"claude-1": int(write_first), "codex-1": 0}
    assert presence["status"].to_dict() == {
        "claude-1": "active" if write_first else "idle",
        "codex-1": "idle",
    }


def test_a_changed_row_or_name_makes_its_sealed_copy_unknown(path: str) -> None:
    """Whoever changes it, the shell included; other copies stay known."""
    with PresenceManager(path) as manager:
        for _ in range(4):
            manager.update_presence("a", "prompt")

    def known(change: str) -> list[int]:
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM segments")
            for first in (1, 3):
                row = (first, first + 1, 2, 9, 9, 0, 0, f"{first}.arrow")
                db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute(change)
            return [row[0] for row in db.execute("SELECT first_id FROM segments")]

    assert known("UPDATE events SET ts = ts + 1 WHERE id = 2") == [3]
    assert known("DELETE FROM events WHERE id = 3") == [1]
    assert known("UPDATE names SET name = 'b' WHERE name = 'a'") == []
    assert known("UPDATE meta SET value = value") == [1, 3]


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
        (_make_garbage, StoreDamaged, "not a sound database"),
        (_make_short_garbage, StoreDamaged, "not a sound database"),
        (_make_truncated, StoreDamaged, "not a sound database"),
        (_make_corrupt, StoreDamaged, "not a sound database"),
        (_make_without_epoch, StoreDamaged, "lacks its epoch"),
        (_make_unreadable_presence, StoreDamaged, "presence of 'a' unreadable"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_left_alone(
    path: str, make: Callable[[str], None], error: type[HtmlgraphError], says: str
) -> None:
    """Not a byte of it changes, nor of a log that its owner left behind."""
    make(path)
    before = file_hashes(path)
    for _ in range(2):
        with pytest.raises(error, match=says) as caught:
            PresenceManager(path)
        assert path in str(caught.value)
    assert file_hashes(path) == before


def test_damage_of_any_kind_is_never_a_traceback(path: str) -> None:
    """Bytes turned over anywhere: it works, or an error of this project names the file."""
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
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, where: str) -> None:
    """With the place and what is wrong with it."""
    (tmp_path / "file").touch()
    place = {"a folder": tmp_path, "below a file": tmp_path / "file" / "h.db"}.get(where, where)
    with pytest.raises(StoreUnavailable, match=r"cannot create|unable to open|in-memory"):
        PresenceManager(str(place))


_WRITE_ONE = """
import os, sys
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager
if os.geteuid() == 0:
    # No mode keeps root out; the interpreter is loaded by now, wherever it lies.
    os.setuid(65534)
try:
    PresenceManager(sys.argv[1]).update_presence("a", "tool_execute")
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [(0o555, 0o666), (0o555, None), (0o777, 0o444)])
def test_without_the_right_to_write_it_says_so(mode: tuple[int, int | None]) -> None:
    """A folder or file of somebody else: the answer names the file."""
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


def test_a_fork_must_open_the_file_itself(path: str) -> None:
    """The parent's connection is refused in the child, and not disturbed by it."""
    done = run_python(_FORK, path)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in history_rows(path, "agent_id")] == ["parent", "child", "parent"]


def test_epoch_and_seq_go_on(path: str) -> None:
    """After a restart, and for a second manager on the file; another file has another epoch."""
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


def test_processes_that_make_the_file_together_all_get_it(tmp_path: Path) -> None:
    """Nobody sees half a schema, a lock or a number that another one took."""
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
