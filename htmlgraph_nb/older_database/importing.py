"""The older HtmlGraph project's database into this one: each fact once, now or as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from ..connectors.fields import fit
from ..connectors.htmlgraph import SOURCE
from ..connectors.htmlgraph_resources import Resource
from ..model import Event
from ..presence import PresenceManager
from ..roster import timer_event
from ..session_files.closing import closings, stored_ids
from ..storage.store import open_reader, translated
from ..times import from_micros
from .tail import DatabaseTail, OnRows

MAX_EVENTS = 5_000
"""Most events of one transaction."""
SKEW = timedelta(seconds=5)
"""By how much a row can be earlier than what another source tells of the same."""
_MICROSECOND = timedelta(microseconds=1)
_TOLD_BY_OTHERS = f"""
SELECT session.name, min(e.ts) FROM events e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type
    LEFT JOIN names source ON source.id = e.source
WHERE e.id > ? AND e.id <= ? AND type.name <> 'completion'
    AND (source.name IS NULL OR source.name NOT IN ('timer', '{SOURCE}'))
GROUP BY 1
"""


@dataclass(slots=True)
class DatabaseReport:
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


class DatabaseImporter:
    """Puts what a database of the older project holds into this one.

    Args:
        manager: the open database of this project.
        tail: the other's.
    """

    def __init__(self, manager: PresenceManager, tail: DatabaseTail) -> None:
        self._manager = manager
        self._tail = tail
        # Session → since when others tell of it, as far as the history up to ``_seen`` says.
        self._since: dict[str | None, datetime] = {}
        self._seen = 0
        self.report = DatabaseReport()

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
        found: Iterator[Event | Resource] = self._tail.read(on_rows)
        while part := list(islice(found, MAX_EVENTS)):
            self._take_events([one for one in part if isinstance(one, Event)], now)
            self._take_resources([one for one in part if isinstance(one, Resource)])
        return self.report.accepted + self.report.resources - before

    def _take_events(self, events: list[Event], now: datetime) -> None:
        untold = self._untold(events)
        self.report.told += len(events) - len(untold)
        stored = stored_ids(self._manager.db_path, untold)
        fresh = [event for event in untold if event.event_id not in stored]
        self._manager.ingest([*fresh, *closings(self._manager, fresh, now)])
        self.report.accepted += len(fresh)
        self.report.known += len(untold) - len(fresh)

    def _take_resources(self, resources: Sequence[Resource]) -> None:
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
        return [event, replace(forgotten, event_id=fit(f"{event.event_id}:forget"))]

    def _untold(self, events: Sequence[Event]) -> list[Event]:
        """Return the events of sessions, or of times, of which no other source tells."""
        self._learn_told()
        since = self._since
        return [
            event
            for event in events
            if event.session_id not in since
            or event.event_type == "completion"
            or (event.timestamp or from_micros(0)) < since[event.session_id] - SKEW
        ]

    def _learn_told(self) -> None:
        """Look at what was stored since the last look, by whomever."""
        path = self._manager.db_path
        with closing(open_reader(path)) as db, translated(path):
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
            rows = db.execute(_TOLD_BY_OTHERS, (self._seen, last)).fetchall()
        self._seen = last
        for session, micros in rows:
            at = from_micros(micros)
            self._since[session] = min(at, self._since.get(session, at))
