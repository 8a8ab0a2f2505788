"""WalIndex: the header of the index of a real database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.commit.wal_index import WalIndex

pytestmark = pytest.mark.skipif(
    sys.platform not in ("linux", "darwin"), reason="the index is not read on other systems"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "shared.db")


def test_wal_index_header_changes_with_each_commit(path: str) -> None:
    """And with nothing else."""
    with PresenceManager(path) as manager, closing(sqlite3.connect(path)) as db:
        index = WalIndex(path)
        seen = {index.header()}
        for n in range(20):
            if n % 5 == 0:
                db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            manager.update_presence("a", "prompt")
            header = index.header()
            db.execute("SELECT count(*) FROM events").fetchone()
            assert header is not None
            assert header == index.header()
            seen.add(header)
        assert len(seen) == 21
        index.close()
        assert index.header() is None


def test_wal_index_does_not_show_a_commit_before_sqlite_does(path: str) -> None:
    """What is written to the log before the commit is not visible yet."""
    with PresenceManager(path), closing(sqlite3.connect(path)) as db:
        index = WalIndex(path)
        db.execute("PRAGMA cache_size = 1")
        db.execute("CREATE TABLE extra (value)")
        before, log = index.header(), Path(path + "-wal").stat().st_size
        values = [("x" * 3_000,) for _ in range(100)]
        db.executemany("INSERT INTO extra VALUES (?)", values)
        assert Path(path + "-wal").stat().st_size > log
        assert index.header() == before
        db.commit()
        assert index.header() != before
        index.close()


def test_wal_index_of_database_without_log_is_unknown(path: str) -> None:
    """The store then asks SQLite."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE a (b)")
        index = WalIndex(path)
        assert index.header() is None
        index.close()


def test_wal_index_keeps_no_descriptor_of_deleted_files(path: str) -> None:
    """SQLite deletes the index with its last connection."""
    WalIndex(path).close()
    before = dict(WalIndex._descriptors)
    for _ in range(3):
        with PresenceManager(path), PresenceManager(path):
            assert len(WalIndex._descriptors) == len(before) + 1
        assert not os.path.exists(path + "-shm")
        assert WalIndex._descriptors == before


def test_wal_index_keeps_the_locks_of_other_connections(path: str) -> None:
    """A process that finds no lock on the index would start it from its beginning."""
    other = """
import sys, fcntl, struct
with open(sys.argv[1] + "-shm", "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)
    except OSError:
        print("locked")
"""

    def is_locked() -> bool:
        command = [sys.executable, "-c", other, path]
        return (
            "locked" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
        )

    with closing(sqlite3.connect(path)) as reader:
        with PresenceManager(path) as first:
            with PresenceManager(path):
                reader.execute("SELECT count(*) FROM events").fetchall()
            assert is_locked()
            first.update_presence("a", "prompt")
            assert not first.sync_external()
        assert is_locked()
