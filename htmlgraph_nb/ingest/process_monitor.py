"""Watch the processes of agents: a polled source that reports when one of them exits.

Process ids come from hooks and from the agents' own status files. A shell or launcher often
starts a hook and ends with it, so a hook reports all processes above itself. The agent's process is
the nearest of them that two hook calls have in common or that started well before the hook. The
start time shows whether a process id has been reused.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..coding_agents.hook_hints import HookHints
from ..core.ids import agent_id_of
from ..core.model import AgentPresence, Event, PresenceStatus

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger(__name__)

_SOURCE = "process"
CHECK_INTERVAL_S = 1.0
START_TIME_TOLERANCE_S = 2.0
"""Seconds by which two readings of a process's start time can differ."""
LONG_LIVED_S = 10.0
"""Age in seconds from which a process above a hook counts as not started for the hook."""
MAX_PROCESSES = 2_000
MAX_SIGHTINGS = 10_000
_MAX_STATUS_BYTES = 65_536
_MAX_STATUS_FILES = 1_000


@dataclass(frozen=True, slots=True)
class _Tracked:
    """An agent's process and the session that runs in it."""

    process: psutil.Process
    session_id: str


class ProcessMonitor:
    """Returns one ``process_exit`` event for each agent whose process ended; see PolledSource.

    Args:
        presences: returns the known agents by id.
        status_dirs: agent → the folder in which it writes a ``<pid>.json`` for each running
            session.
    """

    def __init__(
        self,
        presences: Callable[[], Mapping[str, AgentPresence]],
        status_dirs: Mapping[str, str] | None = None,
    ) -> None:
        self._presences = presences
        self._status_dirs = status_dirs or {}
        self._status_mtimes: dict[str, int] = {}
        self._hints: deque[HookHints] = deque(maxlen=MAX_SIGHTINGS)
        self._sightings: OrderedDict[tuple[int, float], int] = OrderedDict()
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()

    @property
    def interval_s(self) -> float:
        """Seconds until the next poll."""
        return CHECK_INTERVAL_S

    @property
    def n_watched(self) -> int:
        """Number of agents whose process is watched."""
        return len(self._tracked)

    def on_hook(self, hints: HookHints) -> None:
        """Record the processes above a hook on this machine. Thread-safe."""
        if hints.ancestors:
            self._hints.append(hints)

    def poll(self, now: datetime) -> list[Event]:
        """Return the exits since the last call."""
        while self._hints:
            self._read_hints(self._hints.popleft(), now.timestamp())
        self._read_status_files()
        exited = [
            agent_id
            for agent_id, tracked in self._tracked.items()
            if not _is_alive(tracked.process)
        ]
        if not exited:
            return []
        presences = self._presences()
        events = []
        for agent_id in exited:
            tracked = self._tracked.pop(agent_id)
            presence = presences.get(agent_id)
            if presence is not None and presence.status is not PresenceStatus.OFFLINE:
                events.append(_exit_event(agent_id, tracked, now))
        return events

    def _read_hints(self, hints: HookHints, now: float) -> None:
        for pid, started_at in hints.ancestors:
            process = _process(pid)
            if process is None:
                continue
            created = _start_time(process)
            if created is None:
                continue
            if started_at is not None and abs(created - started_at) > START_TIME_TOLERANCE_S:
                continue
            key = pid, created
            n_sightings = self._sightings[key] = self._sightings.pop(key, 0) + 1
            if len(self._sightings) > MAX_SIGHTINGS:
                self._sightings.popitem(last=False)
            if n_sightings > 1 or now - created >= LONG_LIVED_S:
                self._track(hints.agent_id, _Tracked(process, hints.session_id))
                return

    def _track(self, agent_id: str, tracked: _Tracked) -> None:
        self._tracked[agent_id] = tracked
        self._tracked.move_to_end(agent_id)
        if len(self._tracked) > MAX_PROCESSES:
            self._tracked.popitem(last=False)

    def _read_status_files(self) -> None:
        mtimes: dict[str, int] = {}
        for agent, folder in self._status_dirs.items():
            try:
                names = [name for name in os.listdir(folder) if name.endswith(".json")]
            except OSError:
                # The agent never ran here, or its version writes no status files.
                continue
            for name in names[:_MAX_STATUS_FILES]:
                path = os.path.join(folder, name)
                try:
                    state = os.lstat(path)
                    mtime = mtimes[path] = state.st_mtime_ns
                    if stat.S_ISREG(state.st_mode) and self._status_mtimes.get(path) != mtime:
                        self._read_status_file(agent, path)
                except (OSError, ValueError) as error:
                    logger.debug("cannot read status file %s: %s", path, error)
        self._status_mtimes = mtimes

    def _read_status_file(self, agent: str, path: str) -> None:
        with open(path, "rb") as file:
            status = json.loads(file.read(_MAX_STATUS_BYTES))
        if not isinstance(status, dict):
            return
        pid, session, started_ms = (status.get(key) for key in ("pid", "sessionId", "startedAt"))
        if type(pid) is not int or not isinstance(session, str) or not session:
            return
        process = _process(pid)
        created = None if process is None else _start_time(process)
        if process is None or created is None or not isinstance(started_ms, int | float):
            return
        # The file may be stale: a process that started later has reused the pid.
        if created > started_ms / 1_000 + START_TIME_TOLERANCE_S:
            return
        agent_id = agent_id_of(session, agent)
        for presence in self._presences().values():
            if presence.session_id == session and presence.parent_agent_id is None:
                agent_id = presence.agent_id
        self._track(agent_id, _Tracked(process, session))


def _exit_event(agent_id: str, tracked: _Tracked, now: datetime) -> Event:
    pid, created = tracked.process.pid, _start_time(tracked.process) or 0.0
    return Event(
        agent_id=agent_id,
        event_type="process_exit",
        timestamp=now,
        session_id=tracked.session_id,
        event_id=f"exit:{pid}:{created:.2f}:{agent_id}"[:256],
        source=_SOURCE,
    )


def _process(pid: int) -> psutil.Process | None:
    # Imported with the first reported process: many servers never need it.
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _start_time(process: psutil.Process) -> float | None:
    import psutil

    try:
        return process.create_time()
    except psutil.Error:
        return None


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        # Treat a zombie as exited.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
