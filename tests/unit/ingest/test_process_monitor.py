"""ProcessMonitor reports the exit of an agent's process, and of no other process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest

from htmlgraph_nb.coding_agents.hook_hints import HookHints
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.ingest import process_monitor
from htmlgraph_nb.ingest.process_monitor import ProcessMonitor, read_process_starts
from htmlgraph_nb.ingest.processes.process_events import process_start
from htmlgraph_nb.ingest.processes.process_ids import ProcessId, find_process
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
    return HookHints(AGENT, SESSION, None, (), False, ((pid, started_at, None),))


def poll(monitor: ProcessMonitor, seconds: float = 0.0) -> list[Event]:
    """Poll now, or some time later."""
    return monitor.poll(datetime.now(UTC) + timedelta(seconds=seconds))


def manager_poll(
    manager: PresenceManager, monitor: ProcessMonitor, seconds: float = 0.0
) -> list[Event]:
    """Poll, and store the events as a server does."""
    events = poll(monitor, seconds)
    manager.ingest(events)
    return events


def test_monitor_tracks_process_seen_by_two_hooks(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A new process is tracked with the second hook; its exit is reported once."""
    monitor = ProcessMonitor(manager.snapshot)
    monitor.on_hook(hints(process.pid))
    assert (poll(monitor), monitor.n_watched) == ([], 0)
    monitor.on_hook(hints(process.pid, time.time()))
    (started,) = manager_poll(manager, monitor)
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


def test_monitor_reports_exit_of_reused_pids(manager: PresenceManager) -> None:
    """A process that started at another time than the agent's is another one."""
    monitor = ProcessMonitor(manager.snapshot)
    monitor.on_hook(hints(os.getpid(), 1_000_000.0))
    (event,) = manager_poll(manager, monitor)
    assert (event.event_type, monitor.n_watched) == ("process_exit", 0)
    assert event.timestamp == manager.agents[AGENT].last_activity
    assert manager.agents[AGENT].status is PresenceStatus.OFFLINE


def test_monitor_chooses_no_shell_of_a_single_hook(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """Of the processes above a hook that just began, the agent is the first that stays."""
    started_at = psutil.Process(process.pid).create_time()
    shell = (2**22 - 1, started_at, None)
    one = HookHints(
        AGENT,
        SESSION,
        None,
        (),
        False,
        (shell, (process.pid, started_at, None), (os.getpid(), None, None)),
        at=started_at + 1,
    )
    monitor = ProcessMonitor(manager.snapshot)
    monitor.on_hook(one)
    assert (poll(monitor), monitor.n_watched) == ([], 0)
    (event,) = poll(monitor, process_monitor.OUTLIVES_S + 2)
    assert event.extra is not None
    assert event.extra["pid"] == process.pid


def test_monitor_reports_exit_of_a_process_known_by_hooks_only(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """The hooks were spooled while no server ran; the agent has been killed since."""
    started_at = psutil.Process(process.pid).create_time()
    process.kill()
    process.wait()
    monitor = ProcessMonitor(manager.snapshot)
    for seconds in (1, 2):
        shell = (2**22 - seconds, started_at + seconds, None)
        chain = (shell, (process.pid, started_at, None))
        at = started_at + seconds
        monitor.on_hook(HookHints(AGENT, SESSION, None, (), False, chain, at=at))
    assert types(manager_poll(manager, monitor)) == ["process_exit"]
    assert manager.agents[AGENT].status is PresenceStatus.OFFLINE


def test_monitor_reports_the_process_of_each_hook(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A first guess, or a session that continues in another process, is replaced in the store."""
    monitor = restarted(manager)
    monitor.on_hook(hints(os.getppid()))
    monitor.on_hook(hints(os.getppid()))
    assert types(manager_poll(manager, monitor)) == ["process_start"]
    monitor.on_hook(hints(process.pid))
    monitor.on_hook(hints(process.pid))
    assert types(manager_poll(manager, monitor)) == ["process_start"]
    process.kill()
    process.wait()
    assert types(manager_poll(manager, restarted(manager))) == ["process_exit"]


def test_monitor_reads_status_files(manager: PresenceManager, tmp_path: Path) -> None:
    """A status file names the process of a session; broken files are ignored."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    status = {"pid": os.getpid(), "sessionId": SESSION, "startedAt": time.time() * 1_000}
    monitor = ProcessMonitor(manager.snapshot, {str(folder): "claude"})
    for content in ("{", "[]", "{}", json.dumps({**status, "startedAt": True})):
        (folder / "1.json").write_text(content)
        assert (poll(monitor), monitor.n_watched) == ([], 0)
    (folder / "2.json").write_text(json.dumps(status))
    assert (types(poll(monitor)), monitor.n_watched) == (["process_start"], 1)


def start_elsewhere(manager: PresenceManager, process: ProcessId) -> None:
    """Store what another process, such as an earlier server, found out about the agent."""
    presence = manager.agents[AGENT]
    manager.ingest([process_start(presence, process, datetime.now(UTC))])
    assert manager.agents[AGENT].alive


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    """Return the identity of a running process."""
    found = find_process(process.pid)
    assert found is not None
    return found


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
    start_elsewhere(manager, ProcessId(pid, 0.0))
    assert [event.event_type for event in poll(restarted(manager))] == ["process_exit"]


@pytest.mark.parametrize("end", ["killed", "reused", "rebooted"])
def test_monitor_reports_exit_while_no_server_ran(
    manager: PresenceManager, process: subprocess.Popen[bytes], end: str
) -> None:
    """After a restart an agent is offline if its process is gone or its pid is reused."""
    known = identity(process)
    assert known.place is not None
    if end == "killed":
        process.kill()
        process.wait()
    elif end == "reused":
        known = known._replace(started_at=known.started_at - 5, ticks=7)
    else:
        machine, _, space = known.place.split(".")
        known = known._replace(place=f"{machine}.{'0' * 12}.{space}")
    start_elsewhere(manager, known)
    (event,) = poll(restarted(manager))
    assert (event.agent_id, event.event_type) == (AGENT, "process_exit")
    manager.ingest([event])
    assert manager.agents[AGENT].status is PresenceStatus.OFFLINE
    assert not manager.agents[AGENT].alive


def test_monitor_continues_to_watch_after_a_restart(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A process that still runs is watched again, and its exit reported."""
    start_elsewhere(manager, identity(process))
    monitor = restarted(manager)
    assert (poll(monitor), monitor.n_watched) == ([], 1)
    process.kill()
    (event,) = wait_until(lambda: poll(monitor), "the exit")
    assert event.event_type == "process_exit"


def test_monitor_keeps_agents_whose_process_it_cannot_see(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """A process of another machine or container has not ended; it just does not count."""
    known = identity(process)
    elsewhere = known._replace(place="another-machine..1")
    start_elsewhere(manager, elsewhere)
    first, second = restarted(manager), restarted(manager)
    assert types(manager_poll(manager, first)) == ["process_lost"]
    presence = manager.agents[AGENT]
    assert (presence.status, presence.alive) == (PresenceStatus.ACTIVE, False)
    # The server that sees it reports it again, and the other one keeps quiet from now on.
    start = process_start(presence, elsewhere, datetime.now(UTC), again=True)
    manager.ingest([start])
    assert manager.agents[AGENT].alive
    assert [manager_poll(manager, first) for _ in range(12)] == [[]] * 12
    assert types(manager_poll(manager, second)) == ["process_lost"]


def test_monitor_reports_a_running_process_again(
    manager: PresenceManager, process: subprocess.Popen[bytes]
) -> None:
    """An event that cancels it, as the mistake of another server, is cancelled in turn."""
    start_elsewhere(manager, identity(process))
    monitor = restarted(manager)
    assert manager_poll(manager, monitor) == []
    for seq, kind in enumerate(["process_lost", "process_exit"] * 2):
        prompt = Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")
        other = Event(agent_id=AGENT, session_id=SESSION, event_type=kind, event_id=str(seq))
        manager.ingest([other, prompt])
        assert not manager.agents[AGENT].alive
        assert types(manager_poll(manager, monitor)) == ["process_start"]
        assert manager.agents[AGENT].alive
    manager.ingest([Event(agent_id=AGENT, session_id=SESSION, event_type="session_end")])
    assert manager_poll(manager, monitor) == []


class StatusFolder:
    """A folder of status files, with the monitor that reads it."""

    def __init__(self, manager: PresenceManager, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "1.json"
        self.manager = manager
        self.monitor = ProcessMonitor(manager.snapshot, {str(folder): "claude"}, None, 300.0)

    def write(self, process: ProcessId, status: str, age_s: float = 60.0, **fields: object) -> None:
        """Write the file as Claude Code does; ``age_s``: since when it has the status."""
        since_ms = (time.time() - age_s) * 1_000
        record = {"pid": process.pid, "sessionId": SESSION, "startedAt": process.started_at * 1_000}
        record |= {"procStart": str(process.ticks), "status": status, "statusUpdatedAt": since_ms}
        self.path.write_text(json.dumps({**record, **fields}))

    def poll(self, seconds: float = 0.0) -> list[str]:
        """Poll and store; return the types of the events."""
        return types(manager_poll(self.manager, self.monitor, seconds))

    @property
    def presence(self) -> AgentPresence:
        """The presence of the agent."""
        return self.manager.agents[AGENT]


@pytest.fixture
def folder(manager: PresenceManager, tmp_path: Path) -> StatusFolder:
    """Return an empty folder of status files."""
    return StatusFolder(manager, tmp_path / "sessions")


def test_status_file_of_a_dead_process_ends_its_session(
    folder: StatusFolder, process: subprocess.Popen[bytes]
) -> None:
    """Also if no server ran before, so that the process was never watched."""
    known = identity(process)
    folder.write(known._replace(ticks=(known.ticks or 0) + 1), "busy")
    assert folder.poll() == ["process_exit"]
    assert folder.presence.status is PresenceStatus.OFFLINE
    assert folder.poll() == []


def test_status_file_of_a_dead_process_waits_for_its_agent(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """The session file is read after the status file."""
    known = identity(process)
    process.kill()
    process.wait()
    with PresenceManager(str(tmp_path / "n.db")) as manager:
        folder = StatusFolder(manager, tmp_path / "sessions")
        folder.write(known, "busy")
        prompt = Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")
        prompt = replace(prompt, timestamp=datetime.now(UTC))
        assert (folder.poll(), folder.monitor.n_watched) == ([], 0)
        manager.ingest([prompt])
        assert folder.poll() == ["process_exit"]


def test_status_file_of_a_dead_process_outlasts_late_events(
    folder: StatusFolder, process: subprocess.Popen[bytes], manager: PresenceManager
) -> None:
    """Lines from before the end are read after it; an event of now is of another process."""
    known = identity(process)
    process.kill()
    process.wait()
    folder.write(known, "busy")
    before = datetime.now(UTC)
    assert folder.poll() == ["process_exit"]
    late = Event(agent_id=AGENT, session_id=SESSION, event_type="tool_start", tool_name="Bash")
    for _ in range(2):
        # The second one has the time of the exit before.
        manager.ingest([replace(late, timestamp=before)])
        assert folder.presence.status is PresenceStatus.ACTIVE
        assert folder.poll(1) == ["process_exit"]
    assert folder.presence.status is PresenceStatus.OFFLINE
    manager.ingest([Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")])
    assert folder.poll(2) == []


def test_status_file_survives_a_step_of_the_clock(
    folder: StatusFolder, process: subprocess.Popen[bytes]
) -> None:
    """A clock that was set forward makes the process seem younger than its session."""
    known = identity(process)
    folder.write(known, "busy", startedAt=(known.started_at - 3_600) * 1_000)
    assert folder.poll() == ["process_start"]
    # Without the start in ticks, as of older versions, the last change of the file decides.
    folder.write(known, "busy", startedAt=(known.started_at - 3_600) * 1_000, procStart=None)
    assert folder.poll() == []
    assert folder.presence.alive


def test_status_file_of_another_container_is_ignored(
    folder: StatusFolder, process: subprocess.Popen[bytes]
) -> None:
    """Its process id means nothing here, whether such a process runs or not."""
    known = identity(process)
    for ticks in (known.ticks, 7):
        other = known._replace(ticks=ticks)
        folder.write(other, "busy", pidDomain="linux:0123456789abcdef:pid:[1]")
        assert (folder.poll(), folder.monitor.n_watched) == ([], 0)


def test_status_file_keeps_a_busy_agent_active(
    folder: StatusFolder, process: subprocess.Popen[bytes], manager: PresenceManager
) -> None:
    """However long it thinks without an event; a single event is stored."""
    folder.write(identity(process), "busy")
    assert folder.poll() == ["process_start"]
    assert folder.poll(149) == []
    assert folder.poll(151) == ["process_busy"]
    assert folder.poll(10_000) == []
    later = replace(manager.limits, idle_timeout_s=0.001)
    assert manager._roster.timers_due(datetime.now(UTC) + timedelta(days=2), later) == []
    assert folder.presence.status is PresenceStatus.ACTIVE


def test_status_file_revives_an_agent_that_a_timer_marked_idle(
    folder: StatusFolder, process: subprocess.Popen[bytes], manager: PresenceManager
) -> None:
    """No server ran for a while, and the process has been busy all the time."""
    idle = Event(agent_id=AGENT, session_id=SESSION, event_type="idle", source="timer")
    manager.ingest([idle])
    folder.write(identity(process), "busy")
    assert [folder.poll(1), folder.poll(1)] == [["process_start"], ["process_busy"]]
    assert (folder.presence.status.value, folder.presence.reason) == (
        "active",
        "its process is busy",
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [("idle", "is at its prompt"), ("shell", "is at its prompt, a background shell runs")],
)
def test_status_file_shows_an_agent_at_its_prompt(
    folder: StatusFolder,
    process: subprocess.Popen[bytes],
    manager: PresenceManager,
    status: str,
    reason: str,
) -> None:
    """After an interrupt that no hook reported, and beside a server that never ends."""
    task = {"task_id": "t"}
    for kind in ("tool_start", "task_start"):
        event = Event(agent_id=AGENT, session_id=SESSION, event_type=kind, tool_name="Bash")
        manager.ingest([replace(event, extra=task)])
    folder.write(identity(process), status, age_s=-1.0)
    assert folder.poll() == ["process_start"]
    assert folder.poll() == []
    assert folder.poll(4) == ["process_idle"]
    assert (folder.presence.status.value, folder.presence.reason) == ("idle", reason)
    assert folder.poll(100) == []
    manager.ingest([Event(agent_id=AGENT, session_id=SESSION, event_type="prompt")])
    assert folder.presence.status is PresenceStatus.ACTIVE


def test_status_file_shows_that_a_question_was_answered(
    folder: StatusFolder, process: subprocess.Popen[bytes], manager: PresenceManager
) -> None:
    """No hook reports the answer; the agent is busy again before its tool has ended."""
    ask = Event(agent_id=AGENT, session_id=SESSION, event_type="permission_request")
    manager.ingest([replace(ask, tool_name="Bash")])
    folder.write(identity(process), "busy")
    assert folder.poll() == ["process_start"]
    assert folder.presence.attention
    folder.write(identity(process), "waiting", age_s=-1.0)
    assert folder.poll(60) == []
    folder.write(identity(process), "busy", age_s=-2.0)
    assert folder.poll(10) == ["process_busy"]
    assert (folder.presence.status.value, folder.presence.attention) == ("active", False)


def test_status_file_that_is_deleted_says_nothing(
    folder: StatusFolder, process: subprocess.Popen[bytes]
) -> None:
    """Other programs sweep the folder while the process runs."""
    folder.write(identity(process), "idle", age_s=-1.0)
    assert folder.poll() == ["process_start"]
    folder.path.unlink()
    assert folder.poll(100) == []
    assert folder.presence.alive
