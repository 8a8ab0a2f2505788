"""The last points of token counters, so that each counts once at whichever server it arrives.

``counter_streams`` has the last point of each stream and the delta points that were counted lately,
``counter_sessions`` the time until which the counters of a session were read up to values that are
no longer stored. Both are written in the transaction of the events that follow from the points.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from ...coding_agents.otel.metrics import Reading, token_events
from ...coding_agents.otel.streams import CounterStreams, LastPoint
from ...core.model import Event

MAX_STREAMS = 20_000
"""Most rows of ``counter_streams``; beyond it those that were not used for longest are deleted."""
MAX_STREAMS_PER_SESSION = 2_000
"""Most rows of one session."""
MAX_READ_SESSIONS = 10_000
"""Most rows of ``counter_sessions``; beyond it those of the earliest times are deleted."""

_KNOWN = "SELECT stream, session, at_ns, value FROM counter_streams WHERE stream IN ({})"
_READ_UNTIL = "SELECT session, read_until_ns FROM counter_sessions WHERE session IN ({})"
_PUT = (
    "INSERT INTO counter_streams (stream, session, at_ns, value, used) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (stream) DO UPDATE SET at_ns = excluded.at_ns, value = excluded.value, "
    "used = excluded.used"
)
_PUT_SESSION = (
    "INSERT INTO counter_sessions (session, read_until_ns) VALUES (?, ?) "
    "ON CONFLICT (session) DO UPDATE SET read_until_ns = excluded.read_until_ns "
    "WHERE counter_sessions.read_until_ns < excluded.read_until_ns"
)
_COUNT = "SELECT count(*) FROM counter_streams"
_OLDEST = "SELECT stream, session, at_ns, value FROM counter_streams{} ORDER BY used, at_ns LIMIT ?"
_DELETE_SESSIONS = (
    "DELETE FROM counter_sessions WHERE session IN "
    "(SELECT session FROM counter_sessions ORDER BY read_until_ns LIMIT ?)"
)


class TablesAndSeq(Protocol):
    """The part of a Transaction that is used here."""

    seq: int

    @property
    def db(self) -> sqlite3.Connection:
        """The connection."""


CountJob = Callable[[TablesAndSeq], int]
RowSelector = Callable[[sqlite3.Connection, str, Sequence[object]], list[Any]]


class CounterTable:
    """The two tables, with a cache of rows that is valid until another process writes.

    An evicted stream continues like one whose value is unknown: only its growth after its next
    point counts, so that no token counts twice.

    Args:
        select: ``database.select_in``.
    """

    def __init__(self, select: RowSelector) -> None:
        self._select = select
        self._known: dict[str, LastPoint] = {}
        self._n_rows: int | None = None

    def clear(self) -> None:
        """Drop the cache: another process has written, or a transaction has failed."""
        self._known.clear()
        self._n_rows = None

    def job(
        self,
        readings: Sequence[Reading],
        received: float,
        apply: Callable[[Any, Sequence[Event], float], int],
        clock: Callable[[], datetime],
    ) -> CountJob:
        """Return a job that applies what points add, and stores them; it returns the new events.

        Args:
            received, apply: see ``RosterSync.apply``.
            clock: returns the current time, UTC.
        """

        def job(tx: TablesAndSeq) -> int:
            streams = self.streams(tx.db, readings)
            events = token_events(readings, streams, received_at=clock())
            n_new = apply(tx, [event.checked() for event in events], received)
            self.put(tx.db, streams.changed, tx.seq)
            return n_new

        return job

    def streams(self, db: sqlite3.Connection, readings: Sequence[Reading]) -> CounterStreams:
        """Return what is known of the streams of the readings."""
        missing = {reading.point.stream for reading in readings} - self._known.keys()
        if len(self._known) + len(missing) > MAX_STREAMS:
            self._known.clear()
            missing = {reading.point.stream for reading in readings}
        for stream, *last in self._select(db, _KNOWN, [*missing]):
            self._known[stream] = LastPoint(*last)
        sessions = {r.session for r in readings if r.point.stream not in self._known}
        return CounterStreams(self._known, dict(self._select(db, _READ_UNTIL, [*sessions])))

    def put(self, db: sqlite3.Connection, changed: Mapping[str, LastPoint], seq: int) -> None:
        """Store new last points.

        Args:
            seq: seq of the newest event; streams with a lower one are evicted first.
        """
        new = [last.session for stream, last in changed.items() if stream not in self._known]
        db.executemany(_PUT, [(stream, *last, seq) for stream, last in changed.items()])
        self._known.update(changed)
        if not new:
            return
        for session in dict.fromkeys(new):
            n_rows = _count(db, f"{_COUNT} WHERE session = ?", session)
            if n_rows > MAX_STREAMS_PER_SESSION:
                self._evict(db, " WHERE session = ?", n_rows - MAX_STREAMS_PER_SESSION, session)
                self._n_rows = None
        self._n_rows = _count(db, _COUNT) if self._n_rows is None else self._n_rows + len(new)
        if self._n_rows > MAX_STREAMS:
            # Some more than needed: finding them reads all rows.
            n_evicted = self._n_rows - MAX_STREAMS + MAX_STREAMS // 20
            self._evict(db, "", n_evicted)
            self._n_rows -= n_evicted

    def _evict(self, db: sqlite3.Connection, where: str, n_rows: int, *values: str) -> None:
        rows = db.execute(_OLDEST.format(where), (*values, n_rows)).fetchall()
        db.executemany(
            "DELETE FROM counter_streams WHERE stream = ?", [(stream,) for stream, *_ in rows]
        )
        read = [(session, at_ns) for _, session, at_ns, value in rows if value is not None]
        db.executemany(_PUT_SESSION, read)
        for stream, *_ in rows:
            self._known.pop(stream, None)
        n_sessions = _count(db, "SELECT count(*) FROM counter_sessions") if read else 0
        if n_sessions > MAX_READ_SESSIONS:
            db.execute(_DELETE_SESSIONS, (n_sessions - MAX_READ_SESSIONS,))


def _count(db: sqlite3.Connection, query: str, *values: str) -> int:
    return int(db.execute(query, values).fetchone()[0])
