"""Which sessions the older HtmlGraph project reported, and which came from other sources.

Most tool calls in that project's database share no id with what hooks and session files report. To
count each call once, a session is taken from only one of the two: the first to report it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta

from ..core.model import Event
from ..core.timestamps import from_micros
from ..storage.database import open_reader, sqlite_errors

LEGACY_SOURCE = "htmlgraph"
"""The ``source`` of events from the older project's database."""
CLOCK_SKEW = timedelta(seconds=5)
"""By how much the timestamps of one event can differ between two sources."""

_FIRST_REPORTS = """
SELECT session.name, min(e.ts) FROM events e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type
    LEFT JOIN names source ON source.id = e.source
WHERE e.id > ? AND e.id <= ? AND type.name <> 'completion' AND {source}
GROUP BY 1
"""
_FROM_LEGACY = f"source.name = '{LEGACY_SOURCE}'"
_FROM_OTHERS = f"(source.name IS NULL OR source.name NOT IN ('timer', 'family', '{LEGACY_SOURCE}'))"


class SessionOrigins:
    """The sessions that one of the two origins has reported, and since when.

    Args:
        path: this project's database.
        legacy: True: the sessions of the older project's database; False: all others.
    """

    def __init__(self, path: str, *, legacy: bool) -> None:
        self._path = path
        self._query = _FIRST_REPORTS.format(source=_FROM_LEGACY if legacy else _FROM_OTHERS)
        self._since: dict[str | None, datetime] = {}
        self._last_id = 0

    def not_covered(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that this origin does not cover.

        Those are completions, and all events from before it first reported their session. Each call
        first reads the rows stored since the last call.

        Raises:
            StoreError: the database cannot be read.
        """
        self._update()
        since = self._since
        return [
            event
            for event in events
            if event.session_id not in since
            or event.event_type == "completion"
            or (event.timestamp or from_micros(0)) < since[event.session_id] - CLOCK_SKEW
        ]

    def _update(self) -> None:
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            (last_id,) = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
            rows = db.execute(self._query, (self._last_id, last_id)).fetchall()
        self._last_id = last_id
        for session, micros in rows:
            at = from_micros(micros)
            self._since[session] = min(at, self._since.get(session, at))
