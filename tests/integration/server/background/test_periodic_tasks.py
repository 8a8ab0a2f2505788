"""The server's own thread goes on, whatever its chores meet."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager, PresenceStatus
from htmlgraph_server.background import periodic_tasks
from htmlgraph_server.background.leader_lock import LeaderLock
from htmlgraph_server.background.periodic_tasks import BackgroundTasks
from htmlgraph_server.background.spool_reader import Spool
from tests.helpers.database_files import rows_of
from tests.helpers.wait import wait_until


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """A manager whose agents are idle after a moment."""
    limits = Limits(idle_timeout_s=0.2, offline_timeout_s=3_600)
    with PresenceManager(str(tmp_path / "h.db"), limits=limits) as opened:
        yield opened


class BrokenSpool(Spool):
    """A spool on a disk that has gone away."""

    n_calls = 0
    error: Exception = OSError("gone")

    def take_in(self) -> int:
        """Fail."""
        self.n_calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError("gone"), StoreUnavailable("gone"), ZeroDivisionError("gone")]
)
def test_a_chore_that_fails_is_said_once_and_stops_no_other(
    manager: PresenceManager,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Others' writes are still seen, and time still passes."""
    monkeypatch.setattr(periodic_tasks, "SPOOL_S", 0.01)
    monkeypatch.setattr(periodic_tasks, "TICK_S", 0.01)
    spool = BrokenSpool(manager, "nowhere")
    spool.error = error
    watcher = BackgroundTasks(manager, spool, ownership=LeaderLock(manager.db_path))
    with caplog.at_level(logging.WARNING, "htmlgraph.watch"):
        watcher.start()
        wait_until(lambda: spool.n_calls > 3, "some failures")
        with PresenceManager(manager.db_path) as other:
            other.update_presence("a", "prompt")
        wait_until(lambda: "a" in manager.snapshot(), "the other's write")
        wait_until(
            lambda: manager.snapshot()["a"].status is PresenceStatus.IDLE, "the passing of time"
        )
        watcher.stop()
    assert len(caplog.records) == 1
    assert "gone" in caplog.text


def test_a_failure_that_ended_is_said_again_when_it_comes_back(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Silence means that it works."""
    monkeypatch.setattr(periodic_tasks, "SPOOL_S", 0.0)
    answers = iter([OSError("one"), OSError("one"), None, OSError("two")])
    done = threading.Event()

    class Fickle(Spool):
        def take_in(self) -> int:
            answer = next(answers, None)
            if answer is None:
                return 0
            if str(answer) == "two":
                done.set()
            raise answer

    watcher = BackgroundTasks(
        manager, Fickle(manager, "nowhere"), ownership=LeaderLock(manager.db_path)
    )
    watcher.start()
    assert done.wait(15)
    watcher.stop()
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]


def test_a_long_retention_leaves_room_for_the_others(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps the spool is looked at and others' writes are taken in."""
    old = datetime.now(UTC) - timedelta(days=9)
    for _ in range(12):
        manager.ingest([Event(agent_id="a", timestamp=old, source="test")] * 2_000)
    monkeypatch.setattr(periodic_tasks, "SPOOL_S", 0.0)
    monkeypatch.setattr(periodic_tasks, "RETENTION_PAUSE_S", 0.001)
    sizes: list[int] = []

    class Counting(Spool):
        def take_in(self) -> int:
            sizes.append(len(rows_of(manager.db_path)))
            return 0

    watcher = BackgroundTasks(
        manager,
        Counting(manager, "nowhere"),
        retain_s=86_400.0,
        ownership=LeaderLock(manager.db_path),
    )
    watcher.start()
    wait_until(lambda: sizes and sizes[-1] < 2_000, "the end of the old rows")
    watcher.stop()
    assert len(set(sizes)) > 4, "all steps were taken at one go"


_LOADS_PRICES = """
import sys
from htmlgraph_nb.pricing import price_list
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background.leader_lock import Ownership
from htmlgraph_server.background.periodic_tasks import Watcher
from tests.helpers.wait import wait_until

with PresenceManager(sys.argv[1]) as manager:
    watcher = Watcher(manager, ownership=Ownership(manager.db_path))
    assert not price_list._finder.cache_info().currsize
    watcher.start()
    wait_until(lambda: price_list._finder.cache_info().currsize, "the prices")
    watcher.stop()
    assert "genai_prices" not in sys.modules
"""


def test_the_prices_are_there_before_an_event_asks_for_them(tmp_path: Path) -> None:
    """Nobody's first answer holds up what comes after it, and the server stays small."""
    command = [sys.executable, "-c", _LOADS_PRICES, str(tmp_path / "h.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
