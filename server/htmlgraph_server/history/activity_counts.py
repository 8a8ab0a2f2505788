"""What each agent did in each of the last minutes, counted from the stored events.

Counts are kept and only rows that came since are read, so an answer costs what is new. The first
reading goes backwards from the newest row: rows are nearly in the order of time, but old ones can
be stored late, so it ends only where a long stretch holds nothing of the last hour.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from htmlgraph_nb.core.protocol import Cursor, encode_json
from htmlgraph_nb.core.reducer import ERRORS
from htmlgraph_nb.core.timestamps import to_micros, to_rfc3339, utc_now

from .history_reader import HistoryReader

MAX_MINUTES = 60
MAX_AGENTS = 10_000
"""Most agents in one answer: those that did most."""
FRESH_S = 1.0
"""How old an answer may be."""
MAX_ROWS = 2_000_000
"""Most rows that are read at once, whatever their times."""
_STRETCH_ROWS = 20_000
_OLD_STRETCHES = 10
_MINUTE = 60_000_000


def _numbers_of(names: tuple[str, ...]) -> str:
    return f"(SELECT id FROM names WHERE name IN ({', '.join(map(repr, names))}))"


# What the clock or a person says of an agent is no sign of the agent.
_COUNT = f"""
    SELECT agent, min(ts, :now) / {_MINUTE} AS minute, count(*),
        sum(status IS 1 OR type IN {_numbers_of(tuple(sorted(ERRORS)))})
    FROM events
    WHERE id > :after AND id <= :last AND ts >= :since
        AND (source IS NULL OR source NOT IN {_numbers_of(("timer",))})
        AND type NOT IN {_numbers_of(("offline", "forget"))}
    GROUP BY agent, minute
"""
_HAS_NEW = "SELECT EXISTS (SELECT 1 FROM events WHERE id > ? AND id <= ? AND ts >= ?)"


class ActivityCounts:
    """Events and errors of each agent by minute of the clock, for the last hour.

    What it holds is bounded by an hour and by the agents of that hour.
    """

    def __init__(self) -> None:
        self._last_id = -1
        self._epoch = ""
        # number of the agent → minute since 1970 → events, errors
        self._counts: dict[int, dict[int, tuple[int, int]]] = {}
        self._names: dict[int, str] = {}

    def refresh(self, db: sqlite3.Connection, now: datetime) -> None:
        """Take in the rows that came since the last time; a future time counts as ``now``."""
        micros = to_micros(now)
        since = (micros // _MINUTE - MAX_MINUTES + 1) * _MINUTE
        last = db.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        # An error half way leaves no sum that would be added to twice.
        known, self._last_id = self._last_id, -1
        if 0 <= known <= last and last - known <= MAX_ROWS:
            stretches = iter([(known, last)])
        else:
            self._counts.clear()
            stretches = _backwards(db, last, since)
        for after, until in stretches:
            where = {"after": after, "last": until, "since": since, "now": micros}
            for agent, minute, events, errors in db.execute(_COUNT, where):
                self._add(agent, minute, events, errors)
        self._last_id = last
        (self._epoch,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        self._prune(since // _MINUTE)
        self._learn_names(db)

    def _add(self, agent: int, minute: int, events: int, errors: int) -> None:
        minutes = self._counts.setdefault(agent, {})
        before = minutes.get(minute, (0, 0))
        minutes[minute] = (before[0] + events, before[1] + errors)

    def _prune(self, first: int) -> None:
        for agent, minutes in list(self._counts.items()):
            for minute in [one for one in minutes if one < first]:
                del minutes[minute]
            if not minutes:
                del self._counts[agent]
                self._names.pop(agent, None)

    def _learn_names(self, db: sqlite3.Connection) -> None:
        for number in self._counts.keys() - self._names.keys():
            row = db.execute("SELECT name FROM names WHERE id = ?", (number,)).fetchone()
            if row is not None:
                self._names[number] = row[0]

    def to_json(self, minutes: int, now: datetime) -> str:
        """Return the answer of ``GET /api/activity``: at most MAX_AGENTS agents.

        Args:
            minutes: 1 to MAX_MINUTES; the last one is that of ``now``.
        """
        first = to_micros(now) // _MINUTE - minutes + 1
        found = []
        for number, by_minute in self._counts.items():
            events, errors = [0] * minutes, [0] * minutes
            for minute, (some, failed) in by_minute.items():
                if first <= minute < first + minutes:
                    events[minute - first], errors[minute - first] = some, failed
            if any(events) and number in self._names:
                found.append((sum(events), self._names[number], events, errors))
        if len(found) > MAX_AGENTS:
            found.sort(key=lambda one: (-one[0], one[1]))
        # One agent at a time: the encoder lets no other thread run until it is done.
        agents = ",".join(
            f"{encode_json(name)}:{encode_json({'events': events, 'errors': errors})}"
            for _, name, events, errors in sorted(found[:MAX_AGENTS], key=lambda one: one[1])
        )
        cursor = Cursor(self._epoch, self._last_id)
        head = f'"at":"{to_rfc3339(now)}","cursor":"{cursor}","minutes":{minutes}'
        return f'{{{head},"agents":{{{agents}}}}}\n'


def _backwards(db: sqlite3.Connection, last: int, since: int) -> Iterator[tuple[int, int]]:
    """Yield stretches of ids from the newest on, until a long one is all of an earlier time."""
    first = db.execute("SELECT min(id) FROM events").fetchone()[0] or 0
    n_old, until = 0, last
    while until >= first and n_old < _OLD_STRETCHES and last - until < MAX_ROWS:
        after = until - _STRETCH_ROWS
        if db.execute(_HAS_NEW, (after, until, since)).fetchone()[0]:
            n_old = 0
            yield after, until
        else:
            n_old += 1
        until = after


class ActivityCache:
    """Answers from counts that are at most FRESH_S old, however many ask.

    Args:
        reader: of the database.
        now: the time, UTC.
        clock: monotonic seconds.
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
        self._answers: dict[int, bytes] = {}

    async def answer(self, minutes: int) -> bytes:
        """Return the JSON of so many minutes.

        Raises:
            StoreClosed: the server stops.
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        async with self._lock:
            if self._at is None or self._clock() - self._read_at >= FRESH_S:
                at = self._now()
                await self._reader.run(lambda db: self._counts.refresh(db, at))
                self._at, self._read_at = at, self._clock()
                self._answers.clear()
            if minutes not in self._answers:
                at = self._at
                self._answers[minutes] = await self._reader.run(
                    lambda _: self._counts.to_json(minutes, at).encode()
                )
            return self._answers[minutes]
