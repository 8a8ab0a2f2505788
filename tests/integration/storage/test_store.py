"""Transactions of the store: shared by writers, atomic, and completed before closing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.core.status_rules import FORGOTTEN
from htmlgraph_nb.errors import (
    CapacityError,
    InvalidEvent,
    StoreClosed,
    StoreDamaged,
    StoreUnavailable,
)
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.commit.write_queue import MAX_QUEUED_ROWS
from htmlgraph_nb.storage.store import Store
from htmlgraph_nb.storage.transaction import Transaction
from tests.helpers.database_files import history_rows, run_python


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "history.db")


@pytest.fixture
def manager(path: str) -> Iterator[PresenceManager]:
    """A manager of that file."""
    with PresenceManager(path) as opened:
        yield opened


class RecordingListener:
    """A transaction listener without state that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def begin(self, tx: Transaction, external: bool) -> None:
        """See TransactionListener."""
        self.calls.append("external" if external else "begin")

    def flush(self, tx: Transaction) -> None:
        """See TransactionListener."""

    def committed(self, tx: Transaction) -> None:
        """See TransactionListener."""
        self.calls.append("committed")

    def rolled_back(self) -> None:
        """See TransactionListener."""
        self.calls.append("rolled back")


def now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)


_FILL_DISK = """
import resource, signal, sys
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
manager = PresenceManager(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
acknowledged = 0
try:
    while True:
        manager.ingest([Event(agent_id=f"a{acknowledged % 7}", extra={"text": "x" * 5_000})])
        acknowledged += 1
except StoreUnavailable as error:
    print(error)
totals = manager.snapshot()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert manager.cursor.seq == acknowledged, (manager.cursor, acknowledged)
manager.ingest([Event(agent_id="after")])
assert {**manager.snapshot(), "after": None} == {**totals, "after": None}
manager.close()
print(acknowledged + 1)
"""


def test_write_fails_on_full_disk(path: str) -> None:
    """Acknowledged events stay, the failed one is absent; with space again writing continues."""
    done = run_python(_FILL_DISK, path)
    assert done.returncode == 0, done.stderr
    said, n_rows = done.stdout.splitlines()
    assert path in said
    assert [row[0] for row in history_rows(path)] == list(range(1, int(n_rows) + 1))


def test_write_times_out_on_locked_file(path: str) -> None:
    """The wait is bounded, the error names the file, and later writes succeed."""
    listener = RecordingListener()
    store = Store(path, listener, busy_timeout_s=0.05)
    event = Event(agent_id="a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="is locked by another process"):
        store.write(lambda tx: tx.add_event(event, now(), FORGOTTEN))
    with pytest.raises(StoreUnavailable, match="is locked"):
        store.submit(lambda tx: tx.add_event(event, now(), FORGOTTEN)).result(10)
    other.execute("ROLLBACK")
    other.close()
    assert store.write(lambda tx: tx.add_event(event, now(), FORGOTTEN)) == 1
    store.close()
    assert listener.calls[-2:] == ["external", "committed"]
    assert history_rows(path) == [(1,)]


def test_write_from_many_threads_loses_nothing(path: str, manager: PresenceManager) -> None:
    """Every acknowledged event exists once, seqs have no gap, and changes arrive in order."""
    published: list[int] = []
    n_publications = 0

    def note(publication) -> None:
        nonlocal n_publications
        n_publications += 1
        published.extend(change.seq for change in publication.changes)

    manager.subscribe(note)

    def work(worker: int) -> list[int]:
        seqs = []
        for n in range(60):
            batch = [Event(agent_id=f"a{n % 5}", event_id=f"{worker}-{n}-{k}") for k in range(3)]
            waits = worker % 2
            receipt = manager.submit(batch, 0.0).result(30) if waits else manager.ingest(batch)
            assert (receipt.accepted, receipt.duplicates) == (3, 0)
            seqs.append(receipt.cursor.seq)
        assert seqs == sorted(seqs)
        return seqs

    with ThreadPoolExecutor(12) as pool:
        acknowledged = [seq for seqs in pool.map(work, range(12)) for seq in seqs]
    n = 12 * 60 * 3
    assert len(set(acknowledged)) == 12 * 60
    assert published == list(range(1, n + 1))
    assert n_publications < 12 * 60, "no two writes ever shared a transaction"
    assert [row[0] for row in history_rows(path)] == list(range(1, n + 1))
    expected = {f"{w}-{k}-{j}" for w in range(12) for k in range(60) for j in range(3)}
    assert {row[0] for row in history_rows(path, "event_id")} == expected


def test_event_id_counts_once(path: str) -> None:
    """Within a call, a transaction, another process and after a restart."""
    once = Event(agent_id="a", event_type="tool_execute", event_id="e1", input_tokens=5)
    with PresenceManager(path) as manager:
        assert manager.ingest([once, once]).duplicates == 1
        futures = [manager.submit([once], 0.0) for _ in range(5)]
        assert [future.result(10).accepted for future in futures] == [0] * 5
        with PresenceManager(path) as other:
            assert other.ingest([once]).duplicates == 1
    with PresenceManager(path) as manager:
        receipt = manager.ingest([once])
        assert (receipt.accepted, receipt.duplicates, receipt.cursor.seq) == (0, 1, 1)
        presence = manager.get_agent_presence("a")
        assert presence is not None
        assert (presence.total_tools_executed, presence.total_cost_tokens) == (1, 5)


def test_failing_job_does_not_affect_others(path: str) -> None:
    """A rejected job and a bug in the middle of a shared transaction."""
    store = Store(path, RecordingListener())
    gate, opened = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        opened.set()
        gate.wait(30)

    def add(tx: Transaction) -> int:
        return tx.add_event(Event(agent_id="a"), now(), FORGOTTEN)

    def refuse(tx: Transaction) -> int:
        raise InvalidEvent("no", "agent_id")

    def break_down(tx: Transaction) -> int:
        tx.add_event(Event(agent_id="broken"), now(), FORGOTTEN)
        raise ZeroDivisionError

    first = store.submit(hold)
    assert opened.wait(30)
    futures = [store.submit(job) for job in (add, refuse, add, break_down, add)]
    gate.set()
    wait([first, *futures], 30)
    outcomes = [type(future.exception(30)) for future in futures]
    nothing = type(None)
    assert outcomes == [nothing, InvalidEvent, nothing, ZeroDivisionError, nothing]
    assert [futures[n].result() for n in (0, 2, 4)] == [1, 2, 3]
    store.close()
    assert history_rows(path, "agent_id") == [("a",)] * 3


def test_unstorable_event_fails_alone(path: str, manager: PresenceManager) -> None:
    """An event built past all validation fails alone in a group of many senders."""
    bad = Event(agent_id="bad", input_tokens=2**70)
    good = [Event(agent_id=f"good-{n}", event_type="tool_execute") for n in range(40)]
    futures = [manager.submit([event], 0.0) for event in [*good[:20], bad, *good[20:]]]
    failed = [future for future in futures if future.exception(30) is not None]
    assert failed == [futures[20]]
    assert manager.snapshot().keys() == {event.agent_id for event in good}
    assert len(history_rows(path)) == 40


def test_rolled_back_write_leaves_no_trace(path: str, manager: PresenceManager) -> None:
    """Neither in the file nor in the roster, and nothing is published."""
    manager.update_presence("a", "tool_execute")
    published: list[object] = []
    manager.subscribe(published.append)
    before = (manager.snapshot(), manager.cursor)
    with sqlite3.connect(path, isolation_level=None) as db:
        # From now on the database refuses the last statement of each transaction.
        db.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.event_id = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    db.close()
    with pytest.raises(StoreDamaged, match="refused"):
        manager.ingest(
            [Event(agent_id="new", tool_name="New"), Event(agent_id="a", event_id="bad")]
        )
    assert (manager.snapshot(), manager.cursor) == before
    assert published == []
    assert history_rows(path, "agent_id") == [("a",)]
    manager.update_presence("new", {"tool_name": "New"})
    assert history_rows(path, "seq, agent_id, tool_name") == [(1, "a", None), (2, "new", "New")]


@pytest.mark.parametrize("point", ["before the commit", "just after the commit", "published"])
def test_interrupt_keeps_file_and_roster_equal(
    path: str, manager: PresenceManager, point: str
) -> None:
    """KeyboardInterrupt can occur anywhere; the next write starts from the state of the file."""
    store = manager.store
    listener = store._listener
    committed, flush = listener.committed, listener.flush

    def interrupt(*_: object) -> None:
        if point == "published":
            committed(*_)
        raise KeyboardInterrupt

    manager.update_presence("a", "tool_execute")
    if point == "before the commit":
        listener.flush = interrupt  # type: ignore[method-assign]
    else:
        listener.committed = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        manager.update_presence("b", "tool_execute")
    listener.committed, listener.flush = committed, flush  # type: ignore[method-assign]
    assert not store._lock.locked()
    published: list[int] = []
    manager.subscribe(lambda batch: published.extend(change.seq for change in batch.changes))
    manager.update_presence("c", "tool_execute")
    happened = point != "before the commit"
    names = ["a", "b", "c"] if happened else ["a", "c"]
    assert [row[0] for row in history_rows(path, "agent_id")] == names
    assert sorted(manager.snapshot()) == names
    assert published == ([2, 3] if happened else [2])


def test_close_commits_queued_jobs(path: str) -> None:
    """All queued jobs are committed; later calls raise StoreClosed."""
    manager = PresenceManager(path)
    futures = [manager.submit([Event(agent_id="a")], 0.0) for _ in range(500)]
    manager.close()
    manager.close()
    assert all(future.done() and future.result().accepted == 1 for future in futures)
    assert len(history_rows(path)) == 500
    for call in (
        lambda: manager.update_presence("a", "stop"),
        lambda: manager.submit([], 0.0),
        lambda: manager.agents,
        manager.sync_external,
    ):
        with pytest.raises(StoreClosed, match="was closed"):
            call()


def test_close_completes_concurrent_writes(path: str) -> None:
    """Each concurrent write is committed or refused."""
    for _ in range(30):
        manager = PresenceManager(path)
        start = threading.Barrier(4)

        def write(manager: PresenceManager = manager, start: threading.Barrier = start) -> int:
            start.wait()
            n = 0
            try:
                while True:
                    manager.submit([Event(agent_id="a")], 0.0).result(30)
                    n += 1
            except StoreClosed:
                return n

        before = manager.cursor.seq
        with ThreadPoolExecutor(3) as pool:
            counts = [pool.submit(write) for _ in range(3)]
            start.wait()
            manager.close()
            total = sum(count.result(60) for count in counts)
        assert len(history_rows(path)) == before + total


def test_submit_refuses_when_queue_is_full(path: str) -> None:
    """Rows count, not calls: a few large batches fill the queue like many small ones."""
    store = Store(path, RecordingListener())
    gate, opened = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        opened.set()
        gate.wait(30)

    store.submit(hold)
    assert opened.wait(30)
    futures = [store.submit(lambda tx: None, MAX_QUEUED_ROWS // 2) for _ in range(2)]
    with pytest.raises(CapacityError, match="write queue full") as refused:
        store.submit(lambda tx: None)
    assert refused.value.code == "ingest_backlog"
    assert store.n_queued == 2
    gate.set()
    wait(futures, 30)
    assert store.submit(lambda tx: 7).result(30) == 7
    store.close()


def test_roster_limit_refuses_new_agents_only(path: str) -> None:
    """Existing agents continue; a rejected batch leaves nothing behind."""
    with PresenceManager(path, limits=Limits(max_agents=2)) as manager:
        manager.ingest([Event(agent_id="a"), Event(agent_id="b")])
        with pytest.raises(CapacityError, match="agents: at most 2 allowed"):
            manager.ingest([Event(agent_id="a"), Event(agent_id="c")])
        manager.ingest([Event(agent_id="a")])
        assert manager.snapshot().keys() == {"a", "b"}
    assert len(history_rows(path)) == 3
