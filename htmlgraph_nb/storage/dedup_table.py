"""What was told by which source, kept so that no fact counts twice; see ``agreement``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from ..core.dedup import DedupKey, TokenSource, dedup_key, token_source_of
from ..core.model import Event
from ..core.timestamps import to_micros

_COUNT = (
    "SELECT source, count(*), max(event_id = ?), max(ts) FROM tellings "
    "WHERE fact = ? AND ts BETWEEN ? AND ? GROUP BY source"
)
_CLAIMS = "SELECT source, min(ts) FROM tellings WHERE fact = ? GROUP BY source"
_ADD = "INSERT INTO tellings (ts, fact, source, event_id) VALUES (?, ?, ?, ?)"
_DELETE = (
    "DELETE FROM tellings WHERE ts < ? AND id IN (SELECT id FROM tellings ORDER BY id LIMIT ?)"
)
_KNOWN = "SELECT DISTINCT fact FROM tellings WHERE fact IN ({})"
_IN_STEP = 500
_FEW = 4
"""Facts from which on one question about all is faster than one about each."""
_MAX_CLAIMS = 10_000
_ALWAYS = (-(2**63), 2**63 - 1)


class TokenSourceCache:
    """By which means each session's tokens are told since when, remembered across transactions.

    It is cleared when one fails, and when another process has written.
    """

    def __init__(self) -> None:
        self.since: dict[str, dict[str, int]] = {}

    def clear(self) -> None:
        """Forget all; they are read again from the file."""
        self.since.clear()


class Deduplicator:
    """The table ``tellings``, inside a transaction.

    Args:
        db: the connection.
        claims: what is remembered of it.
    """

    def __init__(self, db: sqlite3.Connection, claims: TokenSourceCache) -> None:
        self._db = db
        self._claims = claims
        self._added: list[tuple[int, str, str, str | None]] = []

    def first(self, events: Sequence[Event], at: datetime) -> list[Event]:
        """Take events in and return those that are the first to tell of their fact.

        Args:
            at: the time of those that carry none, UTC.
        """
        if len(events) == 1 and events[0].source is None:
            # An agent's own report: nobody else tells the same.
            return [*events]
        facts = [dedup_key(event) for event in events]
        untold = self._untold([fact.name for fact in facts if fact is not None])
        found = [
            event
            for event, fact in zip(events, facts, strict=True)
            if self._is_first(event, fact, untold, at)
        ]
        self._write()
        return found

    def _untold(self, names: list[str]) -> set[str]:
        """Return those of the facts of which nobody has told, as far as one question shows it."""
        untold = set(names)
        if len(untold) < _FEW:
            return set()
        for start in range(0, len(names), _IN_STEP):
            part = names[start : start + _IN_STEP]
            query = _KNOWN.format(", ".join("?" * len(part)))
            untold.difference_update(row[0] for row in self._db.execute(query, part).fetchall())
        return untold

    def _is_first(
        self, event: Event, fact: DedupKey | None, untold: set[str], at: datetime
    ) -> bool:
        claim = token_source_of(event)
        if claim is None and fact is None:
            return True
        ts = to_micros(event.timestamp or at)
        if claim is not None and not self._allowed(claim, ts):
            return False
        if fact is None:
            return True
        if fact.name in untold:
            untold.discard(fact.name)
            self._added.append((ts, fact.name, fact.source, event.event_id))
            return True
        return self._adds_to(fact, event.event_id, ts)

    def _adds_to(self, fact: DedupKey, event_id: str | None, ts: int) -> bool:
        """Whether a telling of a fact that may be known counts, by what others told of it."""
        begin, end = _ALWAYS
        if fact.near is not None:
            reach = round(fact.near.total_seconds() * 1e6)
            begin, end = ts - reach, ts + reach
        self._write()
        own = most = latest = 0
        rows = self._db.execute(_COUNT, (event_id, fact.name, begin, end)).fetchall()
        for source, n, known, last_ts in rows:
            latest = max(latest, last_ts)
            if source == fact.source:
                own = n
                if known:
                    return False
            else:
                most = max(most, n)
        self._added.append((ts, fact.name, fact.source, event_id))
        return own >= most or fact.says_more or (fact.by_latest and ts > latest)

    def _allowed(self, claim: TokenSource, ts: int) -> bool:
        """Whether the tokens of this moment are not told by the other means already."""
        since = self._since(claim.name)
        if any(ts >= begun for means, begun in since.items() if means != claim.means):
            return False
        begun = ts - round(claim.reach.total_seconds() * 1e6)
        own = since.get(claim.means)
        if own is None or begun < own:
            since[claim.means] = begun
            self._added.append((begun, claim.name, claim.means, None))
        return True

    def _since(self, name: str) -> dict[str, int]:
        known = self._claims.since
        found = known.get(name)
        if found is None:
            self._write()
            if len(known) >= _MAX_CLAIMS:
                known.clear()
            found = known[name] = dict(self._db.execute(_CLAIMS, (name,)).fetchall())
        return found

    def _write(self) -> None:
        if self._added:
            self._db.executemany(_ADD, self._added)
            self._added.clear()

    def delete(self, before: datetime, limit: int) -> None:
        """Forget tellings older than ``before`` among the ``limit`` oldest rows."""
        self._db.execute(_DELETE, (to_micros(before), limit))
        self._claims.clear()
