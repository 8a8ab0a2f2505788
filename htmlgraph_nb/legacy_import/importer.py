"""Import the older HtmlGraph project's database, each event once, and follow it as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from ..core.ids import shorten_id
from ..core.model import Event
from ..core.roster import timer_event
from ..ingest.backfill import ImportCounts
from ..ingest.event_buffer import event_time
from ..ingest.poller import timers_due_since
from ..ingest.session_origin import SessionOrigins
from ..presence import PresenceManager
from ..storage.database import open_reader, select_in, sqlite_errors
from .resources import LegacyResource
from .tail import DatabaseTail, OnRows

_BATCH_SIZE = 5_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class LegacyImportReport(ImportCounts):
    """The result of the imports of one database so far.

    Attributes:
        resources: features, spikes and tracks that are new or have changed.
    """

    resources: int = 0


class LegacyImporter:
    """Imports a database of the older project.

    Args:
        manager: the open database of this project.
        tail: the reader of the older database.

    Attributes:
        report: the result so far.
    """

    def __init__(self, manager: PresenceManager, tail: DatabaseTail) -> None:
        self._manager = manager
        self._tail = tail
        self._other_sessions = SessionOrigins(manager.db_path, legacy=False)
        self.report = LegacyImportReport()

    def import_new(self, now: datetime, on_rows: OnRows | None = None) -> int:
        """Import the rows that were added since the last call; return the number of new items.

        Args:
            now: the current time, UTC.
            on_rows: called with the number of rows read since the last call.

        Raises:
            CapacityError, StoreError: this database cannot store the events, or the older one
                cannot be read; the next call continues after the last stored event.
            InvalidEvent: the file is not a database of the older project.
        """
        before = self.report.accepted + self.report.resources
        items: Iterator[Event | LegacyResource] = self._tail.read(on_rows)
        while batch := list(islice(items, _BATCH_SIZE)):
            self._import_events([item for item in batch if isinstance(item, Event)], now)
            self._import_resources([item for item in batch if isinstance(item, LegacyResource)])
        return self.report.accepted + self.report.resources - before

    def _import_events(self, events: list[Event], now: datetime) -> None:
        # A delegation and its end marker both report the end. Keep the first event of each id.
        events = list({event.event_id: event for event in reversed(events)}.values())[::-1]
        uncovered = self._other_sessions.not_covered(events)
        self.report.covered += len(events) - len(uncovered)
        stored = self._stored_ids(uncovered)
        fresh = [event for event in uncovered if event.event_id not in stored]
        self.report.already_stored += len(uncovered) - len(fresh)
        if fresh:
            timers = timers_due_since(self._manager, fresh, now)
            n_stored_timers = len(self._stored_ids(timers))
            result = self._manager.ingest([*fresh, *timers])
            self.report.accepted += result.accepted - len(timers) + n_stored_timers
            self.report.covered += result.duplicates - n_stored_timers

    def _import_resources(self, resources: Sequence[LegacyResource]) -> None:
        stored = self._stored_ids([resource.event for resource in resources])
        for event, status, payload in resources:
            if event.event_id in stored:
                self.report.already_stored += 1
                continue
            dated, *cleanup = self._without_activity(event)
            self._manager.submit_resource(
                dated.checked(), time.monotonic(), status, payload, cleanup
            ).result()
            self.report.resources += 1

    def _stored_ids(self, events: Sequence[Event]) -> set[str | None]:
        """Return the ids of the events that are in the database."""
        path = self._manager.db_path
        ids = [event.event_id for event in events if event.event_id is not None]
        query = "SELECT event_id FROM events WHERE event_id IN ({})"
        with closing(open_reader(path)) as db, sqlite_errors(path):
            return {row[0] for row in select_in(db, query, ids)}

    def _without_activity(self, event: Event) -> list[Event]:
        """Return events that store a change without making its agent look active.

        The database does not record which agent made the change. The change is therefore dated
        before the agent's last activity, and an agent without other events is removed again.
        """
        presence = self._manager.snapshot().get(event.agent_id)
        at = event_time(event)
        if presence is not None:
            return [replace(event, timestamp=min(at, presence.last_activity - _MICROSECOND))]
        forget = timer_event(event.agent_id, "forget", at, 0.0)
        return [event, replace(forget, event_id=shorten_id(f"{event.event_id}:forget"))]
