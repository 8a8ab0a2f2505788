"""The last points of token counters: one count for all managers of a file, bounded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.otel.metrics import readings_of
from htmlgraph_nb.coding_agents.otel.signals import Point
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.commit import counter_table
from tests.helpers.databases import restore
from tests.helpers.otlp_signals import point


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "counters.db")


@pytest.fixture
def manager(path: str) -> Iterator[PresenceManager]:
    """Return a manager of the file."""
    with PresenceManager(path) as manager:
        yield manager


def count(manager: PresenceManager, *points: Point) -> int:
    """Send an export and return the tokens of all agents."""
    manager.submit_readings([*readings_of(points)], time.monotonic()).result(30)
    return sum(agent.total_cost_tokens for agent in manager.agents.values())


def rows(path: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_counter_table_is_shared_by_managers(path: str) -> None:
    """A cumulative counter that ends at 400 counts 400, at whichever manager it arrives."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        managers = (first, second)
        for at in range(2, 10):
            sent = point(50.0 * (at - 1), at, delta=False)
            assert count(managers[at % 2], sent) == 50 * (at - 1)
            assert count(managers[at % 3 == 0], sent) == 50 * (at - 1), "repeated"
        delta = point(7, 11, start=10, delta=True)
        other = point(5, 11, start=10, delta=True, kind="output")
        assert count(first, delta) == 407
        assert count(second, delta, other) == 412, "in another group"
    with PresenceManager(path) as again:
        assert count(again, point(410, 12, delta=False)) == 422


def test_counter_table_keeps_nothing_of_a_failed_transaction(path: str) -> None:
    """The sender repeats the export, which then counts."""
    with PresenceManager(path, limits=Limits(max_agents=1)) as manager:
        manager.update_presence("a", "prompt")
        with pytest.raises(CapacityError):
            count(manager, point(50, 2, delta=False))
        manager.forget("a")
        assert count(manager, point(50, 2, delta=False)) == 50
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TRIGGER fail BEFORE INSERT ON counter_streams WHEN NEW.at_ns = 3 "
                "BEGIN SELECT raise(ABORT, 'no'); END"
            )
        with pytest.raises(Exception, match="no"):
            count(manager, point(70, 3, delta=False))
        with sqlite3.connect(path) as db:
            db.execute("DROP TRIGGER fail")
        assert count(manager, point(70, 3, delta=False)) == 70


@pytest.mark.parametrize("limit", ["MAX_STREAMS", "MAX_STREAMS_PER_SESSION"])
def test_counter_table_evicts_the_least_recently_used(
    monkeypatch: pytest.MonkeyPatch, path: str, manager: PresenceManager, limit: str
) -> None:
    """An evicted stream counts its further growth, never its whole value again."""
    monkeypatch.setattr(counter_table, limit, 2)
    for at, kind in enumerate(("input", "output", "input", "cacheRead"), 2):
        count(manager, point(at, at, delta=False, kind=kind))
    assert rows(path, "SELECT count(*) FROM counter_streams") == [(2,)]
    total = count(manager)
    assert count(manager, point(14, 8, delta=False, kind="input")) == total + 10, "it was kept"
    assert count(manager, point(13, 8, delta=False, kind="output")) == total + 10
    assert count(manager, point(15, 9, delta=False, kind="output")) == total + 12
    later = point(5, 11, start=10, delta=False, kind="output")
    assert count(manager, later) == total + 17, "a new stream"


def test_counter_table_bounds_each_session(
    monkeypatch: pytest.MonkeyPatch, manager: PresenceManager
) -> None:
    """The streams of one session do not evict those of others."""
    monkeypatch.setattr(counter_table, "MAX_STREAMS_PER_SESSION", 2)
    first = point(5, 2, delta=False)
    count(manager, first)
    other = replace(first, attributes={**first.attributes, "session.id": "other"})
    for start in range(10, 30):
        count(manager, replace(other, start_ns=start, at_ns=99))
    before = manager.agents["claude-s"].total_cost_tokens
    count(manager, point(9, 3, delta=False))
    assert manager.agents["claude-s"].total_cost_tokens == before + 4


def test_counter_table_bounds_its_sessions(
    monkeypatch: pytest.MonkeyPatch, path: str, manager: PresenceManager
) -> None:
    """Those whose counters were read earliest leave first."""
    monkeypatch.setattr(counter_table, "MAX_STREAMS", 0)
    monkeypatch.setattr(counter_table, "MAX_READ_SESSIONS", 2)
    first = point(5, 2, delta=False)
    for at, session in enumerate("abcd", 2):
        attributes = {**first.attributes, "session.id": session}
        count(manager, replace(first, attributes=attributes, at_ns=at))
    assert rows(path, "SELECT * FROM counter_sessions ORDER BY session") == [("c", 4), ("d", 5)]


def test_counter_table_accepts_any_time(manager: PresenceManager) -> None:
    """OTLP's times have 64 bits without a sign, SQLite's integers have one."""
    sent = replace(point(5, 2**64 - 1, delta=False), start_ns=2**64 - 2)
    assert count(manager, sent) == 0, "its start is its time"
    assert count(manager, replace(sent, start_ns=1)) == 5


def test_counter_table_of_an_older_file(path: str) -> None:
    """The counters that it stored events of are continued, not counted as new."""
    restore(5, path)
    with sqlite3.connect(path) as db:
        n = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
        db.execute("INSERT OR IGNORE INTO names (name) VALUES ('s'), ('completion')")
        db.execute(
            "INSERT INTO events (id, ts, agent, type, session, event_id) SELECT ?, 5, a.id, t.id, "
            "s.id, 'metric:1' FROM names a, names t, names s WHERE a.name = 'claude-1' "
            "AND t.name = 'completion' AND s.name = 's'",
            (n + 1,),
        )
    with PresenceManager(path) as manager:
        before = count(manager)
        assert count(manager, point(50, 9_000, start=5_000, delta=False)) == before
        assert count(manager, point(70, 9_001, start=5_000, delta=False)) == before + 20
        assert count(manager, point(5, 9_001, start=6_001, delta=False)) == before + 25
