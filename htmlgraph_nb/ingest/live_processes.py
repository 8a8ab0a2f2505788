"""Find the running process of each session: by status files, open files and working folders.

``find_live`` decides from facts and is pure; the other functions read them. Only processes of this
user are looked at.

The status files are those of Claude Code (2.1.332), which documents them nowhere. ``status`` is
``busy`` during a turn, ``waiting`` while a dialog is open, ``idle`` at the prompt and ``shell`` at
the prompt while a background shell runs; sessions without a terminal have none. ``procStart`` is on
Linux the start in clock ticks since boot, ``pidDomain`` names the machine and the PID namespace.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..coding_agents.registry import AGENTS
from ..coding_agents.session import SessionRoot
from ..core.validation import validate_number
from ..errors import InvalidEvent
from ..paths import open_regular, start_ticks
from .files.session_names import is_session_name
from .processes.process_events import StatusFile
from .processes.process_ids import (
    START_TIME_TOLERANCE_S,
    ProcessId,
    is_local_domain,
    place_of_processes,
)

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger(__name__)

MAX_STATUS_FILES = 1_000
_MAX_STATUS_BYTES = 65_536
_STATUS_WORDS = frozenset({"busy", "waiting", "idle", "shell"})
_INTERPRETERS = frozenset({"node", "bun", "deno"})
_AGENT_OF_COMMAND = {name: agent.name for agent in AGENTS.values() for name in agent.commands}
_AGENT_OF_PACKAGE = {
    f"/{name}/": agent.name for agent in AGENTS.values() for name in agent.packages
}
_WRITE_MODES = frozenset({"w", "a", "r+", "a+"})


class AgentProcess(NamedTuple):
    """A running process of this user that can be an agent's.

    Attributes:
        started_at: in seconds since 1970.
        agent: kind of the agent by the name of the command; None: another program.
        folder: its working folder; None: unknown.
        files: session files that it holds open for writing.
        ticks: start in clock ticks since boot; None: unknown.
    """

    pid: int
    started_at: float
    agent: str | None = None
    folder: str | None = None
    files: frozenset[str] = frozenset()
    ticks: int | None = None

    @property
    def identity(self) -> ProcessId:
        """Which process it is."""
        return ProcessId(self.pid, self.started_at, self.ticks, place_of_processes())


@dataclass(frozen=True, slots=True)
class LocalSession:
    """A session file whose process is looked for.

    Attributes:
        modified: last change of the file, in seconds since 1970.
        folder: returns the folder in which the session began; None: unknown. Called only if needed.
    """

    path: str
    agent: str
    modified: float
    folder: Callable[[], str | None]

    def is_of(self, session_id: str) -> bool:
        """Return whether the name of the file ends in the id of the session."""
        name = os.path.splitext(os.path.basename(self.path))[0]
        # A part of an id would name many sessions.
        return name == session_id or name.endswith(f"-{session_id}")


class LiveSessions(NamedTuple):
    """Which sessions have a process.

    Attributes:
        running: path of a session file → its process.
        gone: paths of the session files whose process is known to have ended.
        elsewhere: paths of those whose process cannot be seen, as in another container.
        agents: the kinds of agents that have any process.
    """

    running: Mapping[str, AgentProcess] = {}
    gone: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()


def find_live(
    sessions: Sequence[LocalSession],
    processes: Sequence[AgentProcess],
    status_files: Mapping[str, Sequence[StatusFile]],
) -> LiveSessions:
    """Return the process of each session that has one.

    A status file names the process, alive or not. Else it is the process that holds the session
    file open for writing. Else it is a process of that agent in the folder of the session that
    started before the last change of the file; in each folder the newest sessions are assigned
    first, and each process to one session.

    Args:
        status_files: agent → its status files.
    """
    running: dict[str, AgentProcess] = {}
    gone: set[str] = set()
    elsewhere: set[str] = set()
    by_pid = {process.pid: process for process in processes}
    newest_first = sorted(sessions, key=lambda session: session.modified, reverse=True)
    for session in newest_first:
        for status in status_files.get(session.agent, ()):
            if not session.is_of(status.session_id):
                continue
            if not status.is_local:
                elsewhere.add(session.path)
            else:
                process = by_pid.get(status.pid)
                if process is not None and is_same_process(process, status):
                    running[session.path] = process
                else:
                    gone.add(session.path)
    gone -= running.keys() | elsewhere
    holders = {path: process for process in processes for path in process.files}
    for session in newest_first:
        if session.path in holders:
            running.setdefault(session.path, holders[session.path])
            gone.discard(session.path)
    taken = {process.pid for process in running.values()}
    for process in sorted(processes, key=lambda process: process.started_at, reverse=True):
        if process.agent is None or process.folder is None or process.pid in taken:
            continue
        for session in newest_first:
            if (
                session.agent == process.agent
                and session.path not in running
                and session.path not in gone
                and session.path not in elsewhere
                and process.started_at <= session.modified
                and session.folder() == process.folder
            ):
                running[session.path] = process
                break
    agents = {process.agent for process in processes if process.agent is not None}
    agents.update(session.agent for session in sessions if session.path in running)
    return LiveSessions(running, frozenset(gone), frozenset(elsewhere), frozenset(agents))


def is_same_process(process: AgentProcess | ProcessId, status: StatusFile) -> bool:
    """Return whether a process with the pid of a status file is the one that wrote it.

    A process that started after the last change of the file has reused the pid. The change counts,
    because Linux computes start times from the current clock, which may have been set meanwhile.
    """
    if process.ticks is not None and status.ticks is not None:
        return process.ticks == status.ticks
    latest = max(status.started_at, status.written_at)
    return process.started_at <= latest + START_TIME_TOLERANCE_S


def read_status_file(path: str) -> StatusFile | None:
    """Return the content of a status file; None: it has another form.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        content = file.read(_MAX_STATUS_BYTES)
        written_at = os.fstat(file.fileno()).st_mtime
    try:
        status = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(status, dict):
        return None
    pid, session = status.get("pid"), status.get("sessionId")
    if type(pid) is not int or not isinstance(session, str) or not session:
        return None
    started_at = _seconds(status.get("startedAt"))
    if started_at is None:
        return None
    ticks, domain, word = (status.get(key) for key in ("procStart", "pidDomain", "status"))
    return StatusFile(
        pid,
        session,
        started_at,
        _ticks(ticks),
        word if isinstance(word, str) and word in _STATUS_WORDS else "",
        _seconds(status.get("statusUpdatedAt")) or 0.0,
        written_at,
        not isinstance(domain, str) or is_local_domain(domain),
    )


def _ticks(text: object) -> int | None:
    """Return the start of a process as Linux counts it; None: another form, as on macOS."""
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return None


def _seconds(millis: object) -> float | None:
    try:
        return validate_number(millis, "time") / 1_000
    except InvalidEvent:
        return None


def status_paths(folder: str) -> list[str]:
    """Return the paths of the first MAX_STATUS_FILES status files in a folder."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        # The agent never ran here, or its version writes no status files.
        return []
    return [os.path.join(folder, name) for name in names[:MAX_STATUS_FILES]]


def read_status_files(folders: Mapping[str, str]) -> dict[str, list[StatusFile]]:
    """Return the status files of each agent that writes some.

    Args:
        folders: folder of status files → agent.
    """
    found: dict[str, list[StatusFile]] = {}
    for folder, agent in folders.items():
        for path in status_paths(folder):
            try:
                status = read_status_file(path)
            except OSError as error:
                logger.debug("cannot read status file %s: %s", path, error)
                continue
            if status is not None:
                found.setdefault(agent, []).append(status)
    return found


def agent_of_command(name: str, arguments: Sequence[str]) -> str | None:
    """Return the kind of agent that a command line starts; None: another program.

    Args:
        name: name of the process.
        arguments: its arguments, the program first.
    """
    words = [name, *arguments[:1]]
    is_script = bool(arguments) and _is_interpreter(_stem(arguments[0]))
    scripts = [word for word in arguments[1:4] if not word.startswith("-")] if is_script else []
    for word in (*words, *scripts[:1]):
        if (agent := _AGENT_OF_COMMAND.get(_stem(word))) is not None:
            return agent
    for script in scripts[:1]:
        path = script.replace(os.sep, "/")
        for folder, agent in _AGENT_OF_PACKAGE.items():
            if folder in path:
                return agent
    return None


def _is_interpreter(name: str) -> bool:
    return name in _INTERPRETERS or name.startswith("python")


def _stem(path: str) -> str:
    name = os.path.basename(path.replace("\\", "/"))
    return name.removesuffix(".exe").removesuffix(".js").removesuffix(".mjs")


def read_processes(roots: Iterable[SessionRoot], pids: Iterable[int] = ()) -> list[AgentProcess]:
    """Return the running processes of this user that are agents or hold session files open.

    Args:
        roots: the folders of session files.
        pids: ids of further processes to return if they run, as those of status files.
    """
    import psutil

    folders = tuple(root.path + os.sep for root in roots)
    wanted = set(pids)
    own = psutil.Process()
    user = own.uids().real if hasattr(own, "uids") else own.username()
    found = []
    for process in psutil.process_iter():
        try:
            owner = process.uids().real if hasattr(process, "uids") else process.username()
            if owner != user or process.pid == own.pid:
                continue
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            agent = agent_of_command(process.name(), process.cmdline())
            files = _written_files(process, folders)
            if agent is not None or files or process.pid in wanted:
                folder = _folder(process)
                started_at, ticks = process.create_time(), start_ticks(process.pid)
                found.append(AgentProcess(process.pid, started_at, agent, folder, files, ticks))
        except psutil.Error:
            # It ended, or belongs to the system.
            continue
    return found


def _written_files(process: psutil.Process, folders: tuple[str, ...]) -> frozenset[str]:
    import psutil

    try:
        files = process.open_files()
    except (psutil.Error, OSError):
        return frozenset()
    return frozenset(
        file.path
        for file in files
        if file.path.startswith(folders)
        and is_session_name(os.path.basename(file.path))
        # A reader such as ``tail -f`` is not the agent. Only Linux knows the mode.
        and getattr(file, "mode", "a") in _WRITE_MODES
    )


def _folder(process: psutil.Process) -> str | None:
    import psutil

    try:
        return os.path.realpath(process.cwd())
    except (psutil.Error, OSError):
        return None
