"""The worker's cache of tables."""

from __future__ import annotations

from htmlgraph_server.history.report_worker import MAX_TABLES, TableCache


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_table_cache_computes_again_after_a_change() -> None:
    """A table is kept while the database is the same, and for four times its computation."""
    clock = Clock()
    calls: list[int] = []
    cache = TableCache(clock)

    def compute() -> int:
        clock.now += 2.0
        calls.append(len(calls))
        return len(calls)

    assert cache.get("a", "e:1", compute)[:2] == (1, "e:1")
    clock.now += 100
    assert cache.get("a", "e:1", compute)[:2] == (1, "e:1")
    assert cache.get("a", "e:2", compute)[:2] == (2, "e:2")
    clock.now += 7.9
    assert cache.get("a", "e:3", compute)[:2] == (2, "e:2")
    clock.now += 0.2
    assert cache.get("a", "e:4", compute)[:2] == (3, "e:4")


def test_table_cache_keeps_the_last_tables() -> None:
    """The least recently used table is removed."""
    cache = TableCache(Clock())
    for number in range(MAX_TABLES):
        cache.get(str(number), "e:1", lambda: "old")
    cache.get("0", "e:1", lambda: "new")
    cache.get("more", "e:1", lambda: "old")
    assert cache.get("0", "e:1", lambda: "new")[0] == "old"
    assert cache.get("1", "e:1", lambda: "new")[0] == "new"
