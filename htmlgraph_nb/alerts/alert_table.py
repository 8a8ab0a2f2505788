"""The tables ``alerts`` and ``alert_deliveries``: what fired, and the outbox of the channels.

Each write gives a row the next revision, so that servers that share a database see what another
one changed. An alert and its pending deliveries are stored in one transaction, before it is sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..core.timestamps import from_micros, to_micros
from ..storage.schema import MAX_ROWS, PUT_META
from .fired_alert import ALERT_FIELDS, ALERT_TIMES, Delivery, FiredAlert

MAX_ALERTS = 5_000
"""Most alerts that are kept; beyond it those that ended first are deleted."""
MAX_AGE = timedelta(days=90)
"""Alerts that ended longer ago are deleted."""
MAX_DELIVERIES = 10_000
"""Most pending deliveries; beyond it the oldest are dropped."""
MUTED_UNTIL = "alerts_muted_until"
"""Key in ``meta``: until when alerts are muted, in microseconds since 1970."""
_STORED = tuple(name for name in ALERT_FIELDS if name != "repeat")
_CHANGING = tuple(
    name for name in _STORED if name not in ("alert_id", "acknowledged_at", "acknowledged_by")
)
_LISTS = ("agent_ids", "channels")
_SELECT = f"SELECT {', '.join(_STORED)} FROM alerts"
_PUT = f"""
INSERT INTO alerts ({", ".join(_STORED)}, revision)
VALUES ({", ".join("?" * len(_STORED))}, ?)
ON CONFLICT (alert_id) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in (*_CHANGING, "revision"))}
"""
_ADD_DELIVERY = """
INSERT INTO alert_deliveries (alert_id, about, channel, state, attempts, next_at)
VALUES (?, ?, ?, 'pending', 0, ?) ON CONFLICT DO NOTHING
"""
_ORDER = "ORDER BY fired_at DESC, alert_id"
STATES = {
    "firing": "state = 'firing' AND acknowledged_at IS NULL",
    "acknowledged": "state = 'firing' AND acknowledged_at IS NOT NULL",
    "past": "state = 'resolved'",
    "all": "1 = 1",
}
"""State that a reader can ask for → its condition."""


def put_alerts(
    db: sqlite3.Connection,
    alerts: Iterable[FiredAlert],
    channels_of: Callable[[FiredAlert], Sequence[str]],
    now: datetime,
) -> None:
    """Store new states of alerts, and the deliveries to their channels.

    Args:
        channels_of: returns the names of the channels that get a message about this state.
    """
    revision = last_revision(db)
    for alert in alerts:
        revision += 1
        db.execute(_PUT, (*_row(alert), revision))
        for channel in channels_of(alert):
            db.execute(_ADD_DELIVERY, (alert.alert_id, alert.state, channel, to_micros(now)))
    _trim(db, now)


def _trim(db: sqlite3.Connection, now: datetime) -> None:
    # The newest revision stays: others continue after it.
    old = to_micros(now - MAX_AGE)
    rows = db.execute(
        "DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < ? "
        "AND revision < (SELECT max(revision) FROM alerts)",
        (old,),
    ).rowcount
    (n,) = db.execute("SELECT count(*) FROM alerts").fetchone()
    if n > MAX_ALERTS:
        rows += db.execute(
            "DELETE FROM alerts WHERE alert_id IN (SELECT alert_id FROM alerts "
            "WHERE revision < (SELECT max(revision) FROM alerts) "
            "ORDER BY state = 'firing', fired_at LIMIT ?)",
            (n - MAX_ALERTS,),
        ).rowcount
    if rows:
        db.execute(
            "DELETE FROM alert_deliveries WHERE alert_id NOT IN (SELECT alert_id FROM alerts)"
        )
    db.execute(
        "UPDATE alert_deliveries SET state = 'dropped', last_error = 'too many are pending' "
        "WHERE id IN (SELECT id FROM alert_deliveries WHERE state = 'pending' "
        f"ORDER BY id DESC LIMIT {MAX_ROWS} OFFSET ?)",
        (MAX_DELIVERIES,),
    )


def acknowledge_alert(
    db: sqlite3.Connection, alert_id: str, by: str | None, now: datetime
) -> FiredAlert | None:
    """Acknowledge an alert, and drop its messages that were not sent; return it, None: unknown.

    The first acknowledgement counts.
    """
    db.execute(
        "UPDATE alerts SET acknowledged_at = ?, acknowledged_by = ?, revision = ? "
        "WHERE alert_id = ? AND acknowledged_at IS NULL",
        (to_micros(now), by, last_revision(db) + 1, alert_id),
    )
    db.execute(
        "UPDATE alert_deliveries SET state = 'dropped', last_error = 'acknowledged' "
        "WHERE alert_id = ? AND state = 'pending'",
        (alert_id,),
    )
    return read_alert(db, alert_id)


def put_muted_until(db: sqlite3.Connection, until: datetime | None) -> None:
    """Store until when all alerts are muted; None: they are not."""
    micros = None if until is None else to_micros(until)
    db.execute(PUT_META, (MUTED_UNTIL, micros))


def read_muted_until(db: sqlite3.Connection) -> datetime | None:
    """Return what ``put_muted_until`` stored."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (MUTED_UNTIL,)).fetchone()
    return None if row is None or row[0] is None else from_micros(int(row[0]))


def last_revision(db: sqlite3.Connection) -> int:
    """Return the newest revision; 0: there are no alerts."""
    return int(db.execute("SELECT coalesce(max(revision), 0) FROM alerts").fetchone()[0])


def read_alert(db: sqlite3.Connection, alert_id: str) -> FiredAlert | None:
    """Return one alert; None: it is not stored."""
    return next(iter(_read(db, f"{_SELECT} WHERE alert_id = ?", alert_id)), None)


def read_alerts(
    db: sqlite3.Connection, state: str, limit: int, before: datetime | None = None
) -> list[FiredAlert]:
    """Return stored alerts, those that fired last first.

    Args:
        state: one of STATES.
        before: only alerts that fired before this time; None: all.
    """
    latest = 2**62 if before is None else to_micros(before)
    query = f"{_SELECT} WHERE {STATES[state]} AND fired_at < ? {_ORDER} LIMIT ?"
    return _read(db, query, latest, limit)


def read_firing(db: sqlite3.Connection) -> list[FiredAlert]:
    """Return all alerts that are firing, acknowledged or not."""
    return _read(db, f"{_SELECT} WHERE state = 'firing' {_ORDER}")


def read_changed(db: sqlite3.Connection, revision: int) -> tuple[list[FiredAlert], int]:
    """Return the alerts that changed after a revision, and the newest revision."""
    newest = last_revision(db)
    if newest <= revision:
        return [], newest
    query = f"{_SELECT} WHERE revision > ? AND revision <= ? ORDER BY revision"
    return _read(db, query, revision, newest), newest


def read_pending(db: sqlite3.Connection, channel: str, now: datetime, limit: int) -> list[Delivery]:
    """Return the pending deliveries of a channel that are due, those due first first."""
    columns = ", ".join(f"a.{name}" for name in _STORED)
    rows = db.execute(
        f"SELECT d.id, d.about, d.attempts, d.next_at, {columns} FROM alert_deliveries d "
        "JOIN alerts a ON a.alert_id = d.alert_id "
        "WHERE d.state = 'pending' AND d.channel = ? AND d.next_at <= ? "
        "ORDER BY d.next_at, d.id LIMIT ?",
        (channel, to_micros(now), limit),
    ).fetchall()
    return [
        Delivery(number, _about(_alert(row), about), channel, attempts, from_micros(next_at))
        for number, about, attempts, next_at, *row in rows
    ]


def _about(alert: FiredAlert, state: str) -> FiredAlert:
    """Return the alert in the state that a message is about."""
    return alert if alert.state == state else replace(alert, state=state, resolved_at=None)


def last_delivery(db: sqlite3.Connection) -> int:
    """Return the largest id of a delivery; 0: there are none."""
    row = db.execute("SELECT coalesce(max(id), 0) FROM alert_deliveries").fetchone()
    return int(row[0])


def put_sent(db: sqlite3.Connection, delivery_id: int) -> None:
    """Store that a message was sent."""
    db.execute(
        "UPDATE alert_deliveries SET state = 'sent', attempts = attempts + 1, last_error = NULL "
        "WHERE id = ?",
        (delivery_id,),
    )


def put_failed(
    db: sqlite3.Connection, delivery_id: int, error: str, next_at: datetime | None
) -> None:
    """Store a failed attempt; ``next_at`` None: the message is dropped."""
    state = "dropped" if next_at is None else "pending"
    at = 0 if next_at is None else to_micros(next_at)
    db.execute(
        "UPDATE alert_deliveries SET state = ?, attempts = attempts + 1, next_at = ?, "
        "last_error = ? WHERE id = ? AND state = 'pending'",
        (state, at, error, delivery_id),
    )


def _read(db: sqlite3.Connection, query: str, *parameters: object) -> list[FiredAlert]:
    with closing(db.execute(query, parameters)) as rows:
        return [_alert(row) for row in rows]


def _row(alert: FiredAlert) -> tuple[Any, ...]:
    values: dict[str, Any] = {name: getattr(alert, name) for name in _STORED}
    for name in ALERT_TIMES:
        if values[name] is not None:
            values[name] = to_micros(values[name])
    for name in _LISTS:
        values[name] = json.dumps(values[name])
    return tuple(values.values())


def _alert(row: Sequence[Any]) -> FiredAlert:
    values = dict(zip(_STORED, row, strict=True))
    for name in ALERT_TIMES:
        if values[name] is not None:
            values[name] = from_micros(values[name])
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    values["silenced"] = bool(values["silenced"])
    return FiredAlert(**values)
