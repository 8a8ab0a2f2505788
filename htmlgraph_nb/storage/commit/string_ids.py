"""Ids of texts and decisions that many events share, in the tables ``names`` and ``decisions``."""

from __future__ import annotations

import sqlite3

from ...core.model import AgentPresence
from ...core.status_rules import StatusDecision

MAX_NAMES = 50_000
"""Most ids that are cached."""
_ADD_DECISION = (
    "INSERT INTO decisions (status, detail, reason, attention) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_GET_DECISION = "SELECT id FROM decisions WHERE (status, detail, reason, attention) = (?, ?, ?, ?)"

DecisionKey = tuple[str, str, str, bool]
"""Status, detail, reason and attention of a row of ``decisions``."""


def decision_key(decision: StatusDecision | AgentPresence) -> DecisionKey:
    """Return the key in ``decisions`` of a decision, or of the one that a presence holds."""
    return decision.status._value_, decision.detail, decision.reason or "", decision.attention


def decision_id(db: sqlite3.Connection, ids: dict[DecisionKey, int], key: DecisionKey) -> int:
    """Return the id of a decision, which is added if it is new.

    Args:
        ids: a cache of ids; it is filled, and cleared when it has become too large.
    """
    if key not in ids:
        if len(ids) > MAX_NAMES:
            ids.clear()
        db.execute(_ADD_DECISION, key)
        ids[key] = int(db.execute(_GET_DECISION, key).fetchone()[0])
    return ids[key]


class StringIds:
    """Ids of interned strings, cached across transactions; cleared when one fails."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.texts: dict[int, str | None] = {}
        self.decision_ids: dict[DecisionKey, int] = {}

    def clear(self) -> None:
        """Drop all ids; they are read again from the file."""
        self.ids.clear()
        self.texts.clear()
        self.decision_ids.clear()
