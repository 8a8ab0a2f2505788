"""Which sessions the older project's database told of, and which others did, as history has it.

Most of its tool calls have no id in common with what hooks and session files tell, so a session is
taken from one of the two: whoever told of it first, from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta

from ..core.model import Event
from ..core.timestamps import from_micros
from ..legacy_import.rows import LEGACY_SOURCE
from ..storage.database import open_reader, sqlite_errors

SKEW = timedelta(seconds=5)
"""By how much two sources can differ about when the same happened."""

_TOLD = """
SELECT session.name, min(e.ts) FROM events e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type
    LEFT JOIN names source ON source.id = e.source
WHERE e.id > ? AND e.id <= ? AND type.name <> 'completion' AND {source}
GROUP BY 1
"""
_BY_OLDER = f"source.name = '{LEGACY_SOURCE}'"
_BY_OTHERS = f"(source.name IS NULL OR source.name NOT IN ('timer', 'family', '{LEGACY_SOURCE}'))"


class SessionOrigins:
    """What one side has told so far; each question looks at what was stored since the last.

    Args:
        path: this project's database.
        by_older: the older database's side; else everybody else's.
    """

    def __init__(self, path: str, *, by_older: bool) -> None:
        self._path = path
        self._query = _TOLD.format(source=_BY_OLDER if by_older else _BY_OTHERS)
        self._since: dict[str | None, datetime] = {}
        self._seen = 0

    def untold(self, events: Sequence[Event]) -> list[Event]:
        """Return the events, answers apart, of sessions or times of which this side does not tell.

        Raises:
            StoreError: the database cannot be read.
        """
        self._learn()
        since = self._since
        return [
            event
            for event in events
            if event.session_id not in since
            or event.event_type == "completion"
            or (event.timestamp or from_micros(0)) < since[event.session_id] - SKEW
        ]

    def _learn(self) -> None:
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
            rows = db.execute(self._query, (self._seen, last)).fetchall()
        self._seen = last
        for session, micros in rows:
            at = from_micros(micros)
            self._since[session] = min(at, self._since.get(session, at))
