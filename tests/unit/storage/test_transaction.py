"""Reads and writes of one transaction, on an in-memory database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.status_rules import FORGOTTEN
from htmlgraph_nb.storage.dedup_table import TokenSourceCache
from htmlgraph_nb.storage.migrations import migrate
from htmlgraph_nb.storage.transaction import StringIds, Transaction

NOW = datetime(2026, 1, 14, tzinfo=UTC)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An in-memory database inside a transaction."""
    opened = sqlite3.connect(":memory:", isolation_level=None)
    migrate(opened, "in memory")
    opened.execute("BEGIN")
    yield opened
    opened.close()


def transaction(db: sqlite3.Connection, seq: int = 0, seen_seq: int = 0) -> Transaction:
    """Return a transaction with empty caches."""
    return Transaction(db, StringIds(), TokenSourceCache(), seq, seen_seq)


def event(number: int) -> Event:
    """Return an event with its own event_id."""
    return Event(
        agent_id="a",
        event_type="prompt",
        event_id=f"e{number}",
        timestamp=NOW + timedelta(seconds=number),
    )


def add(tx: Transaction, *numbers: int) -> None:
    """Add events and insert them."""
    for number in numbers:
        tx.add_event(event(number), NOW, FORGOTTEN)
    tx.flush()


def test_filter_known_drops_stored_and_repeated_events(db: sqlite3.Connection) -> None:
    """Each event_id counts once: in the table, in this transaction and in the argument."""
    add(transaction(db), 1)
    tx = transaction(db, seq=1)
    tx.add_event(event(2), NOW, FORGOTTEN)
    fresh = tx.filter_known([event(1), event(2), event(3), event(3)])
    assert [kept.event_id for kept in fresh] == ["e3"]


def test_add_event_numbers_events(db: sqlite3.Connection) -> None:
    """The seq continues after the last event of the file."""
    tx = transaction(db, seq=7)
    assert [tx.add_event(event(n), NOW, FORGOTTEN) for n in (1, 2)] == [8, 9]
    tx.flush()
    assert db.execute("SELECT id FROM events ORDER BY id").fetchall() == [(8,), (9,)]


def test_external_events_start_after_seen_seq(db: sqlite3.Connection) -> None:
    """Only rows that this process has not seen are external."""
    add(transaction(db), 1, 2, 3)
    external = transaction(db, seq=3, seen_seq=1).external_events()
    assert [(row.seq, row.agent_id, row.event_type) for row in external] == [
        (2, "a", "prompt"),
        (3, "a", "prompt"),
    ]


def test_delete_presence_records_seq(db: sqlite3.Connection) -> None:
    """The seq at which agents were last deleted is kept in the file."""
    tx = transaction(db, seq=5)
    assert tx.forgotten_seq() == 0
    tx.delete_presence(["a", "unknown"])
    assert transaction(db).forgotten_seq() == 5


def test_delete_history_keeps_newest_row(db: sqlite3.Connection) -> None:
    """Old rows are deleted up to the limit, but never the newest one."""
    add(transaction(db), 1, 2, 3)
    tx = transaction(db, seq=3)
    assert tx.delete_history(NOW + timedelta(days=1), limit=1) == 1
    assert tx.delete_history(NOW + timedelta(days=1), limit=10) == 1
    assert db.execute("SELECT id FROM events").fetchall() == [(3,)]
