"""Read a session file line by line, in bounded memory, each time from the last position.

The readers in ``coding_agents`` convert the lines to events.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ..coding_agents.input_key import hash_input
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import SessionReader, parse_record
from ..coding_agents.titles import drop_generated_titles
from ..core.model import Event
from ..errors import InvalidEvent
from .session_files import MAX_RECORD_BYTES, OnBytes, SessionFile, open_regular

MAX_BROKEN = 1_000
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
        n_broken: number of lines that are not JSON objects or are longer than MAX_RECORD_BYTES.
        broken: the numbers, from 1, of the first MAX_BROKEN of them.
        unfinished: whether the file ends in a partial line, which is read once it is complete.
        behind: whether the last call stopped before the end of the file.
    """

    file: SessionFile
    titles: bool = True
    offset: int = 0
    n_lines: int = 0
    n_broken: int = 0
    broken: list[int] = field(default_factory=list)
    unfinished: bool = False
    behind: bool = False
    _reader: SessionReader | None = None
    _fingerprint: bytes = b""

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
        with open_regular(self.file.path, 1 << (20 if max_bytes is None else 16)) as file:
            reader = self._reader
            if reader is None or self.is_document or not self._is_continued(file):
                reader = self._reader = AGENTS[self.file.agent].session_reader(
                    self.file.path, hash_input
                )
                self.offset = self.n_lines = self.n_broken = 0
                self.broken = []
            file.seek(self.offset)
            self.unfinished = self.behind = False
            end = None if max_bytes is None else self.offset + max_bytes
            for line in self._lines(file, on_bytes):
                self.n_lines += 1
                try:
                    yield from self._filtered(reader.feed(line)) if line else ()
                except InvalidEvent:
                    self.n_broken += 1
                    if self.n_broken <= MAX_BROKEN:
                        self.broken.append(self.n_lines)
                if end is not None and self.offset >= end:
                    self.behind = True
                    break
        if final:
            yield from self._filtered(reader.finish())

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
        return self.file.path.endswith(".json")

    def _lines(self, file: BinaryIO, on_bytes: OnBytes | None) -> Iterator[bytes]:
        """Yield the complete lines without their line ends."""
        read = file.read if self.is_document else file.readline
        while raw := read(MAX_RECORD_BYTES):
            n_bytes = len(raw)
            last = b""
            too_long = n_bytes == MAX_RECORD_BYTES and not raw.endswith(b"\n")
            while too_long and (last := read(MAX_RECORD_BYTES)):
                n_bytes += len(last)
                if last.endswith(b"\n") and not self.is_document:
                    break
            if not too_long and not raw.endswith(b"\n") and not _is_complete(raw):
                self.unfinished = True
                return
            self.offset += n_bytes
            self._fingerprint = (last if too_long and last else raw)[-_FINGERPRINT_BYTES:]
            if on_bytes is not None:
                on_bytes(n_bytes)
            yield _TOO_LONG if too_long else raw.strip()


def _is_complete(line: bytes) -> bool:
    """Return whether the last line of a file, which has no line end, is complete."""
    try:
        parse_record(line)
    except InvalidEvent:
        return False
    return True
