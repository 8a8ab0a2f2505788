"""The write queue with a database that only counts."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import pytest

from htmlgraph_nb.errors import InvalidEvent, StoreClosed, StoreUnavailable
from htmlgraph_nb.storage.commit.write_queue import WriteQueue, WriteRequest


class Counter(WriteQueue[list[str]]):
    """Its transaction is a list, and fails if a job adds "fail"."""

    def __init__(self) -> None:
        super().__init__("counter", nullcontext())
        self.commits: list[list[str]] = []
        self.is_open = True

    def _transact(self, group: list[WriteRequest[list[str], Any]]) -> None:
        tx: list[str] = []
        for request in group:
            request.run(tx)
        if "fail" in tx:
            raise ZeroDivisionError
        self.commits.append(tx)

    def _close(self) -> None:
        self.is_open = False


def test_write_returns_the_result_of_its_job() -> None:
    """A refusal of a job is raised to its caller only."""
    queue = Counter()
    assert queue.write(lambda tx: tx.append("a")) is None

    def refuse(tx: list[str]) -> None:
        raise InvalidEvent("no")

    with pytest.raises(InvalidEvent):
        queue.write(refuse)
    assert queue.commits == [["a"], []]


def test_submit_commits_in_groups() -> None:
    """Jobs that wait are committed together; a failed one leaves the others."""
    queue = Counter()
    entered, leave = threading.Event(), threading.Event()

    def block(tx: list[str]) -> None:
        entered.set()
        leave.wait(20)

    first = queue.submit(block)
    assert entered.wait(20)
    futures = [queue.submit(lambda tx, name=name: tx.append(name)) for name in ("b", "fail", "c")]
    leave.set()
    assert [first.result(), futures[0].result(), futures[2].result()] == [None] * 3
    with pytest.raises(ZeroDivisionError):
        futures[1].result()
    queue.close()
    assert queue.commits == [[], ["b"], ["c"]]


def test_close_commits_what_waits() -> None:
    """Nothing is accepted afterwards; the second call does nothing."""
    queue = Counter()
    futures = [queue.submit(lambda tx, n=n: tx.append(str(n))) for n in range(9)]
    queue.close()
    queue.close()
    assert all(future.done() for future in futures)
    assert [name for commit in queue.commits for name in commit] == [str(n) for n in range(9)]
    assert not queue.is_open
    with pytest.raises(StoreClosed):
        queue.write(len)


def test_write_of_a_broken_store_fails_the_group() -> None:
    """What the database refuses is no fault of one job."""

    class Broken(Counter):
        def _transact(self, group: list[WriteRequest[list[str], Any]]) -> None:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable, match="away"):
        Broken().write(len)
