"""Read a session file line by line, in bounded memory, each time from the last position.

The readers in ``coding_agents`` convert the lines to events. A compressed file is decompressed
while it is read, and read from its start when it changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from ..coding_agents.input_key import hash_input
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import (
    MAX_SIDECAR_BYTES,
    SessionReader,
    SidecarReader,
    feed_parts,
    split_records,
)
from ..coding_agents.titles import drop_generated_titles
from ..core.model import Event
from ..errors import InvalidEvent
from ..paths import open_regular
from .databases.database_tail import StoredTail
from .files.decompression import MAX_RATIO, DecompressedStream
from .files.session_names import compression_of, plain_path
from .session_files import (
    MAX_RECORD_BYTES,
    OnBytes,
    SessionFile,
    agent_of,
    sparse_problem,
)

MAX_BROKEN = 1_000
MAX_SKIPPED_BYTES = 1 << 30
"""Length of a line from which the rest of its file is not read."""
_SKIP_BYTES = 1 << 20
_FINGERPRINT_BYTES = 64
_TOO_LONG = b"\0"
"""Stands for a line that is longer than MAX_RECORD_BYTES; no reader accepts it."""


@dataclass(slots=True)
class SessionTail:
    """Reads the lines that were added to a session file since the last call.

    Args:
        file: the file.
        titles: keep generated titles.

    Attributes:
        offset: number of bytes read so far.
        n_lines: number of complete lines in them.
        n_broken: number of lines with text that is no JSON object, or longer than
            MAX_RECORD_BYTES.
        broken: the numbers, from 1, of the first MAX_BROKEN of them.
        unfinished: whether the file ends in a partial line, which is read once it is complete.
        behind: whether the last call stopped before the end of the file.
        problem: why the last call could not read the rest of the file; None: it could.
    """

    file: SessionFile
    titles: bool = True
    offset: int = 0
    n_lines: int = 0
    n_broken: int = 0
    broken: list[int] = field(default_factory=list)
    unfinished: bool = False
    behind: bool = False
    problem: str | None = None
    _reader: SessionReader | None = None
    _fingerprint: bytes = b""
    _stream: DecompressedStream | None = None
    _stamp: tuple[int, ...] = ()
    _sidecars: dict[str, tuple[int, ...]] | None = None

    def read(
        self, *, final: bool = False, on_bytes: OnBytes | None = None, max_bytes: int | None = None
    ) -> Iterator[Event]:
        """Yield the events that were added to the file since the last call.

        A file that is shorter than before, or differs at the last position, is read from the start.

        Args:
            final: also yield the events that wait for a line that may still be written.
            on_bytes: called after each line with its size.
            max_bytes: stop after the line that reaches this number of bytes; None: no limit.

        Raises:
            OSError: the file cannot be read.
        """
        buffering = min(max_bytes or 1 << 20, 1 << 20)
        with open_regular(self.file.path, buffering, follow=False) as raw:
            self.unfinished = self.behind = False
            self.problem = sparse_problem(raw)
            file = self._positioned(raw)
            reader = self._reader = self._reader or self._new_reader()
            end = None if max_bytes is None else self.offset + max_bytes
            for line in self._lines(file, on_bytes):
                self.n_lines += 1
                try:
                    yield from self._filtered(reader.feed(line)) if line else ()
                except InvalidEvent:
                    events, is_whole = feed_parts(reader, line)
                    yield from self._filtered(events)
                    self.n_broken += not is_whole
                    if not is_whole and self.n_broken <= MAX_BROKEN:
                        self.broken.append(self.n_lines)
                if end is not None and self.offset >= end:
                    self.behind = True
                    break
            if self._stream is not None and not self.behind:
                self.problem = self.problem or self._stream.problem
                self._stream = None
        if not self.behind:
            yield from self._filtered(self._read_sidecars(reader))
        if final:
            yield from self._filtered(reader.finish())

    def read_to(
        self, size: int, *, part_bytes: int, on_bytes: OnBytes | None = None
    ) -> Iterator[Event]:
        """Yield the events of the first ``size`` bytes, so that a file that grows has an end.

        Args:
            size: in bytes, of a compressed file those before decompression.
            part_bytes: number of bytes after which the file is opened again.
            on_bytes: as for ``read``.

        Raises:
            OSError: the file cannot be read.
        """
        if self.is_document:
            yield from self.read(on_bytes=on_bytes)
            return
        is_plain = compression_of(self.file.path) is None
        most = size if is_plain else MAX_RATIO * (size + part_bytes)
        for _ in range(most // part_bytes + 1):
            yield from self.read(on_bytes=on_bytes, max_bytes=part_bytes)
            if not self.behind or (is_plain and self.offset >= size):
                return

    def _positioned(self, raw: BinaryIO) -> BinaryIO | DecompressedStream:
        """Return what to read the next lines from."""
        suffix = compression_of(self.file.path)
        if suffix is None:
            if self._reader is None or self.is_document or not self._is_continued(raw):
                self._restart()
            raw.seek(self.offset)
            return raw
        state = os.fstat(raw.fileno())
        stamp = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        if self._stream is None or stamp != self._stamp:
            self._restart()
            self._stream, self._stamp = DecompressedStream(suffix), stamp
        self._stream.attach(raw)
        return self._stream

    def _restart(self) -> None:
        self._reader = self._new_reader()
        self.offset = self.n_lines = self.n_broken = 0
        self.broken = []
        self._fingerprint = b""
        self._sidecars = None

    def _new_reader(self) -> SessionReader:
        return AGENTS[self.file.agent].session_reader(self.file.path, hash_input)

    def sidecar_stamps(self) -> tuple[int, ...]:
        """Return numbers that change when a further file of the session does; () without any."""
        paths = self._sidecars
        if paths is None:
            paths = self._sidecar_paths()
        return tuple(part for path in paths for part in _stamp_of(path)) if paths else ()

    def _sidecar_paths(self) -> dict[str, tuple[int, ...]]:
        """Return path → stamp at the last read of the further files of the session."""
        if self._sidecars is None:
            paths = AGENTS[self.file.agent].sidecars(self.file.path)
            self._sidecars = dict.fromkeys(paths, ())
        return self._sidecars

    def _read_sidecars(self, reader: SessionReader) -> list[Event]:
        """Return the events of the further files of the session that have changed."""
        events: list[Event] = []
        stamps = self._sidecar_paths()
        for path, before in stamps.items():
            stamp = _stamp_of(path)
            if stamp == before:
                continue
            stamps[path] = stamp
            try:
                with open_regular(path) as file:
                    data = file.read(MAX_SIDECAR_BYTES + 1)
            except OSError:
                # Deleted meanwhile, or not ours to read: the session itself is read all the same.
                continue
            if len(data) <= MAX_SIDECAR_BYTES:
                events += cast(SidecarReader, reader).feed_sidecar(os.path.basename(path), data)
        return events

    def _filtered(self, events: list[Event]) -> list[Event]:
        return events if self.titles else drop_generated_titles(events)

    def _is_continued(self, file: BinaryIO) -> bool:
        """Return whether the bytes before the last position are unchanged."""
        if file.seek(0, os.SEEK_END) < self.offset:
            return False
        file.seek(self.offset - len(self._fingerprint))
        return file.read(len(self._fingerprint)) == self._fingerprint

    @property
    def quiet_thresholds_s(self) -> tuple[float, ...]:
        """Seconds without a new byte, ascending, after which ``on_quiet`` can return events."""
        return () if self._reader is None else self._reader.QUIET_THRESHOLDS_S

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the events that count as complete after ``quiet_s`` seconds without a new byte."""
        return [] if self._reader is None else self._filtered(self._reader.on_quiet(quiet_s))

    def finish(self) -> list[Event]:
        """Return the events that wait for a line that will not be written."""
        return [] if self._reader is None else self._filtered(self._reader.finish())

    @property
    def is_document(self) -> bool:
        """Whether the file is one JSON document, which is rewritten with each change."""
        return plain_path(self.file.path).endswith(".json")

    @property
    def is_rewritten(self) -> bool:
        """Whether a changed file is read from its start."""
        return self.is_document or compression_of(self.file.path) is not None

    def _lines(
        self, file: BinaryIO | DecompressedStream, on_bytes: OnBytes | None
    ) -> Iterator[bytes]:
        """Yield the complete lines without their line ends."""
        read = file.read if self.is_document else file.readline
        stored = self._stream.position if self._stream is not None else 0
        while self.problem is None and (raw := read(MAX_RECORD_BYTES)):
            n_bytes = len(raw)
            too_long = n_bytes == MAX_RECORD_BYTES and not raw.endswith(b"\n")
            if too_long:
                raw = raw[-_FINGERPRINT_BYTES:]
                while part := read(_SKIP_BYTES):
                    n_bytes += len(part)
                    raw = part[-_FINGERPRINT_BYTES:]
                    if part.endswith(b"\n") and not self.is_document:
                        break
                    if n_bytes > MAX_SKIPPED_BYTES:
                        self.problem = f"line {self.n_lines + 1:,} is longer than 1 GiB"
                        return
            elif not raw.endswith(b"\n") and not _is_complete(raw):
                self.unfinished = True
                return
            self.offset += n_bytes
            self._fingerprint = raw[-_FINGERPRINT_BYTES:]
            if self._stream is not None:
                n_bytes, stored = self._stream.position - stored, self._stream.position
            if on_bytes is not None:
                on_bytes(n_bytes)
            yield _TOO_LONG if too_long else raw.strip()


def open_tail(file: SessionFile, *, titles: bool = True) -> SessionTail | StoredTail:
    """Return what reads a session from its start.

    Args:
        titles: keep generated titles.
    """
    if file.session is None:
        return SessionTail(file, titles=titles)
    return StoredTail(file.stored_in, file.agent, file.session, titles=titles)


def why_no_session(tail: SessionTail | StoredTail) -> str | None:
    """Return why a file that was read is not a session; None: it is one, or has no lines yet.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(tail, StoredTail) or not tail.n_lines or agent_of(tail.file.path) is not None:
        return None
    return "its first lines are not those of a session of a known agent"


def _stamp_of(path: str) -> tuple[int, ...]:
    """Return inode, size and time of a file; () if it does not exist."""
    try:
        state = os.stat(path)
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _is_complete(line: bytes) -> bool:
    """Return whether the last line of a file, which has no line end, is complete."""
    return split_records(line)[1]
