"""The log is moved into the database file beside the writer."""

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


def n_moved(path: str, copy: Path) -> int:
    """Return how many events the file alone has, without its log."""
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.DatabaseError:
            # Not even the tables have left the log, or they were on their way.
            return 0


def write(manager: PresenceManager, n_events: int) -> None:
    """Write as many events in one transaction."""
    manager.ingest([Event(agent_id=f"a{n % 9}", event_type="prompt") for n in range(n_events)])


def test_enough_events_are_moved_while_the_writer_goes_on(tmp_path: Path) -> None:
    """Few stay in the log; many are in the file, and what comes after them is not lost."""
    with PresenceManager(str(tmp_path / "a.db")) as manager:
        checkpointer = Checkpointer(manager.db_path, lambda: manager.cursor.seq)
        write(manager, MIN_CHECKPOINT_EVENTS - 1)
        assert not checkpointer.check()
        write(manager, 1)
        assert n_moved(manager.db_path, tmp_path / "before.db") == 0
        assert checkpointer.check()
        assert n_moved(manager.db_path, tmp_path / "after.db") == MIN_CHECKPOINT_EVENTS
        assert not checkpointer.check()
        write(manager, 5)
        seq = manager.cursor.seq
    with PresenceManager(str(tmp_path / "a.db")) as again:
        assert again.cursor.seq == seq == MIN_CHECKPOINT_EVENTS + 5


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error says which, and the next check tries again."""
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 1_000)
    count = iter(range(0, 10**6, MIN_CHECKPOINT_EVENTS))
    checkpointer = Checkpointer(str(path), lambda: next(count))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"a\.db"):
            checkpointer.check()


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """Whoever took it away finds no empty one there."""
    path = tmp_path / "a.db"
    count = iter(range(0, 10**6, MIN_CHECKPOINT_EVENTS))
    checkpointer = Checkpointer(str(path), lambda: next(count))
    with pytest.raises(StoreError, match="gone"):
        checkpointer.check()
    assert not path.exists()


def test_a_server_does_it_by_itself(serve: Serve, tmp_path: Path) -> None:
    """Nobody has to stop it for the file to have what was sent."""
    server = serve()
    for number in range(0, MIN_CHECKPOINT_EVENTS, 100):
        body = [{"agent_id": "a", "event_id": f"{number}:{n}"} for n in range(100)]
        server.post("/api/events", body)
    wait_until(lambda: n_moved(str(server.db), tmp_path / "copy.db") == MIN_CHECKPOINT_EVENTS)
