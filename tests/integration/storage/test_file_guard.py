"""A store notices that its file is no longer the one that it opened; more in test_lost_database."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from htmlgraph_nb import PresenceManager, load_history
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreError, StoreReplaced
from htmlgraph_nb.history.export import export_history
from htmlgraph_nb.storage.file_guard import guard_problem
from tests.helpers.database_files import history_rows, run_python
from tests.helpers.wait import wait_until


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "history.db")


def test_guard_problem_is_that_of_this_process(path: str) -> None:
    """Of a file that no store has open there is none; closed stores count no longer."""
    assert guard_problem(path) is None
    with PresenceManager(path) as manager:
        manager.update_presence("a", "prompt")
        assert guard_problem(path) is None
        os.rename(path, f"{path}.moved")
        assert "cannot be found" in str(guard_problem(path))
    assert guard_problem(path) is None


def test_write_after_move_is_refused_and_can_be_repeated(path: str) -> None:
    """The event of the failed write is stored once, when the file is back."""
    with PresenceManager(path) as manager, PresenceManager(path) as second:
        manager.update_presence("a", "prompt")
        os.rename(path, f"{path}.moved")
        event = Event(agent_id="b", event_id="e1")
        for _ in range(3):
            with pytest.raises(StoreReplaced, match="cannot be found"):
                manager.ingest([event])
        with pytest.raises(StoreReplaced):
            second.submit([event], 0.0).result(10)
        with pytest.raises(StoreReplaced):
            load_history(path)
        os.rename(f"{path}.moved", path)
        results = [each.ingest([event]) for each in (manager, second)]
        assert sum(result.accepted for result in results) <= 1
        assert manager.agents.keys() == second.agents.keys() == {"a", "b"}
    assert history_rows(path, "agent_id") == [("a",), ("b",)]


def test_check_accepts_what_sqlite_does(path: str) -> None:
    """Checkpoints of every kind, VACUUM, other tables, deleted history, other writers."""
    with PresenceManager(path) as manager:
        for step in range(6):
            manager.ingest([Event(agent_id=f"a{n % 40}") for n in range(900)])
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                for text in (
                    f"PRAGMA wal_checkpoint({('PASSIVE', 'RESTART', 'TRUNCATE')[step % 3]})",
                    "CREATE TABLE other (x)",
                    "DROP TABLE other",
                    "VACUUM",
                ):
                    db.execute(text).fetchall()
                    manager.update_presence("one", "prompt")
                    manager.sync_external()
            with PresenceManager(path) as second:
                second.update_presence("two", "prompt")
            manager.delete_history(timedelta(0), 700)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        os.utime(path)
        manager.update_presence("one", "stop")
    assert history_rows(path)[-1] == (manager.cursor.seq,)


_KILLED_WRITER = """
import os, sys, threading
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.checkpoint import Checkpointer
manager = PresenceManager(sys.argv[1])
checkpointer = Checkpointer(manager.db_path, lambda: manager.cursor.seq)
threading.Timer(float(sys.argv[2]), os._exit, [7]).start()
while True:
    manager.ingest([Event(agent_id=f"k{n}") for n in range(600)])
    checkpointer.check()
"""


def test_check_accepts_checkpoint_of_killed_process(path: str) -> None:
    """Another process is killed in the middle of checkpoints: the file is still the same."""
    with PresenceManager(path) as manager:
        for delay in (0.31, 0.4, 0.47, 0.53):
            assert run_python(_KILLED_WRITER, path, str(delay)).returncode == 7
            manager.update_presence("mine", "prompt")
        seq = manager.cursor.seq
    assert history_rows(path)[-1] == (seq,)


def test_close_writes_nothing_to_another_file(path: str, tmp_path: Path) -> None:
    """Replaced or overwritten just before the end, with events in the log."""
    other = str(tmp_path / "other.db")
    with PresenceManager(other) as manager:
        manager.update_presence("other", "prompt")
    content = Path(other).read_bytes()
    for replace in (os.replace, shutil.copyfile):
        if not os.path.exists(other):
            Path(other).write_bytes(content)
        manager = PresenceManager(path)
        manager.ingest([Event(agent_id=f"a{n}") for n in range(300)])
        replace(other, path)
        manager.close()
        assert Path(path).read_bytes() == content
        assert history_rows(path, "agent_id") == [("other",)]
        os.unlink(path)


def test_guard_keeps_no_file_open(path: str) -> None:
    """Stores of one file share a descriptor, which the last one closes."""
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        pytest.skip("no /proc")
    before = len(os.listdir(folder))
    managers = [PresenceManager(path) for _ in range(3)]
    for manager in managers:
        manager.close()
    wait_until(lambda: len(os.listdir(folder)) <= before)


DAMAGE = {
    "missing": os.unlink,
    "empty": lambda path: os.truncate(path, 0),
    "half": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "text": lambda path: Path(path).write_text("notes\n" * 9_999),
    "a folder": lambda path: (os.unlink(path), os.mkdir(path)),
    "zeros": lambda path: Path(path).write_bytes(bytes(50_000)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_readers_report_unusable_file(path: str, tmp_path: Path, kind: str) -> None:
    """load_history and export_history raise a StoreError that names the file."""
    with PresenceManager(path) as manager:
        manager.ingest([Event(agent_id=f"a{n}", title=f"t{n}") for n in range(600)])
    DAMAGE[kind](path)
    with pytest.raises(StoreError, match=r"history\.db"):
        load_history(path)
    with pytest.raises(StoreError, match=r"history\.db"):
        export_history(tmp_path / "out.parquet", path)
    assert not (tmp_path / "out.parquet").exists()
