"""Watch the processes of agents: a polled source that reports their starts, exits and statuses.

Process ids come from hooks, from the agents' own status files, and from the events of earlier
starts, so that a process that ended while no server ran is noticed as well. A shell or launcher
often starts a hook and ends with it, so a hook reports all processes above itself. The agent's
process is the nearest of them that two hook calls have in common or that started well before the
hook, else the nearest that still runs a few seconds later. The start time shows whether a process
id has been reused.

A process that cannot be seen here, as in another container, is not reported as ended. If it was
reported as running, ``process_lost`` cancels that, and silence counts as for any agent whose
process is unknown; a server that sees the process reports it again.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime

from ..coding_agents.hook_hints import HookHints
from ..core.ids import agent_id_of, shorten_id
from ..core.model import AgentPresence, Event, PresenceStatus
from ..core.status_rules import ended_by_timer
from ..core.timestamps import from_micros
from ..storage.database import open_reader, sqlite_errors
from .live_processes import is_same_process, read_status_file, status_paths
from .processes.process_events import (
    StatusFile,
    process_exit,
    process_lost,
    process_start,
    start_ids,
    status_event,
)
from .processes.process_ids import (
    IS_RUNNING,
    IS_UNSEEN,
    ProcessId,
    find_process,
    is_same,
    process_state,
)

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
_ALIVE_CHECKS = 5
"""Polls between two looks at the agents that other processes reported as running."""
_MAX_WAIT_POLLS = 60
"""Polls for which an ended process waits for events of its agent from before its end."""
LONG_LIVED_S = 10.0
"""Age in seconds, when a hook ran, from which a process above it did not start for it."""
OUTLIVES_S = 3.0
"""Seconds after a hook from which a process above it that still runs did not start for it."""
MAX_PROCESSES = 2_000
MAX_SIGHTINGS = 10_000
_LAST_START = """
SELECT extra, ts FROM events
WHERE event_id > ? AND event_id < ? ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ReportedProcess:
    """A process that was reported as running, and when."""

    process: ProcessId
    at: datetime


ProcessStarts = Callable[[Iterable[str]], Mapping[str, ReportedProcess]]
"""Returns, for each of these agents, the process last reported."""


@dataclass(slots=True)
class _Tracked:
    """The process of an agent.

    Attributes:
        session_id: the session that runs in it.
        is_certain: whether a status file or two hooks name it; else it is a guess.
        reported_at: when it was last reported as running; None: it was not.
        is_reported: whether it has been reported as running by this process or an earlier one.
        seen: whether this process has seen it running.
        ended_at: when this process first saw that it has ended; None: it runs.
        n_waits: polls since then.
        status: what its status file says; None: it has none.
        last_id: id of the last event that followed from ``status``.
    """

    process: ProcessId
    session_id: str | None
    is_certain: bool = False
    reported_at: datetime | None = None
    is_reported: bool = False
    seen: bool = False
    ended_at: datetime | None = None
    n_waits: int = 0
    status: StatusFile | None = None
    last_id: str | None = None


class ProcessMonitor:
    """Returns the events about the processes of agents, each once; see PolledSource.

    These are ``process_start``, ``process_exit`` and ``process_lost``, and ``process_busy`` and
    ``process_idle`` where a status file shows what no other source reported.

    Args:
        presences: returns the known agents by id.
        status_dirs: folder in which an agent writes a ``<pid>.json`` for each running session → the
            agent.
        process_starts: returns the processes that were reported before, as by an earlier server;
            None: there are none.
        idle_timeout_s: the idle timer; 0: there is none.
    """

    def __init__(
        self,
        presences: Callable[[], Mapping[str, AgentPresence]],
        status_dirs: Mapping[str, str] | None = None,
        process_starts: ProcessStarts | None = None,
        idle_timeout_s: float = 0.0,
    ) -> None:
        self._process_starts = process_starts
        self._idle_timeout_s = idle_timeout_s
        self._n_polls = 0
        self._presences = presences
        self._status_dirs = status_dirs or {}
        # Path of each status file → when it was changed, and the agent that it names.
        self._status_mtimes: dict[str, int] = {}
        self._status_agents: dict[str, str] = {}
        self._hints: deque[HookHints] = deque(maxlen=MAX_SIGHTINGS)
        # Hooks whose agent's process is not decided yet, by agent.
        self._undecided: OrderedDict[str, HookHints] = OrderedDict()
        # Process id → the process, and the number of hooks below it.
        self._sightings: OrderedDict[int, tuple[ProcessId, int]] = OrderedDict()
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()
        # Agents whose process cannot be seen → that process.
        self._lost: OrderedDict[str, ProcessId | None] = OrderedDict()

    @property
    def interval_s(self) -> float:
        """Seconds until the next poll."""
        return CHECK_INTERVAL_S

    @property
    def n_watched(self) -> int:
        """Number of agents whose process is watched."""
        return sum(tracked.n_waits == 0 for tracked in self._tracked.values())

    def on_hook(self, hints: HookHints) -> None:
        """Record the processes above a hook on this machine. Thread-safe."""
        if hints.ancestors:
            self._hints.append(hints)

    def poll(self, now: datetime) -> list[Event]:
        """Return the events since the last call."""
        events = []
        if self._process_starts is not None and self._n_polls % _ALIVE_CHECKS == 0:
            events += self._track_alive(self._process_starts, now)
        self._n_polls += 1
        self._read_status_files()
        undecided, self._undecided = self._undecided, OrderedDict()
        for hints in undecided.values():
            self._read_hints(hints, now.timestamp(), again=True)
        while self._hints:
            self._read_hints(self._hints.popleft(), now.timestamp())
        presences = self._presences() if self._tracked else {}
        for agent_id, tracked in [*self._tracked.items()]:
            state = process_state(tracked.process)
            if state == IS_UNSEEN:
                continue
            presence = presences.get(agent_id)
            if state == IS_RUNNING:
                tracked.seen = True
                if presence is not None and presence.session_id == tracked.session_id:
                    events += self._follow(tracked, presence, now)
                continue
            tracked.ended_at = tracked.ended_at or now
            tracked.n_waits += 1
            if presence is not None and _is_over(presence, tracked):
                events.append(_exit_event(presence, tracked, now))
            if tracked.n_waits > _MAX_WAIT_POLLS or (presence is not None and tracked.seen):
                del self._tracked[agent_id]
        return events

    def _follow(self, tracked: _Tracked, presence: AgentPresence, now: datetime) -> list[Event]:
        """Return the events that make a presence agree with its running process."""
        is_over = presence.status is PresenceStatus.OFFLINE and not ended_by_timer(presence)
        if not tracked.is_reported or not (presence.alive or is_over):
            again = tracked.is_reported and not presence.alive
            tracked.is_reported, tracked.reported_at = True, now
            return [process_start(presence, tracked.process, now, again=again)]
        if tracked.status is None:
            return []
        event = status_event(presence, tracked.status, self._idle_timeout_s, now)
        if event is None or event.event_id == tracked.last_id:
            return []
        tracked.last_id = event.event_id
        return [event]

    def _track_alive(self, process_starts: ProcessStarts, now: datetime) -> list[Event]:
        """Track the processes of agents that were reported as running by another process."""
        presences = self._presences()
        names = [
            agent_id
            for agent_id, presence in presences.items()
            if presence.alive
            and ((tracked := self._tracked.get(agent_id)) is None or tracked.ended_at is not None)
        ]
        events = []
        reported = process_starts(names) if names else {}
        for agent_id in names:
            presence, start = presences[agent_id], reported.get(agent_id)
            process = None if start is None else start.process
            if start is not None and process_state(start.process) != IS_UNSEEN:
                tracked = _Tracked(start.process, presence.session_id)
                tracked.reported_at, tracked.is_reported = start.at, True
                self._track(agent_id, tracked)
            elif agent_id not in self._lost or self._lost[agent_id] != process:
                # Only once: another server, which sees it, may report it again.
                self._lost[agent_id] = process
                if len(self._lost) > MAX_PROCESSES:
                    self._lost.popitem(last=False)
                events.append(process_lost(presence, process, now))
        return events

    def _read_hints(self, hints: HookHints, now: float, *, again: bool = False) -> None:
        """Track the agent's process among those above a hook.

        Args:
            again: the processes were counted before, as the choice has to wait.
        """
        tracked = self._tracked.get(hints.agent_id)
        if tracked is not None and tracked.is_certain and _is_below(hints, tracked):
            return
        ran_at = hints.at or now
        for pid, started_at, ticks in hints.ancestors:
            try:
                process = find_process(pid)
            except PermissionError:
                continue
            reported = None if started_at is None else ProcessId(pid, started_at, ticks)
            is_running = process is not None and (reported is None or is_same(process, reported))
            if not is_running:
                # It has ended, which matters if it was the agent's.
                process = reported
            if process is None:
                continue
            is_shared = self._count(process, again=again) > 1
            is_old = ran_at - (started_at or process.started_at) >= LONG_LIVED_S
            if is_shared or is_old or (is_running and now - ran_at >= OUTLIVES_S):
                self._track(
                    hints.agent_id, _Tracked(process, hints.session_id, is_certain=is_shared)
                )
                return
            if is_running:
                # The agent just began, or this is a shell that started the hook.
                self._undecided[hints.agent_id] = hints
                if len(self._undecided) > MAX_PROCESSES:
                    self._undecided.popitem(last=False)
                return

    def _count(self, process: ProcessId, *, again: bool) -> int:
        """Return how many hooks have run below a process, the current one included."""
        known, count = self._sightings.pop(process.pid, (process, 0))
        if not is_same(known, process):
            known, count = process, 0
        count += not again or not count
        self._sightings[process.pid] = known, count
        if len(self._sightings) > MAX_SIGHTINGS:
            self._sightings.popitem(last=False)
        return count

    def _track(self, agent_id: str, tracked: _Tracked) -> None:
        before = self._tracked.get(agent_id)
        if before is not None and _continues(before, tracked):
            before.status = tracked.status or before.status
            before.is_certain |= tracked.is_certain
        else:
            self._tracked[agent_id] = tracked
        self._tracked.move_to_end(agent_id)
        if len(self._tracked) > MAX_PROCESSES:
            self._tracked.popitem(last=False)

    def _read_status_files(self) -> None:
        mtimes: dict[str, int] = {}
        for folder, agent in self._status_dirs.items():
            for path in status_paths(folder):
                try:
                    state = os.lstat(path)
                    mtime = mtimes[path] = state.st_mtime_ns
                    if stat.S_ISREG(state.st_mode) and self._status_mtimes.get(path) != mtime:
                        self._read_status_file(agent, path)
                except (OSError, ValueError) as error:
                    logger.debug("cannot read status file %s: %s", path, error)
        for path in self._status_mtimes.keys() - mtimes.keys():
            self._drop_status(path)
        self._status_mtimes = mtimes

    def _drop_status(self, path: str) -> None:
        # Its process has ended, or another program deleted it.
        tracked = self._tracked.get(self._status_agents.pop(path, ""))
        if tracked is not None:
            tracked.status = None

    def _read_status_file(self, agent: str, path: str) -> None:
        status = read_status_file(path)
        if status is not None and status.is_local:
            self._take_status(agent, path, status)

    def _take_status(self, agent: str, path: str, status: StatusFile) -> None:
        process = find_process(status.pid)
        if process is None or not is_same_process(process, status):
            # It has ended: its own start time is not known.
            process = ProcessId(status.pid, status.started_at, status.ticks or 0)
        session = status.session_id
        agent_id = agent_id_of(session, agent)
        for presence in self._presences().values():
            if presence.session_id == session and presence.parent_agent_id is None:
                agent_id = presence.agent_id
        before = self._tracked.get(agent_id)
        is_elsewhere = before is not None and before.process.pid != status.pid
        if process.place is None and before is not None and before.is_certain and is_elsewhere:
            # The session continues in another process.
            return
        self._status_agents[path] = agent_id
        self._track(agent_id, _Tracked(process, session, is_certain=True, status=status))


def _continues(before: _Tracked, tracked: _Tracked) -> bool:
    """Return whether two reports are of one process and session."""
    if (before.process.pid, before.session_id) != (tracked.process.pid, tracked.session_id):
        return False
    return is_same(before.process, tracked.process)


def _is_below(hints: HookHints, tracked: _Tracked) -> bool:
    """Return whether a hook ran below a process."""
    return hints.session_id == tracked.session_id and any(
        pid == tracked.process.pid
        and (started_at is None or is_same(ProcessId(pid, started_at, ticks), tracked.process))
        for pid, started_at, ticks in hints.ancestors
    )


def _is_over(presence: AgentPresence, tracked: _Tracked) -> bool:
    """Return whether the end of a process changes its agent."""
    if presence.session_id != tracked.session_id:
        return False
    if tracked.ended_at is not None and presence.last_activity > tracked.ended_at:
        # It goes on in a process that is not known yet.
        return False
    return presence.alive or presence.status is not PresenceStatus.OFFLINE


def _exit_event(presence: AgentPresence, tracked: _Tracked, now: datetime) -> Event:
    exit_, process = process_exit(presence, tracked.reported_at), tracked.process
    key = f"exit:{process.pid}:{process.started_at:.2f}:{presence.agent_id}"
    if not tracked.seen:
        # Events from before the end may follow, also several at once, and need another exit.
        return replace(exit_, event_id=shorten_id(f"{key}:{presence.seq}"))
    return replace(exit_, timestamp=now, event_id=shorten_id(key))


def read_process_starts(path: str, agent_ids: Iterable[str]) -> dict[str, ReportedProcess]:
    """Return the last reported process of each agent, from a database.

    Agents without such an event are left out.

    Raises:
        StoreError: the database cannot be read.
    """
    found: dict[str, ReportedProcess] = {}
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for agent_id in agent_ids:
            row = db.execute(_LAST_START, start_ids(agent_id)).fetchone()
            extra = None if row is None or row[0] is None else json.loads(row[0])
            if not isinstance(extra, dict):
                continue
            values = map(extra.get, ("pid", "started_at", "ticks", "place"))
            pid, started_at, ticks, place = values
            if type(pid) is not int or not isinstance(started_at, int | float):
                continue
            process = ProcessId(
                pid,
                float(started_at),
                ticks if type(ticks) is int else None,
                place if isinstance(place, str) else None,
            )
            found[agent_id] = ReportedProcess(process, from_micros(row[1]))
    return found
