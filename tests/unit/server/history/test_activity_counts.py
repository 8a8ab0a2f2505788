"""Counts of the last minutes against the rows that they are counted from."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.storage.schema import MIGRATIONS
from htmlgraph_server.history import activity_counts
from htmlgraph_server.history.activity_counts import ActivityCache, ActivityCounts

NOW = datetime(2026, 1, 14, 14, 50, 30, tzinfo=UTC)
NAMES = ["a", "b", "tool_execute", "error", "tool_error", "offline", "forget", "idle", "timer"]
T = TypeVar("T")


def number(name: str) -> int:
    """Return the number of a name in the tables of these tests."""
    return NAMES.index(name) + 1


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty database in memory."""
    connection = empty()
    yield connection
    connection.close()


def empty() -> sqlite3.Connection:
    """Return a database in memory with the tables and NAMES."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statements in MIGRATIONS:
        for statement in statements:
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('epoch', 'e')")
    connection.executemany("INSERT INTO names (name) VALUES (?)", [(name,) for name in NAMES])
    return connection


def store(
    db: sqlite3.Connection,
    at: datetime,
    agent: str = "a",
    kind: str = "tool_execute",
    status: int | None = None,
    source: str | None = None,
) -> None:
    """Store one event."""
    db.execute(
        "INSERT INTO events (ts, agent, type, status, source) VALUES (?, ?, ?, ?, ?)",
        (to_micros(at), number(agent), number(kind), status, source and number(source)),
    )


def agents(counts: ActivityCounts, minutes: int = 15, now: datetime = NOW) -> dict[str, Any]:
    """Return the counts by agent."""
    found: dict[str, Any] = json.loads(counts.to_json(minutes, now))["agents"]
    return found


def minute_of(at: datetime) -> int:
    """Return the minute of the clock since 1970."""
    return to_micros(at) // 60_000_000


AGES = st.integers(-90, 80 * 60)
EVENTS = st.tuples(
    AGES,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["tool_execute", "error", "tool_error", "offline", "forget", "idle"]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, "timer", "a"]),
)


@given(st.lists(st.lists(EVENTS, max_size=20), max_size=4), st.integers(1, 60))
def test_counts_are_those_of_the_rows(parts: list[list[Any]], minutes: int) -> None:
    """Read at once or in parts, late, future and unheard events: each bucket is as by hand."""
    db, counts = empty(), ActivityCounts()
    wanted: dict[str, dict[str, list[int]]] = {}
    for part in parts:
        for age, agent, kind, status, source in part:
            at = NOW - timedelta(seconds=age)
            store(db, at, agent, kind, status, source)
            bucket = minutes - 1 - (minute_of(NOW) - minute_of(min(at, NOW)))
            if bucket < 0 or source == "timer" or kind in ("offline", "forget"):
                continue
            own = wanted.setdefault(agent, {"events": [0] * minutes, "errors": [0] * minutes})
            own["events"][bucket] += 1
            own["errors"][bucket] += status == 1 or kind in ("error", "tool_error")
        counts.refresh(db, NOW)
    assert agents(counts, minutes) == wanted
    again = ActivityCounts()
    again.refresh(db, NOW)
    assert agents(again, minutes) == wanted
    db.close()


def test_buckets_move_with_the_clock(db: sqlite3.Connection) -> None:
    """An event wanders to the left and out, and what is an hour old is dropped."""
    store(db, NOW)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert agents(counts, 3)["a"]["events"] == [0, 0, 1]
    assert agents(counts, 3, NOW + timedelta(minutes=2))["a"]["events"] == [1, 0, 0]
    assert agents(counts, 3, NOW + timedelta(minutes=3)) == {}
    counts.refresh(db, NOW + timedelta(minutes=60))
    assert agents(counts, 60, NOW + timedelta(minutes=60)) == {}


def test_first_reading_passes_old_rows_and_ends(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old events that were stored late hide no new ones, and a long old history is not read."""
    monkeypatch.setattr(activity_counts, "_RANGE_ROWS", 10)
    for n in range(1_000):
        store(db, NOW - timedelta(days=1), "b")
        if n == 900:
            store(db, NOW, "a")
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert agents(counts)["a"]["events"][-1] == 1
    read: list[tuple[int, int]] = []

    class Counting(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            if "EXISTS" in sql:
                read.append(tuple(parameters)[:2])
            return super().execute(sql, parameters)

    other = sqlite3.connect(":memory:", factory=Counting)
    db.backup(other)
    ActivityCounts().refresh(other, NOW + timedelta(days=2))
    assert len(read) == 10
    other.close()


def test_an_emptied_table_begins_anew(db: sqlite3.Connection) -> None:
    """Where the newest row is gone, so are the counts."""
    store(db, NOW)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    db.execute("DELETE FROM events")
    counts.refresh(db, NOW)
    assert agents(counts) == {}


def test_most_active_agents_within_the_bound(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound those that did least are left out."""
    monkeypatch.setattr(activity_counts, "MAX_ACTIVITY_AGENTS", 1)
    for agent in ("a", "b", "b"):
        store(db, NOW, agent)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert set(agents(counts)) == {"b"}


class Reader:
    """Asks a connection at once, and counts how often."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.n_asked = 0

    async def run(self, question: Callable[[sqlite3.Connection], T]) -> T:
        self.n_asked += 1
        await asyncio.sleep(0)
        return question(self.db)


def test_a_thousand_pages_are_one_reading(db: sqlite3.Connection) -> None:
    """Within a second everybody gets the same bytes; after it there is one more reading."""
    clock = 100.0
    reader = Reader(db)

    async def ask() -> None:
        nonlocal clock
        cache = ActivityCache(reader, lambda: NOW, lambda: clock)  # type: ignore[arg-type]
        store(db, NOW)
        first = await asyncio.gather(*(cache.response(15) for _ in range(1_000)))
        assert len({id(one) for one in first}) == 1
        # One to read, one to write the text.
        assert reader.n_asked == 2
        store(db, NOW)
        clock += 0.9
        assert await cache.response(15) == first[0]
        clock += 0.1
        assert json.loads(await cache.response(15))["agents"]["a"]["events"][-1] == 2
        assert reader.n_asked == 4

    asyncio.run(ask())
