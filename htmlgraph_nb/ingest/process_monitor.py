"""The life of agents' processes: a live source that tells when one of them is gone.

Only processes are watched whose id a hook gave, or Claude Code's own status file. A hook is often
started by a shell or a launcher that ends with it, so it tells of all processes above itself, and
the agent's is the nearest that lasts: one that two hook calls had in common, or that was there long
before the hook. An id that a later process has got is told by the time at which the process began.
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

logger = logging.getLogger("htmlgraph.processes")

_SOURCE = "process"
CHECK_S = 1.0
SAME_S = 2.0
"""By how much two readings of the time at which a process began can differ."""
LASTING_S = 10.0
"""Age from which a process above a hook was not started for the hook."""
MAX_PROCESSES = 2_000
MAX_HEARD = 10_000
_MAX_STATUS_BYTES = 65_536
_MAX_STATUS_FILES = 1_000


@dataclass(frozen=True, slots=True)
class _Tracked:
    """An agent's process, and the session that runs in it."""

    process: psutil.Process
    session_id: str


class ProcessMonitor:
    """A live source, see ``sources.LiveSource``: one ``process_exit`` for each agent that is gone.

    Args:
        presences: returns the agents that are known.
        status_dirs: name of an agent → the folder in which it keeps ``<pid>.json`` for each running
            session.
    """

    def __init__(
        self,
        presences: Callable[[], Mapping[str, AgentPresence]],
        status_dirs: Mapping[str, str] | None = None,
    ) -> None:
        self._presences = presences
        self._status_dirs = status_dirs or {}
        self._status_seen: dict[str, int] = {}
        self._heard: deque[HookHints] = deque(maxlen=MAX_HEARD)
        self._met: OrderedDict[tuple[int, float], int] = OrderedDict()
        self._lives: OrderedDict[str, _Tracked] = OrderedDict()

    @property
    def interval_s(self) -> float:
        """Seconds until it should be asked again."""
        return CHECK_S

    @property
    def n_watched(self) -> int:
        """Agents whose process is watched."""
        return len(self._lives)

    def hear(self, told: HookHints) -> None:
        """Take in which processes are above a hook of an agent on this machine; from any thread."""
        if told.ancestors:
            self._heard.append(told)

    def poll(self, now: datetime) -> list[Event]:
        """Return the exits since the last call."""
        while self._heard:
            self._learn(self._heard.popleft(), now.timestamp())
        self._read_status_files()
        gone = [name for name, life in self._lives.items() if not _is_alive(life.process)]
        if not gone:
            return []
        presences = self._presences()
        found = []
        for name in gone:
            life = self._lives.pop(name)
            presence = presences.get(name)
            if presence is not None and presence.status is not PresenceStatus.OFFLINE:
                found.append(_exit(name, life, now))
        return found

    def _learn(self, told: HookHints, now: float) -> None:
        for pid, began in told.ancestors:
            process = _process(pid)
            if process is None:
                continue
            created = _began(process)
            if created is None or (began is not None and abs(created - began) > SAME_S):
                continue
            key = pid, created
            times = self._met[key] = self._met.pop(key, 0) + 1
            if len(self._met) > MAX_HEARD:
                self._met.popitem(last=False)
            if times > 1 or now - created >= LASTING_S:
                self._keep(told.agent_id, _Tracked(process, told.session_id))
                return

    def _keep(self, agent_id: str, life: _Tracked) -> None:
        self._lives[agent_id] = life
        self._lives.move_to_end(agent_id)
        if len(self._lives) > MAX_PROCESSES:
            self._lives.popitem(last=False)

    def _read_status_files(self) -> None:
        seen: dict[str, int] = {}
        for agent, folder in self._status_dirs.items():
            try:
                names = [name for name in os.listdir(folder) if name.endswith(".json")]
            except OSError:
                # The agent was never run here, or its version writes no status files.
                continue
            for name in names[:_MAX_STATUS_FILES]:
                path = os.path.join(folder, name)
                try:
                    state = os.lstat(path)
                    seen[path] = state.st_mtime_ns
                    if stat.S_ISREG(state.st_mode) and self._status_seen.get(path) != seen[path]:
                        self._take_status(agent, path)
                except (OSError, ValueError) as error:
                    logger.debug("%s is not read: %s", path, error)
        self._status_seen = seen

    def _take_status(self, agent: str, path: str) -> None:
        with open(path, "rb") as file:
            told = json.loads(file.read(_MAX_STATUS_BYTES))
        if not isinstance(told, dict):
            return
        pid, session, started = (told.get(name) for name in ("pid", "sessionId", "startedAt"))
        if type(pid) is not int or not isinstance(session, str) or not session:
            return
        process = _process(pid)
        created = None if process is None else _began(process)
        if process is None or created is None or not isinstance(started, int | float):
            return
        # The file of a process that is gone can name an id that another has got since.
        if created > started / 1_000 + SAME_S:
            return
        agent_id = agent_id_of(session, agent)
        for presence in self._presences().values():
            if presence.session_id == session and presence.parent_agent_id is None:
                agent_id = presence.agent_id
        self._keep(agent_id, _Tracked(process, session))


def _exit(agent_id: str, life: _Tracked, now: datetime) -> Event:
    pid, began = life.process.pid, _began(life.process) or 0.0
    return Event(
        agent_id=agent_id,
        event_type="process_exit",
        timestamp=now,
        session_id=life.session_id,
        event_id=f"exit:{pid}:{began:.2f}:{agent_id}"[:256],
        source=_SOURCE,
    )


def _process(pid: int) -> psutil.Process | None:
    # Loaded by the first process that is heard of: many servers never hear of one.
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _began(process: psutil.Process) -> float | None:
    import psutil

    try:
        return process.create_time()
    except psutil.Error:
        return None


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        # What is only left for its parent to take note of has ended.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
