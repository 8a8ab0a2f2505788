"""alert_table: stored alerts, their deliveries, and the bounds of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.alerts import alert_table
from htmlgraph_nb.alerts.alert_table import (
    acknowledge_alert,
    last_revision,
    put_alerts,
    put_failed,
    put_muted_until,
    put_sent,
    read_alert,
    read_alerts,
    read_changed,
    read_firing,
    read_muted_until,
    read_pending,
)
from htmlgraph_nb.alerts.fired_alert import FiredAlert, alert_id_of
from htmlgraph_nb.alerts.silence import FOREVER
from htmlgraph_nb.storage.migrations import migrate

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def alert(number: int = 1, **fields: Any) -> FiredAlert:
    """Return an alert."""
    subject, fired_at = f"a-{number}", NOW + timedelta(seconds=number)
    values: dict[str, Any] = {
        "alert_id": alert_id_of("waits", subject, fired_at),
        "rule": "waits",
        "kind": "waits",
        "severity": "warning",
        "state": "firing",
        "subject": subject,
        "since": fired_at,
        "fired_at": fired_at,
        "message": "a waits.",
        "label": "a",
        "agent_ids": ("x", "y"),
        "channels": ("phone",),
    }
    return FiredAlert(**(values | fields))


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A database with the tables of the newest version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, ":memory:")
    yield connection
    connection.close()


def put(db: sqlite3.Connection, *alerts: FiredAlert, channels: tuple[str, ...] = ()) -> None:
    """Store alerts."""
    put_alerts(db, alerts, lambda _: channels, NOW)


def resolved(one: FiredAlert, at: datetime = NOW) -> FiredAlert:
    """Return the end of an alert."""
    return replace(one, state="resolved", resolved_at=at)


def test_put_alerts_round_trip(db: sqlite3.Connection) -> None:
    """All fields come back; a later state replaces the earlier one."""
    one = alert(value=1.5, threshold=1.0, silenced=True, project="é", count=3)
    put(db, one)
    assert read_firing(db) == [one]
    put(db, resolved(one))
    assert read_firing(db) == []
    assert read_alerts(db, "past", 10) == [resolved(one)]
    assert FiredAlert.from_dict(resolved(one).to_dict()) == resolved(one)


def test_read_changed_gives_each_new_state(db: sqlite3.Connection) -> None:
    """A reader gets what changed since its revision."""
    one, two = alert(1), alert(2)
    put(db, one, two)
    changed, revision = read_changed(db, 0)
    assert (changed, revision) == ([one, two], 2)
    assert read_changed(db, revision) == ([], 2)
    acknowledge_alert(db, one.alert_id, "ada", NOW)
    changed, revision = read_changed(db, revision)
    assert [(each.alert_id, each.acknowledged_by) for each in changed] == [(one.alert_id, "ada")]


def test_acknowledge_alert_stays_and_drops_messages(db: sqlite3.Connection) -> None:
    """The first person counts, the end of the alert keeps it, and nothing is sent any more."""
    one = alert()
    put(db, one, channels=("phone",))
    first = acknowledge_alert(db, one.alert_id, "ada", NOW)
    second = acknowledge_alert(db, one.alert_id, "bob", NOW)
    assert first == second
    assert read_pending(db, "phone", NOW, 10) == []
    put(db, resolved(one))
    stored = read_alert(db, one.alert_id)
    assert stored is not None
    assert (stored.state, stored.acknowledged_by) == ("resolved", "ada")
    assert acknowledge_alert(db, "unknown", None, NOW) is None


def test_read_pending_is_the_outbox(db: sqlite3.Connection) -> None:
    """A message is due once for each state, until it is sent; failures wait or are dropped."""
    one = alert()
    for _ in range(2):
        put(db, one, channels=("phone", "chat"))
    (due,) = read_pending(db, "phone", NOW, 10)
    assert (due.alert, due.attempts) == (one, 0)
    put_failed(db, due.delivery_id, "no route", NOW + timedelta(seconds=5))
    assert read_pending(db, "phone", NOW, 10) == []
    (again,) = read_pending(db, "phone", NOW + timedelta(seconds=5), 10)
    assert again.attempts == 1
    put(db, resolved(one), channels=("phone",))
    later = NOW + timedelta(minutes=1)
    states = [each.alert.state for each in read_pending(db, "phone", later, 10)]
    assert sorted(states) == ["firing", "resolved"]
    put_sent(db, again.delivery_id)
    assert len(read_pending(db, "phone", later, 10)) == 1
    (chat,) = read_pending(db, "chat", later, 10)
    put_failed(db, chat.delivery_id, "gone", None)
    assert read_pending(db, "chat", later + timedelta(days=9), 10) == []


def test_read_alerts_in_pages(db: sqlite3.Connection) -> None:
    """``before`` continues after the last alert of a page."""
    alerts = [alert(number) for number in range(5)]
    put(db, *alerts)
    first = read_alerts(db, "firing", 2)
    assert first == [alerts[4], alerts[3]]
    assert read_alerts(db, "firing", 9, first[-1].fired_at) == alerts[2::-1]


def test_put_alerts_is_bounded(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ends, then too many rows are deleted, with their messages; firing ones last."""
    monkeypatch.setattr(alert_table, "MAX_ALERTS", 10)
    monkeypatch.setattr(alert_table, "MAX_DELIVERIES", 3)
    old = resolved(alert(0), NOW - timedelta(days=91))
    put(db, old, channels=("phone",))
    put(db, alert(1))
    assert read_alert(db, old.alert_id) is None
    put(db, *(resolved(alert(number)) for number in range(2, 30)), channels=("phone",))
    kept = read_alerts(db, "all", 100)
    assert len(kept) == 10
    assert alert(1) in kept
    assert last_revision(db) == 30
    assert len(read_pending(db, "phone", NOW, 100)) == 3


def test_muted_until(db: sqlite3.Connection) -> None:
    """The switch is stored, with or without an end."""
    for until in (None, NOW, FOREVER, None):
        put_muted_until(db, until)
        assert read_muted_until(db) == until
