"""Past sessions of coding agents, from their own files into the database, each fact once.

What is imported is history: it adds to totals and never makes an agent look active that is not.
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
from .poller import MAX_BATCH_EVENTS, event_time, overdue_timers
from .session_files import OnBytes, SessionFile, SessionTail
from .session_origin import SessionOrigins

_IN_STEP = 500


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        files: session files that were read; unreadable: those that could not be.
        accepted: events that are new in the database; known: those that were there already.
        told: events that were left out because hooks or telemetry told the same.
        broken: lines that are no JSON objects, as ``path:line``.
    """

    files: int = 0
    accepted: int = 0
    known: int = 0
    told: int = 0
    broken: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class SessionImporter:
    """Puts sessions into a database, those that are there already once more without effect.

    What hooks or telemetry have told of a session already is not taken from its file again.

    Args:
        manager: the open database.
        now: the present time, UTC.
    """

    def __init__(self, manager: PresenceManager, now: datetime) -> None:
        self._manager = manager
        self._now = now
        self._older = SessionOrigins(manager.db_path, by_older=True)
        self.report = ImportReport()

    def take(self, file: SessionFile, on_bytes: OnBytes | None = None) -> None:
        """Import one file.

        Raises:
            CapacityError, StoreError: the database cannot take it; nothing of the rest happened.
        """
        tail = SessionTail(file)
        quiet = self._now.timestamp() - file.modified >= GIVE_UP_AFTER_S
        report = self.report
        try:
            events = final_events(tail.read(final=quiet, on_bytes=on_bytes))
        except OSError:
            report.unreadable.append(file.path)
            return
        report.files += 1
        report.broken += [f"{file.path}:{line}" for line in tail.broken]
        untold = self._older.untold(events)
        report.told += len(events) - len(untold)
        stored = stored_ids(self._manager.db_path, untold)
        fresh = [event for event in untold if event.event_id not in stored]
        report.known += len(untold) - len(fresh)
        for start in range(0, len(fresh), MAX_BATCH_EVENTS):
            part = fresh[start : start + MAX_BATCH_EVENTS]
            accepted, told = ingest_backfill(self._manager, part, self._now)
            report.accepted += accepted
            report.told += told


def ingest_backfill(
    manager: PresenceManager, events: Sequence[Event], now: datetime
) -> tuple[int, int]:
    """Store events of the past, and return how many are new and how many others told already.

    Args:
        events: those that are not stored.
        now: the present time, UTC.
    """
    closed = overdue_timers(manager, events, now)
    n_known = len(stored_ids(manager.db_path, closed))
    receipt = manager.ingest([*events, *closed])
    return receipt.accepted - len(closed) + n_known, receipt.duplicates - n_known


def import_sessions(
    manager: PresenceManager,
    files: Sequence[SessionFile],
    now: datetime,
    on_bytes: Callable[[int], object] | None = None,
) -> ImportReport:
    """Import session files in their order and return what was done; errors as SessionImporter."""
    importer = SessionImporter(manager, now)
    for file in files:
        importer.take(file, on_bytes)
    return importer.report


def final_events(events: Iterable[Event]) -> list[Event]:
    """Return each event of a file once, an answer with its final counts, in the order of time.

    An event without an id is given one, which it has again when the file is read again.
    """
    kept: dict[str, Event] = {}
    ids = EventIds()
    for event in map(ids.identified, events):
        key = str(event.event_id)
        if key not in kept or supersedes(event, kept[key]):
            kept[key] = event
    return sorted(kept.values(), key=event_time)


class EventIds:
    """Gives ids to the events of one file that have none."""

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()

    def identified(self, event: Event) -> Event:
        """Return the event with an id, which it has again when the file is read again."""
        if event.event_id is not None:
            return event
        name = f"{event.agent_id}:{event.event_type}:{event_time(event).isoformat()}"
        self._known[name] += 1
        return replace(event, event_id=shorten_id(f"{name}:{self._known[name]}"))


def stored_ids(path: str, events: Sequence[Event]) -> set[str | None]:
    """Return the ids of those of the events that are in the database."""
    ids = [event.event_id for event in events if event.event_id is not None]
    found: set[str | None] = set()
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for start in range(0, len(ids), _IN_STEP):
            part = ids[start : start + _IN_STEP]
            marks = ", ".join("?" * len(part))
            text = f"SELECT event_id FROM events WHERE event_id IN ({marks})"
            found.update(event_id for (event_id,) in db.execute(text, part))
    return found
