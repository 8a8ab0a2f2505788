"""Events and errors of each agent per minute, counted from the stored events.

Counts are kept and only new rows are read. The first read goes backwards from the newest row. Rows
are nearly ordered by time, but old events can be stored late, so it stops only after a long range
of ids without an event of the last hour.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from htmlgraph_nb.core.protocol import Cursor, encode_json
from htmlgraph_nb.core.reducer import ERROR_TYPES
from htmlgraph_nb.core.timestamps import to_micros, to_rfc3339, utc_now

from .history_reader import HistoryReader

MAX_ACTIVITY_MINUTES = 60
MAX_ACTIVITY_AGENTS = 10_000
"""Maximum number of agents in one response; the busiest are kept."""
ACTIVITY_MAX_AGE_S = 1.0
"""Maximum age of a response in seconds."""
MAX_ACTIVITY_ROWS = 2_000_000
"""Maximum number of rows read at once, whatever their timestamps."""
_RANGE_ROWS = 20_000
_MAX_OLD_RANGES = 10
_MINUTE = 60_000_000


def _ids_of(names: tuple[str, ...]) -> str:
    return f"(SELECT id FROM names WHERE name IN ({', '.join(map(repr, names))}))"


# Events of the timer and of a user are not activity of the agent.
_COUNT = f"""
    SELECT agent, (CASE WHEN ts > ? THEN ? ELSE ts END) / {_MINUTE} AS minute, count(*),
        sum(CASE WHEN status = 1 OR type IN {_ids_of(tuple(sorted(ERROR_TYPES)))} THEN 1 ELSE 0 END)
    FROM events
    WHERE id > ? AND id <= ? AND ts >= ?
        AND (source IS NULL OR source NOT IN {_ids_of(("timer",))})
        AND type NOT IN {_ids_of(("offline", "forget"))}
    GROUP BY agent, minute
"""
_HAS_NEW = "SELECT EXISTS (SELECT 1 FROM events WHERE id > ? AND id <= ? AND ts >= ?)"


class ActivityCounts:
    """Events and errors of each agent per minute, for the last hour.

    Its size is limited to the agents of that hour.
    """

    def __init__(self) -> None:
        self._last_id = -1
        self._epoch = ""
        # Row id of the agent → minute since 1970 → events, errors.
        self._counts: dict[int, dict[int, tuple[int, int]]] = {}
        self._names: dict[int, str] = {}

    def refresh(self, db: sqlite3.Connection, now: datetime) -> None:
        """Count the rows added since the last call; future timestamps count as ``now``."""
        micros = to_micros(now)
        since = (micros // _MINUTE - MAX_ACTIVITY_MINUTES + 1) * _MINUTE
        last = db.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        # After an error halfway, start over instead of counting rows twice.
        previous, self._last_id = self._last_id, -1
        if 0 <= previous <= last and last - previous <= MAX_ACTIVITY_ROWS:
            ranges = iter([(previous, last)])
        else:
            self._counts.clear()
            ranges = _recent_ranges(db, last, since)
        for after, until in ranges:
            params = (micros, micros, after, until, since)
            for agent, minute, events, errors in db.execute(_COUNT, params):
                self._add(agent, minute, events, errors)
        self._last_id = last
        (self._epoch,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        self._prune(since // _MINUTE)
        self._load_names(db)

    def _add(self, agent: int, minute: int, events: int, errors: int) -> None:
        minutes = self._counts.setdefault(agent, {})
        before = minutes.get(minute, (0, 0))
        minutes[minute] = (before[0] + events, before[1] + errors)

    def _prune(self, first: int) -> None:
        for agent, minutes in list(self._counts.items()):
            for minute in [key for key in minutes if key < first]:
                del minutes[minute]
            if not minutes:
                del self._counts[agent]
                self._names.pop(agent, None)

    def _load_names(self, db: sqlite3.Connection) -> None:
        for agent in self._counts.keys() - self._names.keys():
            row = db.execute("SELECT name FROM names WHERE id = ?", (agent,)).fetchone()
            if row is not None:
                self._names[agent] = row[0]

    def to_json(self, minutes: int, now: datetime) -> str:
        """Return the response of ``GET /api/activity``, with at most MAX_ACTIVITY_AGENTS agents.

        Args:
            minutes: 1 to MAX_ACTIVITY_MINUTES; the last minute is that of ``now``.
        """
        first = to_micros(now) // _MINUTE - minutes + 1
        rows = []
        for agent, by_minute in self._counts.items():
            events, errors = [0] * minutes, [0] * minutes
            for minute, (n_events, n_errors) in by_minute.items():
                if first <= minute < first + minutes:
                    events[minute - first], errors[minute - first] = n_events, n_errors
            if any(events) and agent in self._names:
                rows.append((sum(events), self._names[agent], events, errors))
        if len(rows) > MAX_ACTIVITY_AGENTS:
            rows.sort(key=lambda row: (-row[0], row[1]))
            del rows[MAX_ACTIVITY_AGENTS:]
        rows.sort(key=lambda row: row[1])
        # Encode one agent at a time: the encoder holds the GIL until it is done.
        agents = ",".join(
            f"{encode_json(name)}:{encode_json({'events': events, 'errors': errors})}"
            for _, name, events, errors in rows
        )
        cursor = Cursor(self._epoch, self._last_id)
        head = f'"at":"{to_rfc3339(now)}","cursor":"{cursor}","minutes":{minutes}'
        return f'{{{head},"agents":{{{agents}}}}}\n'


def _recent_ranges(db: sqlite3.Connection, last: int, since: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, newest first, until several in a row have no event since ``since``."""
    first = db.execute("SELECT min(id) FROM events").fetchone()[0] or 0
    n_old, until = 0, last
    while until >= first and n_old < _MAX_OLD_RANGES and last - until < MAX_ACTIVITY_ROWS:
        after = until - _RANGE_ROWS
        if db.execute(_HAS_NEW, (after, until, since)).fetchone()[0]:
            n_old = 0
            yield after, until
        else:
            n_old += 1
        until = after


class ActivityCache:
    """Responses of ``GET /api/activity``, cached for ACTIVITY_MAX_AGE_S.

    Args:
        reader: reads the database.
        now: returns the current time in UTC.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        reader: HistoryReader,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._now = now
        self._clock = clock
        self._counts = ActivityCounts()
        self._lock = asyncio.Lock()
        self._at: datetime | None = None
        self._read_at = 0.0
        self._responses: dict[int, bytes] = {}

    async def response(self, minutes: int) -> bytes:
        """Return the JSON response for this number of minutes.

        Raises:
            StoreClosed: the server is shutting down.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        async with self._lock:
            if self._at is None or self._clock() - self._read_at >= ACTIVITY_MAX_AGE_S:
                at = self._now()
                await self._reader.run(lambda db: self._counts.refresh(db, at))
                self._at, self._read_at = at, self._clock()
                self._responses.clear()
            if minutes not in self._responses:
                at = self._at
                self._responses[minutes] = await self._reader.run(
                    lambda _: self._counts.to_json(minutes, at).encode()
                )
            return self._responses[minutes]
