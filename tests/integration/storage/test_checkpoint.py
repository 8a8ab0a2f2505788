"""Checkpoints move the log into the database file while the writer continues."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreError
from htmlgraph_nb.storage.checkpoint import MIN_CHECKPOINT_EVENTS, Checkpointer
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve


def n_checkpointed(path: str, copy: Path) -> int:
    """Return the number of events in the file without its log."""
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.DatabaseError:
            # The tables are still in the log, or being checkpointed.
            return 0


def write(manager: PresenceManager, n_events: int) -> None:
    """Write this number of events in one transaction."""
    manager.ingest([Event(agent_id=f"a{n % 9}", event_type="prompt") for n in range(n_events)])


def test_check_moves_many_events_only(tmp_path: Path) -> None:
    """A few events stay in the log, many are moved, and later events are not lost."""
    with PresenceManager(str(tmp_path / "a.db")) as manager:
        checkpointer = Checkpointer(manager.db_path, lambda: manager.cursor.seq)
        write(manager, MIN_CHECKPOINT_EVENTS - 1)
        assert not checkpointer.check()
        write(manager, 1)
        assert n_checkpointed(manager.db_path, tmp_path / "before.db") == 0
        assert checkpointer.check()
        assert n_checkpointed(manager.db_path, tmp_path / "after.db") == MIN_CHECKPOINT_EVENTS
        assert not checkpointer.check()
        write(manager, 5)
        seq = manager.cursor.seq
    with PresenceManager(str(tmp_path / "a.db")) as again:
        assert again.cursor.seq == seq == MIN_CHECKPOINT_EVENTS + 5


def test_check_reports_read_only_file(tmp_path: Path) -> None:
    """The error names the file, and the next check retries."""
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 1_000)
    count = iter(range(0, 10**6, MIN_CHECKPOINT_EVENTS))
    checkpointer = Checkpointer(str(path), lambda: next(count))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"a\.db"):
            checkpointer.check()


def test_check_does_not_recreate_deleted_file(tmp_path: Path) -> None:
    """A deleted database is not replaced by an empty file."""
    path = tmp_path / "a.db"
    count = iter(range(0, 10**6, MIN_CHECKPOINT_EVENTS))
    checkpointer = Checkpointer(str(path), lambda: next(count))
    with pytest.raises(StoreError, match="was deleted"):
        checkpointer.check()
    assert not path.exists()


def test_server_runs_checkpoints(serve: Serve, tmp_path: Path) -> None:
    """The file has the events without stopping the server."""
    server = serve()
    for number in range(0, MIN_CHECKPOINT_EVENTS, 100):
        body = [{"agent_id": "a", "event_id": f"{number}:{n}"} for n in range(100)]
        server.post("/api/events", body)
    wait_until(
        lambda: n_checkpointed(str(server.db), tmp_path / "copy.db") == MIN_CHECKPOINT_EVENTS
    )
