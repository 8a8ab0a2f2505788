"""The older HtmlGraph project's database into this one: each fact once, now or as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from ..core.ids import shorten_id
from ..core.model import Event
from ..core.roster import timer_event
from ..core.timestamps import from_micros
from ..ingest.backfill import ingest_backfill, stored_ids
from ..ingest.session_origin import SessionOrigins
from ..presence import PresenceManager
from .resources import LegacyResource
from .tail import DatabaseTail, OnRows

_BATCH_EVENTS = 5_000
"""Most events of one transaction."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class LegacyImportReport:
    """What imports of one database did so far.

    Attributes:
        accepted: events that are new; known: those that were there already.
        told: events that were left out because hooks, session files or telemetry tell of that time.
        resources: features, spikes and tracks of which something is new.
    """

    accepted: int = 0
    known: int = 0
    told: int = 0
    resources: int = 0


class LegacyImporter:
    """Puts what a database of the older project holds into this one.

    Args:
        manager: the open database of this project.
        tail: the other's.
    """

    def __init__(self, manager: PresenceManager, tail: DatabaseTail) -> None:
        self._manager = manager
        self._tail = tail
        self._others = SessionOrigins(manager.db_path, by_older=False)
        self.report = LegacyImportReport()

    def take(self, now: datetime, on_rows: OnRows | None = None) -> int:
        """Import what is new since the last call, and return how much that was.

        Args:
            now: the present time, UTC.

        Raises:
            CapacityError, StoreError: this database cannot take it, or the other cannot be read;
                what was read is stored, and the next call goes on.
            InvalidEvent: the other is no database of that project.
        """
        before = self.report.accepted + self.report.resources
        found: Iterator[Event | LegacyResource] = self._tail.read(on_rows)
        while part := list(islice(found, _BATCH_EVENTS)):
            self._take_events([one for one in part if isinstance(one, Event)], now)
            self._take_resources([one for one in part if isinstance(one, LegacyResource)])
        return self.report.accepted + self.report.resources - before

    def _take_events(self, events: list[Event], now: datetime) -> None:
        # A delegation and the marker of its end tell of one end.
        events = list({event.event_id: event for event in reversed(events)}.values())[::-1]
        untold = self._others.untold(events)
        report = self.report
        report.told += len(events) - len(untold)
        stored = stored_ids(self._manager.db_path, untold)
        fresh = [event for event in untold if event.event_id not in stored]
        accepted, told = ingest_backfill(self._manager, fresh, now)
        report.accepted += accepted
        report.told += told
        report.known += len(untold) - len(fresh)

    def _take_resources(self, resources: Sequence[LegacyResource]) -> None:
        stored = stored_ids(self._manager.db_path, [one.event for one in resources])
        for event, status, payload in resources:
            if event.event_id in stored:
                self.report.known += 1
                continue
            told, *after = self._unproving(event)
            self._manager.submit_resource(
                told.checked(), time.monotonic(), status, payload, after
            ).result()
            self.report.resources += 1

    def _unproving(self, event: Event) -> list[Event]:
        """Return the event as one that proves no work: who changes a feature is not told.

        It comes before the last sign of its agent; an agent that is not known is forgotten again.
        """
        presence = self._manager.snapshot().get(event.agent_id)
        at = event.timestamp or from_micros(0)
        if presence is not None:
            return [replace(event, timestamp=min(at, presence.last_activity - _MICROSECOND))]
        forgotten = timer_event(event.agent_id, "forget", at, 0.0)
        return [event, replace(forgotten, event_id=shorten_id(f"{event.event_id}:forget"))]
