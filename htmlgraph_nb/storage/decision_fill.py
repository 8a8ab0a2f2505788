"""Fill in the status decisions of events that an older version stored without them.

A Roster applies the stored events in the order of ``seq``, with its timers where the file has no
timer events, and each event gets the decision after it. This runs in the process that seals
history.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..core.model import Event
from ..core.roster import TIMER_SETTINGS, Limits, Roster
from ..core.status_rules import StatusDecision
from ..core.timestamps import EPOCH, from_micros
from .commit.string_ids import DecisionKey, decision_id, decision_key
from .schema import UNDECIDED_SEQ, select_history

_FIELDS = (
    *("agent_id", "event_type", "session_id", "tool_name", "tool_use_id"),
    *("parent_agent_id", "source"),
)
_ROWS = (
    f"{select_history(('seq', 'timestamp', 'extra', *_FIELDS))} "
    "WHERE e.id > ? AND e.id <= ? ORDER BY e.id LIMIT ?"
)
_AFTER_S = (
    "SELECT json_extract(e.extra, '$.after_s') FROM events e "
    "JOIN names t ON t.id = e.type JOIN names s ON s.id = e.source "
    "WHERE t.name = ? AND s.name = 'timer' ORDER BY e.id DESC LIMIT 1"
)
_STEP_ROWS = 1_000
"""Rows of one transaction, so that a writer waits some 10 ms at most."""


def undecided_seq(db: sqlite3.Connection) -> int:
    """Return the seq up to which events may have no decision; 0: all have one."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (UNDECIDED_SEQ,)).fetchone()
    return 0 if row is None else int(row[0])


def fill_decisions(db: sqlite3.Connection, step_rows: int = _STEP_ROWS) -> int:
    """Store the missing decisions, and return the number of events that were read.

    It can be interrupted at any time; the next call starts again and keeps what is stored.

    Args:
        db: a connection of ``open_writer``, outside a transaction.
        step_rows: rows of one transaction.
    """
    last = undecided_seq(db)
    if not last:
        return 0
    roster, ids, n_events = Roster(_stored_limits(db)), dict[DecisionKey, int](), 0
    for rows in _steps(db, last, step_rows):
        keys = [(decision_key(_apply(roster, event)), seq) for seq, event in rows]
        roster.commit()
        n_events += len(rows)
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "UPDATE events SET decision = ? WHERE id = ? AND decision IS NULL",
                [(decision_id(db, ids, key), seq) for key, seq in keys],
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                # SQLite has rolled back on its own if the disk is full.
                db.execute("ROLLBACK")
            raise
    db.execute("UPDATE meta SET value = 0 WHERE key = ?", (UNDECIDED_SEQ,))
    return n_events


def _apply(roster: Roster, event: Event) -> StatusDecision:
    now = event.timestamp or EPOCH
    for _, due in roster.timers_due_before(event.agent_id, now):
        roster.apply(due, 0, now)
    return roster.apply(event, 0, now).decision


def _steps(db: sqlite3.Connection, last: int, step_rows: int) -> Iterator[list[tuple[int, Event]]]:
    after = 0
    while rows := db.execute(_ROWS, (after, last, step_rows)).fetchall():
        after = int(rows[-1][0])
        yield [(row[0], _event(row)) for row in rows]


def _event(row: tuple[Any, ...]) -> Event:
    _, timestamp, extra, *fields = row
    texts = dict(zip(_FIELDS, fields, strict=True))
    return Event(
        timestamp=from_micros(timestamp),
        extra=None if extra is None else json.loads(extra),
        **texts,
    )


def _stored_limits(db: sqlite3.Connection) -> Limits:
    """Return the timers recorded in the stored timer events, else the defaults."""
    timers: dict[str, Any] = {}
    for event_type, setting in TIMER_SETTINGS.items():
        row = db.execute(_AFTER_S, (event_type,)).fetchone()
        if row is not None and isinstance(row[0], int | float):
            timers[setting] = float(row[0])
    # An agent is removed by stored events only.
    return replace(Limits(**timers), forget_after_s=0.0)
