"""Coding agents' session files on this machine: which there are, whose they are, what is new.

It reads files line by line, in bounded memory, and leaves what the lines mean to the readers of
``connectors``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from ..coding_agents.agent import CodingAgent
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import SessionReader, record_of
from ..core.model import Event
from ..core.validation import shorten
from ..errors import InvalidEvent

MAX_LINE_BYTES = 64 << 20
"""A longer line is passed over as broken; images in a session make lines of a few MiB."""
_SNIFFED_LINES = 20
_MARK_BYTES = 64

OnBytes = Callable[[int], object]
"""Called with the bytes that were read since the last call."""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """One session file.

    Attributes:
        agent: whose it is, one of AGENTS.
        size: bytes; modified: seconds since 1970.
    """

    path: str
    agent: str
    size: int
    modified: float


def coding_agent(name: str) -> CodingAgent:
    """Return the agent of this name; InvalidEvent if there is none."""
    agent = AGENTS.get(name)
    if agent is None:
        raise InvalidEvent(
            f"agent is {shorten(str(name))}, expected one of {', '.join(AGENTS)}", "agent"
        )
    return agent


def find_sessions(
    path: str | os.PathLike[str], agent: str | None = None
) -> tuple[list[SessionFile], list[str]]:
    """Return the session files under a folder, and the files that are none.

    Files of subagents come after all others, and older ones first, so that what a later file
    repeats is met first where it was written first.

    Args:
        path: a folder, searched to any depth, or one file; ``~`` is the home folder.
        agent: whose sessions; None: any of AGENTS, told by the first lines of each file.

    Raises:
        InvalidEvent: there is nothing at ``path``, or ``agent`` is unknown.
    """
    root = os.path.expanduser(os.fspath(path))
    if agent is not None:
        coding_agent(agent)
    if not os.path.exists(root):
        raise InvalidEvent(
            f"there is no {shorten(root, 200)}; name the folder in which the agent keeps its "
            "sessions, as ~/.claude/projects or ~/.codex/sessions",
            "path",
        )
    found, others = [], []
    for name in _candidates(root):
        try:
            whose = agent_of(name)
            state = os.stat(name)
        except OSError:
            others.append(name)
            continue
        if whose is None:
            others.append(name)
        elif agent in (None, whose):
            found.append(SessionFile(name, whose, state.st_size, state.st_mtime))
    found.sort(key=lambda file: (_is_of_subagent(file.path), file.modified, file.path))
    return found, sorted(others)


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
            line = file.readline(MAX_LINE_BYTES)
            if not line:
                return None
            try:
                record = record_of(line) if path.endswith(".jsonl") else record_of(_whole(file))
            except InvalidEvent:
                continue
            for agent in AGENTS.values():
                if agent.is_session_record(record):
                    return agent.name
    return None


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(MAX_LINE_BYTES)


@dataclass(slots=True)
class SessionTail:
    """Reads a session file from where it stopped the last time.

    Attributes:
        offset: bytes that were read; n_lines: whole lines in them.
        broken: numbers of the lines that are no JSON objects or longer than MAX_LINE_BYTES, counted
            from 1.
        unfinished: whether the file ends in a part of a line, which is read once it is whole.
        behind: whether the last call stopped before the end of the file.
    """

    file: SessionFile
    offset: int = 0
    n_lines: int = 0
    broken: list[int] = field(default_factory=list)
    unfinished: bool = False
    behind: bool = False
    _reader: SessionReader | None = None
    _mark: bytes = b""

    def read(
        self, *, final: bool = False, on_bytes: OnBytes | None = None, max_bytes: int | None = None
    ) -> Iterator[Event]:
        """Yield the events of what was added to the file since the last call.

        A file that has become shorter, or has another text where the last call ended, is read anew.

        Args:
            final: yield what waits for a line that may still come, too.
            max_bytes: stop at the first end of a line after so many bytes; None: at the end of the
                file.

        Raises:
            OSError: the file cannot be read.
        """
        with open(self.file.path, "rb", buffering=1 << (20 if max_bytes is None else 16)) as file:
            reader = self._reader
            if reader is None or self._is_document() or not self._goes_on(file):
                reader = self._reader = AGENTS[self.file.agent].session_reader(self.file.path)
                self.offset = self.n_lines = 0
                self.broken = []
            file.seek(self.offset)
            self.unfinished = self.behind = False
            end = None if max_bytes is None else self.offset + max_bytes
            for line in self._lines(file, on_bytes):
                self.n_lines += 1
                try:
                    yield from reader.feed(line) if line else ()
                except InvalidEvent:
                    self.broken.append(self.n_lines)
                if end is not None and self.offset >= end:
                    self.behind = True
                    break
        if final:
            yield from reader.finish()

    def _goes_on(self, file: BinaryIO) -> bool:
        """Whether the file still has the text before the offset that was read there."""
        if file.seek(0, os.SEEK_END) < self.offset:
            return False
        file.seek(self.offset - len(self._mark))
        return file.read(len(self._mark)) == self._mark

    @property
    def quiets(self) -> tuple[float, ...]:
        """Seconds without a new byte at which ``settle`` can have news, ascending."""
        return () if self._reader is None else self._reader.QUIET_THRESHOLDS_S

    def settle(self, quiet_s: float) -> list[Event]:
        """Return what is certain because nothing was added to the file for ``quiet_s`` seconds."""
        return [] if self._reader is None else self._reader.settle(quiet_s)

    def finish(self) -> list[Event]:
        """Return what waits for a line that may no longer come."""
        return [] if self._reader is None else self._reader.finish()

    def _is_document(self) -> bool:
        return self.file.path.endswith(".json")

    def _lines(self, file: BinaryIO, on_bytes: OnBytes | None) -> Iterator[bytes]:
        """Yield whole lines without their ends; ``b"\\0"`` stands for one that is too long."""
        read = file.read if self._is_document() else file.readline
        while raw := read(MAX_LINE_BYTES):
            n_bytes = len(raw)
            last = b""
            too_long = n_bytes == MAX_LINE_BYTES and not raw.endswith(b"\n")
            while too_long and (last := read(MAX_LINE_BYTES)):
                n_bytes += len(last)
                if last.endswith(b"\n") and not self._is_document():
                    break
            if not too_long and not raw.endswith(b"\n") and not _is_json(raw):
                self.unfinished = True
                return
            self.offset += n_bytes
            self._mark = (last if too_long and last else raw)[-_MARK_BYTES:]
            if on_bytes is not None:
                on_bytes(n_bytes)
            yield b"\0" if too_long else raw.strip()


def _is_json(line: bytes) -> bool:
    """Whether the last line of a file, which has no end, is whole all the same."""
    try:
        record_of(line)
    except InvalidEvent:
        return False
    return True


def total_bytes(files: Sequence[SessionFile]) -> int:
    """Return the size of all files together."""
    return sum(file.size for file in files)
