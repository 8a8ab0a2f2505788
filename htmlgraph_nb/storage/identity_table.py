"""Decide which events repeat one that is stored, where their ids alone do not say so.

Gateways and relays repeat the ids of answers and of tool calls; see ``core.dedup``. Other names of
an answer are rows of ``observations``, of which the source is ``alias``.
"""

from __future__ import annotations

import sqlite3

from ..core.dedup import AnswerAliases, answer_aliases, input_total
from ..core.model import Event
from ..core.timestamps import to_micros
from .database import select_in

_ALIAS = "alias"
_KNOWN = "SELECT dedup_key FROM observations WHERE dedup_key IN ({})"
_ADD = "INSERT INTO observations (ts, dedup_key, source, event_id) VALUES (?, ?, ?, ?)"
_PLAIN = (
    "SELECT 1 FROM events e LEFT JOIN names s ON s.id = e.session WHERE e.event_id = ? "
    "AND (e.ts = ? OR s.name = ?) AND coalesce(e.input_tokens, 0) "
    "+ coalesce(e.cache_read_tokens, 0) + coalesce(e.cache_write_5m_tokens, 0) "
    "+ coalesce(e.cache_write_1h_tokens, 0) = ?"
)


class Identities:
    """The answers whose id may be repeated, inside a transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_copy(self, event: Event) -> bool:
        """Return whether a completion with an unknown event id is a copy of a known answer.

        The names of the answer that are new are recorded.
        """
        aliases = answer_aliases(event)
        if aliases is None:
            return False
        known = {row[0] for row in select_in(self._db, _KNOWN, aliases.names)}
        is_copy = bool(known) or self._has_plain_id(event, aliases)
        ts = to_micros(event.timestamp) if event.timestamp else 0
        rows = [(ts, name, _ALIAS, event.event_id) for name in aliases.names if name not in known]
        self._db.executemany(_ADD, rows)
        return is_copy

    def _has_plain_id(self, event: Event, aliases: AnswerAliases) -> bool:
        """Return whether a source without lines, or an older version, reported the answer."""
        ts = to_micros(event.timestamp) if event.timestamp else 0
        values = (aliases.plain_id, ts, event.session_id, input_total(event))
        return self._db.execute(_PLAIN, values).fetchone() is not None
