"""The background tasks: a failing task affects no other, and each runs at its interval."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.otel.span_events import SpanTranslator
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager, PresenceStatus
from htmlgraph_server.background import periodic_tasks, retention
from htmlgraph_server.background.backfiller import Backfiller
from htmlgraph_server.background.leader_lock import LeaderLock
from htmlgraph_server.background.local_agents import LocalAgents
from htmlgraph_server.background.periodic_tasks import (
    BackgroundTasks,
    PeriodicTask,
    TaskThread,
    Timers,
    make_background_tasks,
)
from htmlgraph_server.background.spool_reader import SpoolReader
from htmlgraph_server.config import Config
from tests.helpers.database_files import history_rows
from tests.helpers.wait import wait_until


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """A manager whose agents become idle after 0.2 s."""
    limits = Limits(idle_timeout_s=0.2, offline_timeout_s=3_600)
    with PresenceManager(str(tmp_path / "h.db"), limits=limits) as opened:
        yield opened


def make_tasks(
    manager: PresenceManager, spool: SpoolReader, retain_s: float = 0.0
) -> BackgroundTasks:
    """Return background tasks that can become the leader."""
    return BackgroundTasks(manager, LeaderLock(manager.db_path), spool=spool, retain_s=retain_s)


class BrokenSpool(SpoolReader):
    """A spool on a disk that was removed."""

    n_calls = 0
    error: Exception = OSError("disk removed")

    def read(self) -> int:
        """Fail."""
        self.n_calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [OSError("disk removed"), StoreUnavailable("disk removed"), ZeroDivisionError("disk removed")],
)
def test_failing_task_is_logged_once_and_stops_no_other(
    manager: PresenceManager,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Writes of other servers are still read, and agents still become idle."""
    monkeypatch.setattr(periodic_tasks, "SPOOL_POLL_S", 0.01)
    monkeypatch.setattr(periodic_tasks, "TIMERS_S", 0.01)
    spool = BrokenSpool(manager, "nowhere")
    spool.error = error
    tasks = make_tasks(manager, spool)
    with caplog.at_level(logging.WARNING, periodic_tasks.__name__):
        tasks.start()
        wait_until(lambda: spool.n_calls > 3, "several failures")
        with PresenceManager(manager.db_path) as other:
            other.update_presence("a", "prompt")
        wait_until(lambda: "a" in manager.snapshot(), "the other server's write")
        wait_until(
            lambda: manager.snapshot()["a"].status is PresenceStatus.IDLE, "the idle timeout"
        )
        tasks.stop()
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("spool: ")
    assert "disk removed" in caplog.text


def test_failing_task_is_logged_again_after_a_success(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only repeated failures in a row are silent."""
    monkeypatch.setattr(periodic_tasks, "SPOOL_POLL_S", 0.0)
    results = iter([OSError("one"), OSError("one"), None, OSError("two")])
    failed_again = threading.Event()

    class FlakySpool(SpoolReader):
        def read(self) -> int:
            result = next(results, None)
            if result is None:
                return 0
            if str(result) == "two":
                failed_again.set()
            raise result

    tasks = make_tasks(manager, FlakySpool(manager, "nowhere"))
    tasks.start()
    assert failed_again.wait(15)
    tasks.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["spool: one", "spool: two"]


def test_retention_lets_other_tasks_run_between_steps(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool is read, and writes of other servers, between two steps of deletion."""
    old = datetime.now(UTC) - timedelta(days=9)
    for _ in range(12):
        manager.ingest([Event(agent_id="a", timestamp=old, source="test")] * 2_000)
    monkeypatch.setattr(periodic_tasks, "SPOOL_POLL_S", 0.0)
    monkeypatch.setattr(retention, "RETENTION_STEP_S", 0.001)
    manager.ingest([Event(agent_id="a", source="test")])
    sizes: list[int] = []

    class CountingSpool(SpoolReader):
        def read(self) -> int:
            sizes.append(len(history_rows(manager.db_path)))
            return 0

    tasks = make_tasks(manager, CountingSpool(manager, "nowhere"), retain_s=86_400.0)
    tasks.start()
    wait_until(lambda: sizes and sizes[-1] < 2_000, "the deletion of the old rows")
    tasks.stop()
    assert len(set(sizes)) > 4, "all rows were deleted in one run"


def test_background_tasks_are_listed_in_the_documentation(manager: PresenceManager) -> None:
    """The table in the docstring has exactly the tasks of a server, with their intervals."""
    config = Config(db=manager.db_path, retain_s=60.0, seal=True)
    lock = LeaderLock(manager.db_path)
    local_agents = LocalAgents(config, manager)
    server = make_background_tasks(
        config, manager, lock, local_agents, "spool.jsonl", Backfiller(None), SpanTranslator()
    )
    tasks = {task.name: task for thread in server._threads for task in thread._tasks}
    table = (periodic_tasks.__doc__ or "").split("\n=")[2].splitlines()[1:]
    rows = {row[:15].strip(): row[15:27].strip() for row in table}
    assert list(rows) == list(tasks)
    for name, interval in rows.items():
        if interval != "variable":
            value, unit = interval.split()
            assert float(value) * {"ms": 0.001, "s": 1.0}[unit] == tasks[name].interval_s


def test_periodic_task_returns_the_next_interval() -> None:
    """A float that the task returns replaces the interval; a disabled task is not called."""
    results = iter([0.25, None, 7])
    task = PeriodicTask("x", 5.0, lambda: next(results), lambda: True)
    assert [task.run_once() for _ in range(3)] == [0.25, 5.0, 5.0]
    task.enabled = lambda: False
    assert task.run_once() == 5.0


def test_wake_during_a_run_causes_another_run() -> None:
    """A report that arrives while a source is being polled is not missed."""
    started, proceed, n_runs = threading.Event(), threading.Event(), 0

    def run() -> None:
        nonlocal n_runs
        n_runs += 1
        started.set()
        assert proceed.wait(15)

    thread = TaskThread("test", [PeriodicTask("x", 3_600.0, run, lambda: True)])
    thread.start()
    assert started.wait(15)
    thread.wake()
    proceed.set()
    wait_until(lambda: n_runs == 2, "the second run")
    thread.stop()


_LOADS_PRICES = """
import sys
from htmlgraph_nb.pricing import price_list
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background.leader_lock import LeaderLock
from htmlgraph_server.background.periodic_tasks import BackgroundTasks
from tests.helpers.wait import wait_until

with PresenceManager(sys.argv[1]) as manager:
    tasks = BackgroundTasks(manager, LeaderLock(manager.db_path))
    assert not price_list._table.cache_info().currsize
    tasks.start()
    wait_until(lambda: price_list._table.cache_info().currsize, "the prices")
    tasks.stop()
    assert "genai_prices" not in sys.modules
"""


def test_background_tasks_load_prices_before_the_first_event(tmp_path: Path) -> None:
    """The first event with a price delays no other, and the package stays out of the server."""
    command = [sys.executable, "-c", _LOADS_PRICES, str(tmp_path / "h.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_timers_start_again_after_the_machine_slept(tmp_path: Path) -> None:
    """On waking no agent is idle at once; then silence counts as usual. A slow tick is no pause."""
    now = datetime(2025, 1, 14, tzinfo=UTC)
    with PresenceManager(str(tmp_path / "s.db"), clock=lambda: now) as manager:
        timers = Timers(manager, lambda: now.timestamp())

        def status_after(seconds: float) -> str:
            nonlocal now
            now += timedelta(seconds=seconds)
            timers.run()
            return manager.agents["a"].status.value

        timers.run()
        manager.ingest([Event(agent_id="a", event_type="prompt", timestamp=now)])
        for _ in range(100):
            assert status_after(periodic_tasks.TIMERS_S) == "active"
        assert status_after(100_000) == "active"
        for _ in range(59):
            assert status_after(5) == "active"
        assert status_after(5) == "idle"
        assert status_after(100_000) == "idle"
        types = [kind for (kind,) in history_rows(manager.db_path, "event_type")]
        assert types == ["prompt", "resumed", "idle", "resumed"]
