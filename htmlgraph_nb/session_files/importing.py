"""Past sessions of coding agents, from their own files into the database, each fact once.

What is imported is history: it adds to totals and never makes an agent look active that is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..connectors.fields import fit
from ..connectors.session import copy_key, supersedes
from ..model import Event
from ..presence import PresenceManager
from ..storage.store import open_reader, translated
from ..times import from_micros
from .closing import closings, stored_ids
from .files import OnBytes, SessionFile, SessionTail

QUIET_S = 600.0
"""Seconds after which nothing more is expected of an answer that is the last line of its file."""
SKEW = timedelta(seconds=5)
"""By how much the line of a file can be earlier than what a hook tells of the same."""
MAX_EVENTS = 20_000
"""Most events of one transaction; a session has seldom more."""

_TOLD_BY_OTHERS = """
SELECT session.name, type.name = 'completion', min(e.ts) FROM events e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type
    LEFT JOIN names source ON source.id = e.source
WHERE source.name IS NULL OR (source.name NOT LIKE '%-session' AND source.name <> 'timer')
GROUP BY 1, 2
"""


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        files: session files that were read; unreadable: those that could not be.
        accepted: events that are new in the database; known: those that were there already.
        told: events that were left out because hooks or telemetry tell of that time.
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

    A session of which something else than its file has told, such as hooks, keeps what that told:
    from then on only the answers are taken from the file, or all but the answers, whichever was
    not told.

    Args:
        manager: the open database.
        now: the present time, UTC.
    """

    def __init__(self, manager: PresenceManager, now: datetime) -> None:
        self._manager = manager
        self._now = now
        self._since = _told_since(manager.db_path)
        self._seen: set[str] = set()
        self.report = ImportReport()

    def take(self, file: SessionFile, on_bytes: OnBytes | None = None) -> None:
        """Import one file.

        Raises:
            CapacityError, StoreError: the database cannot take it; nothing of the rest happened.
        """
        tail = SessionTail(file)
        quiet = self._now.timestamp() - file.modified >= QUIET_S
        report = self.report
        try:
            events = final_events(tail.read(final=quiet, on_bytes=on_bytes))
        except OSError:
            report.unreadable.append(file.path)
            return
        report.files += 1
        report.broken += [f"{file.path}:{line}" for line in tail.broken]
        events = self._not_told(events)
        stored = stored_ids(self._manager.db_path, events)
        fresh = [event for event in events if event.event_id not in stored]
        report.known += len(events) - len(fresh)
        for start in range(0, len(fresh), MAX_EVENTS):
            part = fresh[start : start + MAX_EVENTS]
            self._manager.ingest([*part, *closings(self._manager, part, self._now)])
            report.accepted += len(part)

    def _not_told(self, events: Sequence[Event]) -> list[Event]:
        """Return what neither an earlier file of this import nor another source has told."""
        found = []
        for event in events:
            key = copy_key(event)
            since = self._since.get((event.session_id or "", event.event_type == "completion"))
            if since is not None and _at(event) >= since - SKEW:
                self.report.told += 1
            elif key is None or key not in self._seen:
                found.append(event)
                if key is not None:
                    self._seen.add(key)
        return found


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
    nameless: Counter[str] = Counter()
    for event in events:
        key = event.event_id
        if key is None:
            name = f"{event.agent_id}:{event.event_type}:{_at(event).isoformat()}"
            nameless[name] += 1
            key = fit(f"{name}:{nameless[name]}")
            kept[key] = replace(event, event_id=key)
        elif key not in kept or supersedes(event, kept[key]):
            kept[key] = event
    return sorted(kept.values(), key=_at)


def _at(event: Event) -> datetime:
    return event.timestamp or from_micros(0)


def _told_since(path: str) -> dict[tuple[str, bool], datetime]:
    """Return session and whether it is about answers → since when others than files tell of it."""
    with closing(open_reader(path)) as db, translated(path):
        rows = db.execute(_TOLD_BY_OTHERS).fetchall()
    return {(session, bool(answers)): from_micros(ts) for session, answers, ts in rows}
