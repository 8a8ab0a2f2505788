"""Find the session files of coding agents on this machine and recognize their agent."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..coding_agents.agent import CodingAgent
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import parse_record, split_records
from ..core.validation import shorten
from ..errors import InvalidEvent
from ..paths import open_regular
from .databases.database_tail import ROW_BYTES
from .databases.found_databases import FoundSession, databases_in, stored_sessions
from .files.decompression import DecompressedStream
from .files.session_names import compression_of, plain_path
from .files.session_roots import folder_names, own_folders
from .files.session_walk import walk_sessions

MAX_RECORD_BYTES = 64 << 20
"""Longer lines are skipped as broken; images in a session make lines of a few MiB."""
_SNIFFED_LINES = 20
_MAX_SPARSE_RATIO = 1_000
"""Size of a file in units of what the disk stores of it from which it is not read."""

OnBytes = Callable[[int], object]
"""Called with the number of bytes read since the last call."""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """One session file.

    Attributes:
        agent: one of AGENTS.
        size: in bytes; modified: seconds since 1970.
        mtime_ns: ``modified`` in exact nanoseconds; 0: not known.
        session: id of a session in a database, of which ``path`` is ``DATABASE#ID``; None: the file
            is a session.
        parent: id of the session whose subagent a session in a database is.
        folder: working folder of a session in a database.
    """

    path: str
    agent: str
    size: int
    modified: float
    mtime_ns: int = 0
    session: str | None = None
    parent: str | None = None
    folder: str | None = None

    @property
    def stored_in(self) -> str:
        """The path of the file: ``path``, or that of the database."""
        return self.path if self.session is None else self.path[: -len(self.session) - 1]

    @property
    def is_of_subagent(self) -> bool:
        """Whether it is the session of a subagent."""
        return is_of_subagent(self.path) if self.session is None else self.parent is not None


def session_of(found: FoundSession) -> SessionFile:
    """Return a session in a database."""
    stored, database = found.stored, found.database
    return SessionFile(
        f"{database.path}#{stored.session}",
        database.agent,
        stored.n_rows * ROW_BYTES,
        stored.changed_ms / 1e3,
        stored.changed_ms * 1_000_000,
        *(stored.session, stored.parent, stored.folder),
    )


def is_gone(path: str) -> bool:
    """Return whether neither a file nor the database of a session exists any more."""
    return not (os.path.exists(path) or os.path.exists(path.rpartition("#")[0]))


def session_file(path: str, agent: str, state: os.stat_result) -> SessionFile:
    """Return the session file at ``path`` with the size and time in ``state``."""
    return SessionFile(path, agent, state.st_size, state.st_mtime, state.st_mtime_ns)


def sparse_problem(file: BinaryIO) -> str | None:
    """Return why a file is not read of which nearly all is a hole; None: it is not such a file."""
    state = os.fstat(file.fileno())
    size, stored = state.st_size, getattr(state, "st_blocks", state.st_size) * 512
    if size <= MAX_RECORD_BYTES or size <= stored * _MAX_SPARSE_RATIO:
        return None
    # Some file systems do not say what they store; on those no file has holes.
    if os.lseek(file.fileno(), 0, os.SEEK_HOLE) >= size:
        return None
    return f"it is sparse: of {size:,} bytes only {stored:,} are stored"


def coding_agent(name: str) -> CodingAgent:
    """Return the agent of this name; raise InvalidEvent if there is none."""
    agent = AGENTS.get(name)
    if agent is None:
        raise InvalidEvent(
            f"agent: expected one of {', '.join(AGENTS)}, got {shorten(str(name))}", "agent"
        )
    return agent


def find_sessions(
    path: str | os.PathLike[str], agent: str | None = None
) -> tuple[list[SessionFile], dict[str, str]]:
    """Return the session files below a folder, and path → reason of the files that are not read.

    A folder with a session database is not searched for files; each session in it is one.

    Subagents' files come last and older files first, so that an event that several files repeat is
    read from the file that was written first. A file that symbolic links lead to counts once.

    Args:
        path: a folder, searched to any depth, or one file; ``~`` is the home folder.
        agent: only this agent's sessions; None: all of AGENTS, recognized by the first lines.

    Raises:
        InvalidEvent: ``path`` does not exist, or ``agent`` is unknown.
    """
    root = os.path.expanduser(os.fspath(path))
    if agent is not None:
        coding_agent(agent)
    if not os.path.exists(root):
        raise InvalidEvent(
            f"{shorten(root, 200)} does not exist; pass the folder with the agent's sessions, such "
            "as ~/.claude/projects or ~/.codex/sessions",
            "path",
        )
    databases = databases_in(root, agent)
    if databases:
        # Other files of such a folder are no sessions.
        found, skipped = stored_sessions(databases)
        return sorted(map(session_of, found), key=_reading_order), skipped
    skipped = {}
    sessions = []
    for file_path in walk_sessions(root, skipped):
        try:
            file_agent = agent_of(file_path)
            state = os.stat(file_path)
        except OSError as error:
            skipped[file_path] = error.strerror or str(error)
            continue
        if file_agent is None:
            skipped[file_path] = "its first lines are not those of a session of a known agent"
        elif agent in (None, file_agent):
            sessions.append(session_file(file_path, file_agent, state))
    return sorted(sessions, key=_reading_order), skipped


def find_own_sessions(agent: str) -> tuple[list[SessionFile], dict[str, str]]:
    """Return what ``find_sessions`` finds in the folders in which an agent keeps its sessions.

    Raises:
        InvalidEvent: none of them exists, or ``agent`` is unknown.
    """
    coding_agent(agent)
    folders = own_folders(agent)
    if not folder_names(agent):
        raise InvalidEvent(f"{AGENTS[agent].label} has no session files", "agent")
    if not folders:
        raise InvalidEvent(
            f"{folder_names(agent)} does not exist; pass the path of a folder", "path"
        )
    sessions: list[SessionFile] = []
    skipped: dict[str, str] = {}
    for folder in folders:
        found, others = find_sessions(folder, agent)
        sessions += found
        skipped |= others
    # A symbolic link in one can lead to another.
    sessions = list({file.path: file for file in sessions}.values())
    return sorted(sessions, key=_reading_order), skipped


def _reading_order(file: SessionFile) -> tuple[bool, float, str]:
    return file.is_of_subagent, file.modified, file.path


def is_of_subagent(path: str) -> bool:
    """Return whether a session file is that of a subagent, by its path."""
    return "subagents" in path.split(os.sep) or os.path.basename(path).startswith("agent-")


def agent_of(path: str) -> str | None:
    """Return whose session file it is, by its first lines; None if it is none.

    Raises:
        OSError: it cannot be read.
    """
    for record in _first_records(path):
        for agent in AGENTS.values():
            if agent.is_session_record(record):
                return agent.name
    return None


def place_of(file: SessionFile) -> tuple[str | None, str | None]:
    """Return the session id and the folder in which a session began."""
    if file.session is not None:
        return file.session, file.folder
    return session_place(file.path, file.agent)


def session_place(path: str, agent: str) -> tuple[str | None, str | None]:
    """Return the session id and the folder in which a session began, by its first lines."""
    session: str | None = None
    folder: str | None = None
    try:
        for record in _first_records(path):
            names = AGENTS[agent].session_place(record)
            session, folder = session or names[0], folder or names[1]
            if session and folder:
                break
    except OSError:
        # Deleted meanwhile: as good as a file that names neither.
        return None, None
    return session, folder


def _first_records(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of the first lines of a session file, or of its only document."""
    is_lines = plain_path(path).endswith(".jsonl")
    suffix = compression_of(path)
    stream = None if suffix is None else DecompressedStream(suffix)
    with open_regular(path, follow=False) as raw:
        file: BinaryIO | DecompressedStream = raw
        if stream is not None:
            stream.attach(raw)
            file = stream
        if (problem := sparse_problem(raw)) is not None:
            raise OSError(errno.EFBIG, problem, path)
        for number in range(_SNIFFED_LINES if is_lines else 1):
            line = file.readline(MAX_RECORD_BYTES) if is_lines else file.read(MAX_RECORD_BYTES)
            if not line:
                if stream is not None and stream.problem is not None and not number:
                    raise OSError(errno.EINVAL, stream.problem, path)
                return
            try:
                record = parse_record(line)
            except InvalidEvent:
                # Other lines may be readable.
                yield from map(parse_record, split_records(line)[0])
                continue
            yield record


def total_bytes(files: Sequence[SessionFile]) -> int:
    """Return the total size of the files."""
    return sum(file.size for file in files)
