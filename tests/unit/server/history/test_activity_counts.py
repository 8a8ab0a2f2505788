"""ActivityCounts and ActivityCache against the rows that they count."""

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
from htmlgraph_nb.storage.migrations import MIGRATIONS
from htmlgraph_server.history import activity_counts
from htmlgraph_server.history.activity_counts import ActivityCache, ActivityCounts

NOW = datetime(2026, 1, 14, 14, 50, 30, tzinfo=UTC)
NAMES = ["a", "b", "tool_execute", "error", "tool_error", "offline", "forget", "idle", "timer"]
T = TypeVar("T")


def id_of(name: str) -> int:
    """Return the id of a name in the tables of these tests."""
    return NAMES.index(name) + 1


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty_database in-memory database."""
    connection = empty_database()
    yield connection
    connection.close()


def empty_database() -> sqlite3.Connection:
    """Return an in-memory database with the tables and NAMES."""
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
    event_type: str = "tool_execute",
    status: int | None = None,
    source: str | None = None,
) -> None:
    """Store one event."""
    db.execute(
        "INSERT INTO events (ts, agent, type, status, source) VALUES (?, ?, ?, ?, ?)",
        (to_micros(at), id_of(agent), id_of(event_type), status, source and id_of(source)),
    )


def agents(counts: ActivityCounts, minutes: int = 15, now: datetime = NOW) -> dict[str, Any]:
    """Return the counts by agent."""
    counts_by_agent: dict[str, Any] = json.loads(counts.to_json(minutes, now))["agents"]
    return counts_by_agent


def minute_of(at: datetime) -> int:
    """Return the minute since 1970."""
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
def test_activity_counts_match_rows(parts: list[list[Any]], minutes: int) -> None:
    """Late, future and uncounted events, read at once or in parts, give the expected counts."""
    db, counts = empty_database(), ActivityCounts()
    expected: dict[str, dict[str, list[int]]] = {}
    for part in parts:
        for age, agent, event_type, status, source in part:
            at = NOW - timedelta(seconds=age)
            store(db, at, agent, event_type, status, source)
            bucket = minutes - 1 - (minute_of(NOW) - minute_of(min(at, NOW)))
            if bucket < 0 or source == "timer" or event_type in ("offline", "forget"):
                continue
            buckets = expected.setdefault(agent, {"events": [0] * minutes, "errors": [0] * minutes})
            buckets["events"][bucket] += 1
            buckets["errors"][bucket] += status == 1 or event_type in ("error", "tool_error")
        counts.refresh(db, NOW)
    assert agents(counts, minutes) == expected
    again = ActivityCounts()
    again.refresh(db, NOW)
    assert agents(again, minutes) == expected
    db.close()


def test_activity_counts_move_with_time(db: sqlite3.Connection) -> None:
    """Events move to the left and out; events older than an hour are dropped."""
    store(db, NOW)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert agents(counts, 3)["a"]["events"] == [0, 0, 1]
    assert agents(counts, 3, NOW + timedelta(minutes=2))["a"]["events"] == [1, 0, 0]
    assert agents(counts, 3, NOW + timedelta(minutes=3)) == {}
    counts.refresh(db, NOW + timedelta(minutes=60))
    assert agents(counts, 60, NOW + timedelta(minutes=60)) == {}


def test_first_refresh_skips_old_rows_and_stops(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old events stored late do not hide new ones, and a long old history is not read."""
    monkeypatch.setattr(activity_counts, "_RANGE_ROWS", 10)
    for n in range(1_000):
        store(db, NOW - timedelta(days=1), "b")
        if n == 900:
            store(db, NOW, "a")
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert agents(counts)["a"]["events"][-1] == 1
    read: list[tuple[int, int]] = []

    class CountingConnection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            if "EXISTS" in sql:
                read.append(tuple(parameters)[:2])
            return super().execute(sql, parameters)

    other = sqlite3.connect(":memory:", factory=CountingConnection)
    db.backup(other)
    ActivityCounts().refresh(other, NOW + timedelta(days=2))
    assert len(read) == 10
    other.close()


def test_refresh_after_deletion_starts_over(db: sqlite3.Connection) -> None:
    """If the newest rows are deleted, the counts are too."""
    store(db, NOW)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    db.execute("DELETE FROM events")
    counts.refresh(db, NOW)
    assert agents(counts) == {}


def test_activity_counts_keep_busiest_agents(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit, the least active agents are dropped."""
    monkeypatch.setattr(activity_counts, "MAX_ACTIVITY_AGENTS", 1)
    for agent in ("a", "b", "b"):
        store(db, NOW, agent)
    counts = ActivityCounts()
    counts.refresh(db, NOW)
    assert set(agents(counts)) == {"b"}


class FakeReader:
    """Runs queries at once and counts them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.n_queries = 0

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self.n_queries += 1
        await asyncio.sleep(0)
        return query(self.db)


def test_activity_cache_shares_one_query(db: sqlite3.Connection) -> None:
    """Requests within a second get the same bytes; a later request runs another query."""
    clock = 100.0
    reader = FakeReader(db)

    async def request() -> None:
        nonlocal clock
        cache = ActivityCache(reader, lambda: NOW, lambda: clock)  # type: ignore[arg-type]
        store(db, NOW)
        first = await asyncio.gather(*(cache.response(15) for _ in range(1_000)))
        assert len({id(body) for body in first}) == 1
        # One to count, one to encode.
        assert reader.n_queries == 2
        store(db, NOW)
        clock += 0.9
        assert await cache.response(15) == first[0]
        clock += 0.1
        assert json.loads(await cache.response(15))["agents"]["a"]["events"][-1] == 2
        assert reader.n_queries == 4

    asyncio.run(request())
