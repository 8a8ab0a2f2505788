"""ProcessMonitor reports the exit of an agent's process, and of no other process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest

from htmlgraph_nb.coding_agents.hook_hints import HookHints
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.ingest import process_monitor
from htmlgraph_nb.ingest.process_monitor import ProcessMonitor, read_process_starts
from htmlgraph_nb.ingest.session_end import process_start
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.wait import wait_until

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
AGENT = "claude-0b9d6f4e"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Yield an open database with one active agent."""
    with PresenceManager(str(tmp_path / "h.db")) as opened:
        opened.ingest([Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")])
        yield opened


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that runs until it is killed."""
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        yield child
        child.kill()


def types(events: list[Event]) -> list[str]:
    """Return the types of events."""
    return [event.event_type for event in events]


def hints(pid: int, started_at: float | None = None) -> HookHints:
    """Return the hints of a hook below a process."""
    return HookHints(AGENT, SESSION, None, (), False, ((pid, started_at),))


def poll(monitor: ProcessMonitor) -> list[Event]:
    """Poll now."""
    return monitor.poll(datetime.now(UTC))


def test_monitor_tracks_process_seen_by_two_hooks(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A new process is tracked with the second hook; its exit is reported once."""
    monitor = ProcessMonitor(manager.snapshot)
    monitor.on_hook(hints(process.pid))
    assert (poll(monitor), monitor.n_watched) == ([], 0)
    monitor.on_hook(hints(process.pid, time.time()))
    (started,) = poll(monitor)
    assert (started.agent_id, started.event_type) == (AGENT, "process_start")
    assert started.extra is not None
    assert (started.extra["pid"], started.checked().source) == (process.pid, "process")
    assert (poll(monitor), monitor.n_watched) == ([], 1)
    # Not reaped yet: a zombie counts as exited.
    process.kill()
    (event,) = wait_until(lambda: poll(monitor), "the exit")
    assert (event.agent_id, event.event_type) == (AGENT, "process_exit")
    assert (event.session_id, event.checked().source) == (SESSION, "process")
    assert (poll(monitor), monitor.n_watched) == ([], 0)


def test_monitor_tracks_long_lived_process_at_once(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is older than LONG_LIVED_S was not started for the hook."""
    monkeypatch.setattr(process_monitor, "LONG_LIVED_S", 0.0)
    monitor = ProcessMonitor(manager.snapshot)
    monitor.on_hook(hints(os.getpid()))
    assert (types(poll(monitor)), monitor.n_watched) == (["process_start"], 1)


def test_monitor_ignores_reused_pids(manager: PresenceManager) -> None:
    """A process that started at another time than the reported one is not tracked."""
    monitor = ProcessMonitor(manager.snapshot)
    for _ in range(2):
        monitor.on_hook(hints(os.getpid(), 1_000_000.0))
    assert (poll(monitor), monitor.n_watched) == ([], 0)


def test_monitor_reads_status_files(manager: PresenceManager, tmp_path: Path) -> None:
    """A status file names the process of a session; stale and broken files are ignored."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    status = {"pid": os.getpid(), "sessionId": SESSION, "startedAt": time.time() * 1_000}
    monitor = ProcessMonitor(manager.snapshot, {"claude": str(folder)})
    stale = {**status, "startedAt": 1_000_000_000}
    for content in ("{", "[]", "{}", json.dumps(stale)):
        (folder / "1.json").write_text(content)
        assert (poll(monitor), monitor.n_watched) == ([], 0)
    (folder / "2.json").write_text(json.dumps(status))
    assert (types(poll(monitor)), monitor.n_watched) == (["process_start"], 1)


def start_elsewhere(manager: PresenceManager, pid: int, started_at: float) -> None:
    """Store what another process, such as an earlier server, found out about the agent."""
    presence = manager.agents[AGENT]
    manager.ingest([process_start(presence, pid, started_at, datetime.now(UTC))])
    assert manager.agents[AGENT].alive


def restarted(manager: PresenceManager) -> ProcessMonitor:
    """Return the monitor of a new server on the database."""
    return ProcessMonitor(manager.snapshot, {}, partial(read_process_starts, manager.db_path))


def test_monitor_waits_for_unknown_agent(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    """The start is reported once the agent is known, and once only."""
    with PresenceManager(str(tmp_path / "n.db")) as manager:
        monitor = ProcessMonitor(manager.snapshot)
        for _ in range(2):
            monitor.on_hook(hints(process.pid))
        assert (poll(monitor), monitor.n_watched) == ([], 1)
        manager.ingest([Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")])
        manager.ingest(poll(monitor))
        assert manager.agents[AGENT].alive
        assert manager.agents[AGENT].detail == "working"
        assert poll(monitor) == []


@pytest.mark.parametrize("pid", [-1, 2**31, 2**62])
def test_monitor_treats_an_impossible_pid_as_an_exit(manager: PresenceManager, pid: int) -> None:
    """Any program can send a ``process_start`` with any number."""
    start_elsewhere(manager, pid, 0.0)
    assert [event.event_type for event in poll(restarted(manager))] == ["process_exit"]


@pytest.mark.parametrize("offset_s", [None, -5.0])
def test_monitor_reports_exit_while_no_server_ran(
    manager: PresenceManager, process: subprocess.Popen[bytes], offset_s: float | None
) -> None:
    """After a restart an agent is offline if its process is gone or its pid is reused."""
    created = psutil.Process(process.pid).create_time()
    start_elsewhere(manager, process.pid, created + (offset_s or 0.0))
    if offset_s is None:
        process.kill()
        process.wait()
    (event,) = poll(restarted(manager))
    assert (event.agent_id, event.event_type) == (AGENT, "process_exit")
    manager.ingest([event])
    assert manager.agents[AGENT].status is PresenceStatus.OFFLINE
    assert not manager.agents[AGENT].alive


def test_monitor_continues_to_watch_after_a_restart(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A process that still runs is watched again, and its exit reported."""
    start_elsewhere(manager, process.pid, psutil.Process(process.pid).create_time())
    monitor = restarted(manager)
    assert (poll(monitor), monitor.n_watched) == ([], 1)
    process.kill()
    (event,) = wait_until(lambda: poll(monitor), "the exit")
    assert event.event_type == "process_exit"
