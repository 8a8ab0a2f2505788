"""The table of reports (observations) by dedup key and source; see ``core.dedup``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from ..coding_agents.registry import AGENTS
from ..core.dedup import TOLERANCE, DedupKey, DedupRules, TokenSource, dedup_key, token_source_of
from ..core.model import Event
from ..core.timestamps import to_micros
from .database import select_in

DEDUP_RULES = DedupRules(AGENTS.values())

_COUNT = (
    "SELECT source, count(*), max(CASE WHEN event_id = ? OR (? = 1 AND ts = ?) THEN 1 ELSE 0 END), "
    "max(ts) FROM observations WHERE dedup_key = ? AND ts BETWEEN ? AND ? GROUP BY source"
)
_TOKEN_SOURCES = "SELECT source, min(ts) FROM observations WHERE dedup_key = ? GROUP BY source"
_ADD = "INSERT INTO observations (ts, dedup_key, source, event_id) VALUES (?, ?, ?, ?)"
_DELETE = (
    "DELETE FROM observations WHERE ts < ? "
    "AND id IN (SELECT id FROM observations ORDER BY id LIMIT ?)"
)
_ADD_HASH = (
    "UPDATE events SET input_hash = ? WHERE event_id = (SELECT o.event_id FROM observations o "
    "JOIN events e ON e.event_id = o.event_id WHERE o.dedup_key = ? AND o.source <> ? "
    "AND o.ts BETWEEN ? AND ? AND e.input_hash IS NULL ORDER BY abs(o.ts - ?) LIMIT 1)"
)
_HASH_TOLERANCE = round(TOLERANCE.total_seconds() * 1e6)
_KNOWN = "SELECT DISTINCT dedup_key FROM observations WHERE dedup_key IN ({})"
_FEW = 4
"""Number of reports from which one query for all is faster than one query for each."""
_MAX_TOKEN_SOURCES = 10_000
_ALWAYS = (-(2**63), 2**63 - 1)


class TokenSourceCache:
    """Start of each kind of TokenSource in each session, cached across transactions.

    It is cleared when a transaction fails and when another process has written.
    """

    def __init__(self) -> None:
        self.since: dict[str, dict[str, int]] = {}

    def clear(self) -> None:
        """Drop all entries; they are read again from the file."""
        self.since.clear()


class Deduplicator:
    """The table of reports, inside a transaction.

    Args:
        db: the connection.
        token_sources: the cache of the store.
    """

    def __init__(self, db: sqlite3.Connection, token_sources: TokenSourceCache) -> None:
        self._db = db
        self._token_sources = token_sources
        self._pending: list[tuple[int, str, str, str | None]] = []
        # Hashes that duplicates add to the event of another source, and where to find it.
        self._late_hashes: list[tuple[int, str, str, int, int, int]] = []

    def drop_duplicates(
        self, events: Sequence[Event], at: datetime, host: str | None = None
    ) -> list[Event]:
        """Record the events and return those that are new.

        Args:
            at: the time of events without a timestamp, UTC.
            host: id of the host whose server forwards the events, after it has compared its
                sources; None: they come from their sources.
        """
        if len(events) == 1 and events[0].source is None:
            # The agent itself sent the event, so no other source reports it.
            return [*events]
        keys = [dedup_key(event, DEDUP_RULES) for event in events]
        if host is not None:
            # To this database a host is one source, whichever of its own sources was first.
            keys = [None if key is None else key._replace(source=f"host:{host}") for key in keys]
        unseen = self._unseen([key.name for key in keys if key is not None])
        accepted = [
            event
            for event, key in zip(events, keys, strict=True)
            if self._is_new(event, key, unseen, at)
        ]
        self._write()
        return accepted

    def _unseen(self, names: list[str]) -> set[str]:
        """Return the names that are not stored; none if there are too few names for one query."""
        unseen = set(names)
        if len(unseen) < _FEW:
            return set()
        unseen.difference_update(row[0] for row in select_in(self._db, _KNOWN, names))
        return unseen

    def _is_new(self, event: Event, key: DedupKey | None, unseen: set[str], at: datetime) -> bool:
        token_source = token_source_of(event, DEDUP_RULES)
        if token_source is None and key is None:
            return True
        ts = to_micros(event.timestamp or at)
        if token_source is not None and not self._counts_tokens(token_source, ts):
            return False
        if key is None:
            return True
        if key.name in unseen:
            unseen.discard(key.name)
            self._pending.append((ts, key.name, key.source, event.event_id))
            return True
        is_new = self._add_report(key, event.event_id, ts)
        if not is_new and event.input_hash is not None:
            around = ts - _HASH_TOLERANCE, ts + _HASH_TOLERANCE
            self._late_hashes.append((event.input_hash, key.name, key.source, *around, ts))
        return is_new

    def _add_report(self, key: DedupKey, event_id: str | None, ts: int) -> bool:
        """Record a report, and return whether it is a new event."""
        start, end = _ALWAYS
        if key.tolerance is not None:
            tolerance = round(key.tolerance.total_seconds() * 1e6)
            start, end = ts - tolerance, ts + tolerance
        self._write()
        own = others = latest = 0
        # A source reports an end of a turn once, whatever id an older version gave it.
        is_turn = key.latest_wins or key.always_count
        values = (event_id, is_turn, ts, key.name, start, end)
        rows = self._db.execute(_COUNT, values).fetchall()
        for source, n, same_id, last_ts in rows:
            latest = max(latest, last_ts)
            if source == key.source:
                own = n
                if same_id:
                    return False
            else:
                others = max(others, n)
        self._pending.append((ts, key.name, key.source, event_id))
        return own >= others or key.always_count or (key.latest_wins and ts > latest)

    def add_hashes(self) -> None:
        """Store the input hashes of duplicates whose event has none, by its nearest report."""
        if self._late_hashes:
            self._db.executemany(_ADD_HASH, self._late_hashes)
            self._late_hashes.clear()

    def _counts_tokens(self, token_source: TokenSource, ts: int) -> bool:
        """Return whether the other kind does not count the tokens of this time already."""
        since = self._since(token_source.name)
        if any(ts >= start for kind, start in since.items() if kind != token_source.kind):
            return False
        start = ts - round(token_source.lookback.total_seconds() * 1e6)
        own = since.get(token_source.kind)
        if own is None or start < own:
            since[token_source.kind] = start
            self._pending.append((start, token_source.name, token_source.kind, None))
        return True

    def _since(self, name: str) -> dict[str, int]:
        """Return the first time of each kind of these tokens."""
        cache = self._token_sources.since
        since = cache.get(name)
        if since is None:
            self._write()
            if len(cache) >= _MAX_TOKEN_SOURCES:
                cache.clear()
            since = cache[name] = dict(self._db.execute(_TOKEN_SOURCES, (name,)).fetchall())
        return since

    def _write(self) -> None:
        if self._pending:
            self._db.executemany(_ADD, self._pending)
            self._pending.clear()

    def delete(self, before: datetime, limit: int) -> None:
        """Delete reports older than ``before`` among the ``limit`` oldest rows."""
        self._db.execute(_DELETE, (to_micros(before), limit))
        self._token_sources.clear()
