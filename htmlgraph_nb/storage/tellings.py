"""What was told by which source, kept so that no fact counts twice; see ``agreement``."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ..agreement import Claim, Fact, claim_of, fact_of
from ..model import Event
from ..times import to_micros

_COUNT = (
    "SELECT source, count(*), max(event_id = ?), max(ts) FROM tellings "
    "WHERE fact = ? AND ts BETWEEN ? AND ? GROUP BY source"
)
_CLAIMS = "SELECT source, min(ts) FROM tellings WHERE fact = ? GROUP BY source"
_ADD = "INSERT INTO tellings (ts, fact, source, event_id) VALUES (?, ?, ?, ?)"
_DELETE = (
    "DELETE FROM tellings WHERE ts < ? AND id IN (SELECT id FROM tellings ORDER BY id LIMIT ?)"
)
_ALWAYS = (-(2**63), 2**63 - 1)


class Tellings:
    """The table ``tellings``, inside a transaction.

    Args:
        db: the connection.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_new(self, event: Event, at: datetime) -> bool:
        """Take an event in and return whether it is the first that tells of its fact.

        Args:
            at: when it happened, UTC.
        """
        if event.source is None:
            # An agent's own report: nobody else tells the same.
            return True
        ts = to_micros(at)
        claim = claim_of(event)
        if claim is not None and not self._allowed(claim, ts):
            return False
        fact = fact_of(event)
        return fact is None or self._first(fact, event.event_id, ts)

    def _first(self, fact: Fact, event_id: str | None, ts: int) -> bool:
        begin, end = _ALWAYS
        if fact.near is not None:
            reach = round(fact.near.total_seconds() * 1e6)
            begin, end = ts - reach, ts + reach
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
        self._db.execute(_ADD, (ts, fact.name, fact.source, event_id))
        return own >= most or fact.says_more or (fact.by_latest and ts > latest)

    def _allowed(self, claim: Claim, ts: int) -> bool:
        """Whether the tokens of this moment are not told by the other means already."""
        since = dict(self._db.execute(_CLAIMS, (claim.name,)).fetchall())
        own = since.pop(claim.means, None)
        if any(ts >= other for other in since.values()):
            return False
        begun = ts - round(claim.reach.total_seconds() * 1e6)
        if own is None or begun < own:
            self._db.execute(_ADD, (begun, claim.name, claim.means, None))
        return True

    def delete(self, before: datetime, limit: int) -> None:
        """Forget tellings older than ``before`` among the ``limit`` oldest rows."""
        self._db.execute(_DELETE, (to_micros(before), limit))
