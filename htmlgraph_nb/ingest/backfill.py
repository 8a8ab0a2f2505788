"""Import past sessions of coding agents from their session files, each event once.

Imported events are history: they add to the totals and never make a past agent look active.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..coding_agents.session import GIVE_UP_AFTER_S
from ..core.dedup import supersedes
from ..core.ids import shorten_id
from ..core.model import Event
from ..presence import PresenceManager
from ..storage.database import open_reader, sqlite_errors
from .poller import MAX_BATCH_EVENTS, event_time, timers_due_since
from .session_files import OnBytes, SessionFile
from .session_origin import SessionOrigins
from .session_tail import SessionTail

_IDS_PER_QUERY = 500


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
        unreadable: paths of the session files that could not be read.
        broken: lines that are not JSON objects, as ``path:line``.
    """

    files: int = 0
    broken: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class SessionImporter:
    """Imports session files into a database; importing a file again changes nothing.

    Sessions that the older project's database has reported are not read from their files again.

    Args:
        manager: the open database.
        now: the current time, UTC.

    Attributes:
        report: the result so far.
    """

    def __init__(self, manager: PresenceManager, now: datetime) -> None:
        self._manager = manager
        self._now = now
        self._legacy_sessions = SessionOrigins(manager.db_path, legacy=True)
        self.report = ImportReport()

    def import_file(self, file: SessionFile, on_bytes: OnBytes | None = None) -> None:
        """Import one file.

        Raises:
            CapacityError, StoreError: the database cannot store the events; the rest of the file is
                not imported.
        """
        tail = SessionTail(file)
        is_quiet = self._now.timestamp() - file.modified >= GIVE_UP_AFTER_S
        report = self.report
        try:
            events = final_events(tail.read(final=is_quiet, on_bytes=on_bytes))
        except OSError:
            report.unreadable.append(file.path)
            return
        report.files += 1
        report.broken += [f"{file.path}:{line}" for line in tail.broken]
        import_events(self._manager, self._legacy_sessions, events, self._now, report)


def import_events(
    manager: PresenceManager,
    origins: SessionOrigins,
    events: Sequence[Event],
    now: datetime,
    counts: ImportCounts,
) -> None:
    """Store past events, except those already stored or covered, and add to the counts.

    Args:
        origins: the sessions of which another source has reported events; they are left out.
        now: the current time, UTC.
    """
    uncovered = origins.not_covered(events)
    counts.covered += len(events) - len(uncovered)
    stored = stored_ids(manager.db_path, uncovered)
    fresh = [event for event in uncovered if event.event_id not in stored]
    counts.already_stored += len(uncovered) - len(fresh)
    for start in range(0, len(fresh), MAX_BATCH_EVENTS):
        batch = fresh[start : start + MAX_BATCH_EVENTS]
        timers = timers_due_since(manager, batch, now)
        n_stored_timers = len(stored_ids(manager.db_path, timers))
        result = manager.ingest([*batch, *timers])
        counts.accepted += result.accepted - len(timers) + n_stored_timers
        counts.covered += result.duplicates - n_stored_timers


def import_sessions(
    manager: PresenceManager,
    files: Sequence[SessionFile],
    now: datetime,
    on_bytes: Callable[[int], object] | None = None,
) -> ImportReport:
    """Import session files in the given order and return the result; raises as SessionImporter."""
    importer = SessionImporter(manager, now)
    for file in files:
        importer.import_file(file, on_bytes)
    return importer.report


def final_events(events: Iterable[Event]) -> list[Event]:
    """Return each event of a file once, completions with their final counts, sorted by time.

    Events without an id get an id that is the same each time the file is read.
    """
    final: dict[str, Event] = {}
    ids = EventIds()
    for event in map(ids.with_id, events):
        key = str(event.event_id)
        if key not in final or supersedes(event, final[key]):
            final[key] = event
    return sorted(final.values(), key=event_time)


class EventIds:
    """Assigns ids to the events of one file that have no id."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def with_id(self, event: Event) -> Event:
        """Return the event with an id that is the same each time the file is read."""
        if event.event_id is not None:
            return event
        name = f"{event.agent_id}:{event.event_type}:{event_time(event).isoformat()}"
        self._counts[name] += 1
        return replace(event, event_id=shorten_id(f"{name}:{self._counts[name]}"))


def stored_ids(path: str, events: Sequence[Event]) -> set[str | None]:
    """Return the ids of the events that are in the database at ``path``."""
    ids = [event.event_id for event in events if event.event_id is not None]
    stored: set[str | None] = set()
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for start in range(0, len(ids), _IDS_PER_QUERY):
            batch = ids[start : start + _IDS_PER_QUERY]
            marks = ", ".join("?" * len(batch))
            query = f"SELECT event_id FROM events WHERE event_id IN ({marks})"
            stored.update(event_id for (event_id,) in db.execute(query, batch))
    return stored
