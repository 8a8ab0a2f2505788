"""Watch the processes of agents: a polled source that reports their starts and exits.

Process ids come from hooks, from the agents' own status files, and from the events of earlier
starts, so that a process that ended while no server ran is noticed as well. A shell or launcher
often starts a hook and ends with it, so a hook reports all processes above itself. The agent's
process is the nearest of them that two hook calls have in common or that started well before the
hook. The start time shows whether a process id has been reused.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..coding_agents.hook_hints import HookHints
from ..core.ids import agent_id_of
from ..core.model import AgentPresence, Event, PresenceStatus
from ..storage.database import open_reader, sqlite_errors
from .live_processes import (
    START_TIME_TOLERANCE_S,
    is_same_process,
    read_status_file,
    status_paths,
)
from .session_end import PROCESS_SOURCE, process_start, start_ids

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
_ALIVE_CHECKS = 5
"""Polls between two looks at the agents that other processes reported as running."""
LONG_LIVED_S = 10.0
"""Age in seconds from which a process above a hook counts as not started for the hook."""
MAX_PROCESSES = 2_000
MAX_SIGHTINGS = 10_000
_LAST_START = """
SELECT json_extract(extra, '$.pid'), json_extract(extra, '$.started_at') FROM events
WHERE event_id > ? AND event_id < ? ORDER BY id DESC LIMIT 1
"""

ProcessStarts = Callable[[Iterable[str]], Mapping[str, tuple[int, float]]]
"""Returns, for each of these agents, id and start time of the process last reported."""


@dataclass(frozen=True, slots=True)
class _Tracked:
    """An agent's process, None if it has ended, and the session that runs in it."""

    process: psutil.Process | None
    session_id: str | None
    pid: int
    started_at: float


class ProcessMonitor:
    """Returns ``process_start`` and ``process_exit`` once for each agent; see PolledSource.

    Args:
        presences: returns the known agents by id.
        status_dirs: agent → the folder in which it writes a ``<pid>.json`` for each running
            session.
        process_starts: returns the processes that were reported before, as by an earlier server;
            None: there are none.
    """

    def __init__(
        self,
        presences: Callable[[], Mapping[str, AgentPresence]],
        status_dirs: Mapping[str, str] | None = None,
        process_starts: ProcessStarts | None = None,
    ) -> None:
        self._process_starts = process_starts
        self._n_polls = 0
        # Agents to report as running, once they are known.
        self._unreported: set[str] = set()
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
        """Return the starts and exits since the last call."""
        while self._hints:
            self._read_hints(self._hints.popleft(), now.timestamp())
        self._read_status_files()
        if self._process_starts is not None and self._n_polls % _ALIVE_CHECKS == 0:
            self._track_alive(self._process_starts)
        self._n_polls += 1
        exited = [
            agent_id
            for agent_id, tracked in self._tracked.items()
            if tracked.process is None or not _is_alive(tracked.process)
        ]
        if not exited and not self._unreported:
            return []
        presences = self._presences()
        events = []
        for agent_id in exited:
            tracked = self._tracked.pop(agent_id)
            presence = presences.get(agent_id)
            self._unreported.discard(agent_id)
            if presence is not None and (
                presence.alive or presence.status is not PresenceStatus.OFFLINE
            ):
                events.append(_exit_event(agent_id, tracked, now))
        for agent_id in [*self._unreported]:
            presence = presences.get(agent_id)
            if presence is not None:
                self._unreported.discard(agent_id)
                tracked = self._tracked[agent_id]
                if not presence.alive:
                    events.append(process_start(presence, tracked.pid, tracked.started_at, now))
        return events

    def _track_alive(self, process_starts: ProcessStarts) -> None:
        """Track the processes of agents that were reported as running by another process."""
        presences = self._presences()
        names = [
            agent_id
            for agent_id, presence in presences.items()
            if presence.alive and agent_id not in self._tracked
        ]
        for agent_id, (pid, started_at) in process_starts(names).items() if names else ():
            process = _process(pid)
            created = None if process is None else _start_time(process)
            if created is None or abs(created - started_at) > START_TIME_TOLERANCE_S:
                process = None
            session = presences[agent_id].session_id
            self._track(agent_id, _Tracked(process, session, pid, started_at))
            self._unreported.discard(agent_id)

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
                self._track(hints.agent_id, _Tracked(process, hints.session_id, pid, created))
                return

    def _track(self, agent_id: str, tracked: _Tracked) -> None:
        before = self._tracked.get(agent_id)
        if before is None or (before.pid, before.session_id) != (tracked.pid, tracked.session_id):
            self._unreported.add(agent_id)
        self._tracked[agent_id] = tracked
        self._tracked.move_to_end(agent_id)
        if len(self._tracked) > MAX_PROCESSES:
            oldest, _ = self._tracked.popitem(last=False)
            self._unreported.discard(oldest)

    def _read_status_files(self) -> None:
        mtimes: dict[str, int] = {}
        for agent, folder in self._status_dirs.items():
            for path in status_paths(folder):
                try:
                    state = os.lstat(path)
                    mtime = mtimes[path] = state.st_mtime_ns
                    if stat.S_ISREG(state.st_mode) and self._status_mtimes.get(path) != mtime:
                        self._read_status_file(agent, path)
                except (OSError, ValueError) as error:
                    logger.debug("cannot read status file %s: %s", path, error)
        self._status_mtimes = mtimes

    def _read_status_file(self, agent: str, path: str) -> None:
        status = read_status_file(path)
        process = None if status is None else _process(status.pid)
        created = None if process is None else _start_time(process)
        # The file may be stale.
        if status is None or created is None or not is_same_process(created, status):
            return
        session = status.session_id
        agent_id = agent_id_of(session, agent)
        for presence in self._presences().values():
            if presence.session_id == session and presence.parent_agent_id is None:
                agent_id = presence.agent_id
        self._track(agent_id, _Tracked(process, session, status.pid, created))


def _exit_event(agent_id: str, tracked: _Tracked, now: datetime) -> Event:
    return Event(
        agent_id=agent_id,
        event_type="process_exit",
        timestamp=now,
        session_id=tracked.session_id,
        event_id=f"exit:{tracked.pid}:{tracked.started_at:.2f}:{agent_id}"[:256],
        source=PROCESS_SOURCE,
    )


def _process(pid: int) -> psutil.Process | None:
    # Imported with the first reported process: many servers never need it.
    import psutil

    try:
        return psutil.Process(pid)
    except (psutil.Error, ValueError, OverflowError):
        # It ended, or a program reported a number that is no pid.
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


def read_process_starts(path: str, agent_ids: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Return id and start time of the last reported process of each agent, from a database.

    Agents without such an event are left out.

    Raises:
        StoreError: the database cannot be read.
    """
    found: dict[str, tuple[int, float]] = {}
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for agent_id in agent_ids:
            row = db.execute(_LAST_START, start_ids(agent_id)).fetchone()
            if row is not None and type(row[0]) is int and isinstance(row[1], int | float):
                found[agent_id] = (row[0], float(row[1]))
    return found
