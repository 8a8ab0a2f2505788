"""Find the session files of coding agents on this machine and recognize their agent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ..coding_agents.agent import CodingAgent
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import parse_record
from ..core.validation import shorten
from ..errors import InvalidEvent

MAX_RECORD_BYTES = 64 << 20
"""Longer lines are skipped as broken; images in a session make lines of a few MiB."""
_SNIFFED_LINES = 20

OnBytes = Callable[[int], object]
"""Called with the number of bytes read since the last call."""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """One session file.

    Attributes:
        agent: one of AGENTS.
        size: in bytes; modified: seconds since 1970.
    """

    path: str
    agent: str
    size: int
    modified: float


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
) -> tuple[list[SessionFile], list[str]]:
    """Return the session files below a folder, and the files that are not sessions.

    Subagents' files come last and older files first, so that an event that several files repeat is
    read from the file that was written first.

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
    sessions, others = [], []
    for file_path in _candidates(root):
        try:
            file_agent = agent_of(file_path)
            state = os.stat(file_path)
        except OSError:
            others.append(file_path)
            continue
        if file_agent is None:
            others.append(file_path)
        elif agent in (None, file_agent):
            sessions.append(SessionFile(file_path, file_agent, state.st_size, state.st_mtime))
    sessions.sort(key=lambda file: (_is_of_subagent(file.path), file.modified, file.path))
    return sessions, sorted(others)


def _candidates(root: str) -> Iterator[str]:
    if os.path.isfile(root):
        yield root
        return
    for folder, _, names in os.walk(root):
        for name in names:
            is_old_gemini = name.startswith("session-") and name.endswith(".json")
            if name.endswith(".jsonl") or is_old_gemini:
                yield os.path.join(folder, name)


def _is_of_subagent(path: str) -> bool:
    return "subagents" in path.split(os.sep) or os.path.basename(path).startswith("agent-")


def agent_of(path: str) -> str | None:
    """Return whose session file it is, by its first lines; None if it is none.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        for _ in range(_SNIFFED_LINES):
            line = file.readline(MAX_RECORD_BYTES)
            if not line:
                return None
            try:
                record = (
                    parse_record(line) if path.endswith(".jsonl") else parse_record(_whole(file))
                )
            except InvalidEvent:
                continue
            for agent in AGENTS.values():
                if agent.is_session_record(record):
                    return agent.name
    return None


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(MAX_RECORD_BYTES)


def total_bytes(files: Sequence[SessionFile]) -> int:
    """Return the total size of the files."""
    return sum(file.size for file in files)
