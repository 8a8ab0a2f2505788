"""Import past sessions of coding agents from their session files, each event once.

Imported events are history: they add to the totals and never make a past agent look active. A file
is read and stored in small parts, so that memory and transactions stay small for files of any size.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from ..coding_agents.session import GIVE_UP_AFTER_S
from ..core.changes import ImportResult
from ..core.model import AgentPresence, Event
from ..errors import StoreUnavailable
from ..presence import PresenceManager
from ..storage.file_table import FileStamp
from .event_buffer import EventBuffer
from .file_facts import FileFacts
from .import_order import stamp_of
from .live_processes import LiveSessions
from .session_end import closing_events
from .session_files import OnBytes, SessionFile
from .session_origin import SessionOrigins
from .session_tail import open_tail, why_no_session

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 20
"""Bytes of a file that are read at once."""
MAX_UNREADABLE = 1_000
_MAX_EMPTY = 100
"""Files without events that are stored as imported in one transaction: each commit costs the server
more than such a file."""
_TRANSACTION_S = 0.004
"""Time for which a transaction should keep other writers waiting."""
_MIN_PART, _MAX_PART = 20, 1_000
_RETRY_S = 1.0

Pause = Callable[[float], object]
"""Called after each transaction with its duration in seconds."""


@dataclass(slots=True)
class ImportCounts:
    """The numbers of imported events.

    Attributes:
        accepted: events that are new in the database.
        already_stored: events that were in the database before.
        covered: events left out because another source has reported them.
    """

    accepted: int = 0
    already_stored: int = 0
    covered: int = 0


@dataclass(slots=True)
class ImportReport(ImportCounts):
    """The result of an import of session files.

    Attributes:
        files: number of session files that were read.
        n_broken: number of lines that are not JSON objects.
        broken: the first of them in each file, as ``path:line``; at most MAX_UNREADABLE.
        unreadable: path → reason of the session files that could not be read, or only in part; at
            most MAX_UNREADABLE.
    """

    files: int = 0
    n_broken: int = 0
    broken: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


class SessionImporter:
    """Imports session files into a database; importing a file again changes nothing.

    Call ``finish`` after the last file.

    Sessions that the older project's database has reported are not read from their files again.

    Args:
        manager: the open database; used for nothing else meanwhile.
        now: the current time, UTC.
        live: which sessions have a process; None: unknown.
        titles: keep generated titles.
        pause: called after each transaction, so that it can let others write; None: no pause.

    Attributes:
        report: the result so far.
    """

    def __init__(
        self,
        manager: PresenceManager,
        now: datetime,
        *,
        live: LiveSessions | None = None,
        titles: bool = True,
        pause: Pause | None = None,
    ) -> None:
        self._manager = manager
        self._now = now
        self._live = live or LiveSessions()
        self._titles = titles
        self._pause = pause
        self._part = _MIN_PART
        # Path → stamp of the files without events that are not stored as imported yet.
        self._empty: dict[str, FileStamp] = {}
        self._legacy_sessions = SessionOrigins(manager.db_path, legacy=True)
        self.report = ImportReport()

    def import_file(self, file: SessionFile, on_bytes: OnBytes | None = None) -> None:
        """Import one file, up to the size that it has in ``file`` if it still grows.

        Raises:
            CapacityError, StoreError: the database cannot store the events; the rest of the file is
                not imported.
        """
        tail = open_tail(file, titles=self._titles)
        is_quiet = self._now.timestamp() - file.modified >= GIVE_UP_AFTER_S
        facts = FileFacts.of(file)
        buffer = EventBuffer()
        done = has_events = False
        try:
            for event in tail.read_to(file.size, part_bytes=READ_BYTES, on_bytes=on_bytes):
                has_events = True
                buffer.add(facts.add_to(event))
                if events := buffer.ready():
                    self._store(self._uncovered(events))
            for event in tail.finish() if is_quiet else ():
                buffer.add(facts.add_to(event))
            last = buffer.finish()
            if has_events or last:
                self._store_last(last, file, is_quiet)
            else:
                self._add_empty(file, is_quiet)
            done = True
            if problem := tail.problem or (None if has_events else why_no_session(tail)):
                self._add_unreadable(file, problem)
        except OSError as error:
            self._add_unreadable(file, error.strerror or str(error))
            return
        finally:
            if not done:
                self._manager.discard_import()
        self.report.files += 1
        self.report.n_broken += tail.n_broken
        lines = [f"{file.path}:{line}" for line in tail.broken]
        self.report.broken += lines[: MAX_UNREADABLE - len(self.report.broken)]

    def finish(self) -> None:
        """Store which files without events were imported; raises as ``import_file``."""
        if self._empty:
            self._write(partial(self._manager.import_events, [], None, self._empty))
            self._empty = {}

    def _add_empty(self, file: SessionFile, is_final: bool) -> None:
        if is_final and file.mtime_ns:
            self._empty[file.path] = stamp_of(file)
        if len(self._empty) >= _MAX_EMPTY:
            self.finish()

    def _add_unreadable(self, file: SessionFile, reason: str) -> None:
        if len(self.report.unreadable) < MAX_UNREADABLE:
            self.report.unreadable[file.path] = reason

    def _store(self, events: Sequence[Event]) -> None:
        start = 0
        while start < len(events):
            part = events[start : start + self._part]
            self._write(partial(self._manager.import_events, part))
            start += len(part)

    def _store_last(self, events: Sequence[Event], file: SessionFile, is_final: bool) -> None:
        uncovered = self._uncovered(events)
        n_last = min(self._part, len(uncovered))
        self._store(uncovered[: len(uncovered) - n_last])

        def end(presences: Sequence[AgentPresence]) -> list[Event]:
            return closing_events(presences, file.path, self._live, self._manager.limits, self._now)

        is_known = is_final and file.mtime_ns
        files = {file.path: stamp_of(file)} if is_known else None
        last = uncovered[len(uncovered) - n_last :]
        self._write(partial(self._manager.import_events, last, end, files))

    def _write(self, write: Callable[[], ImportResult]) -> None:
        while True:
            start = time.monotonic()
            try:
                result = write()
                break
            except StoreUnavailable as error:
                # Locked by another process, or the disk is full: both may last for hours.
                if self._pause is None:
                    raise
                logger.debug("waiting for the database: %s", error)
                self._pause(_RETRY_S)
        elapsed_s = time.monotonic() - start
        self.report.accepted += result.accepted
        self.report.already_stored += result.already_stored
        self.report.covered += result.duplicates
        if self._pause is None:
            self._part = _MAX_PART
            return
        growth = 2.0 if elapsed_s < _TRANSACTION_S / 2 else _TRANSACTION_S / elapsed_s
        self._part = min(max(round(self._part * min(growth, 1.5)), _MIN_PART), _MAX_PART)
        self._pause(elapsed_s)

    def _uncovered(self, events: Sequence[Event]) -> list[Event]:
        uncovered = self._legacy_sessions.not_covered(events)
        self.report.covered += len(events) - len(uncovered)
        return uncovered


def import_sessions(
    manager: PresenceManager,
    files: Sequence[SessionFile],
    now: datetime,
    on_bytes: Callable[[int], object] | None = None,
    *,
    titles: bool = True,
) -> ImportReport:
    """Import session files in the given order and return the result; raises as SessionImporter."""
    importer = SessionImporter(manager, now, titles=titles)
    for file in files:
        importer.import_file(file, on_bytes)
    importer.finish()
    return importer.report
