"""Managers that share a real PostgreSQL, and what they do when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.postgres import sessions
from htmlgraph_nb.storage.shared.postgres_store import PostgresStore
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.postgres import PASSWORD, PostgresServer, make_server
from tests.helpers.wait import wait_until


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty store."""
    return postgres.new_url()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    server = make_server()
    yield server
    server.stop()


def store_of(manager: PresenceManager) -> PostgresStore:
    """Return the store of a manager."""
    assert isinstance(manager.store, PostgresStore)
    return manager.store


def session_pid(manager: PresenceManager) -> int:
    """Return the process of PostgreSQL that serves the writer."""
    (pid,) = store_of(manager)._session.execute("SELECT pg_backend_pid()").fetchone()
    return int(pid)


def test_store_shows_no_password(url: str) -> None:
    """Neither in its path nor in any text about it."""
    with PresenceManager(url) as manager:
        shown = manager.db_path + repr(manager) + manager._repr_html_()
    assert PASSWORD in url
    assert PASSWORD not in shown
    assert "127.0.0.1" in shown


def test_store_orders_events_of_all_managers(url: str) -> None:
    """Seqs have no gaps, each event is stored once, and all managers end up equal."""
    managers = [PresenceManager(url) for _ in range(3)]
    seqs: list[list[int]] = [[] for _ in managers]
    for manager, own in zip(managers, seqs, strict=True):
        manager.subscribe(lambda batch, own=own: own.extend(c.seq for c in batch.changes))

    def write(manager: PresenceManager, number: int) -> None:
        for n in range(30):
            # The same events at all managers.
            manager.ingest(
                [Event(agent_id=f"a{n % 5}", event_type="tool_execute", event_id=f"{n}")]
            )
            manager.update_presence(f"own{number}", "prompt")

    threads = [
        threading.Thread(target=write, args=(manager, number))
        for number, manager in enumerate(managers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agents = [manager.agents for manager in managers]
    assert agents[0] == agents[1] == agents[2]
    assert sum(agents[0][f"a{n}"].total_tools_executed for n in range(5)) == 30
    assert history_rows(url) == [(seq,) for seq in range(1, 121)]
    assert all(own == sorted(own) for own in seqs)
    for manager in managers:
        manager.close()


def test_store_uses_the_clock_of_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose clock is an hour ahead makes no agent idle."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with PresenceManager(url) as one, PresenceManager(url) as two:
        one.update_presence("a", "prompt")
        monkeypatch.setattr("htmlgraph_nb.core.timestamps.utc_now", lambda: ahead)
        assert two.tick() == []
        assert two.update_presence("a", "tool_execute").last_activity < ahead - timedelta(
            minutes=50
        )


def test_store_reads_a_commit_whose_answer_was_lost(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets an error and repeats; the event is stored and published once."""
    with PresenceManager(url) as manager:
        batches: list[Any] = []
        manager.subscribe(batches.append)
        session = store_of(manager)._session
        run = session.run

        def lose_answer(text: str, values: Any = None) -> Any:
            result = run(text, values)
            if text.endswith("COMMIT") and "NOTIFY" in text:
                session.interrupt()
                run("SELECT 1")
            return result

        event = Event(agent_id="a", event_type="tool_execute", event_id="e1")
        monkeypatch.setattr(session, "run", lose_answer)
        with pytest.raises(StoreUnavailable):
            manager.ingest([event])
        monkeypatch.undo()
        result = manager.ingest([event])
        assert (result.accepted, result.duplicates) == (0, 1)
        assert manager.agents["a"].total_tools_executed == 1
        assert [c.seq for batch in batches for c in batch.changes] == [1]
    assert history_rows(url) == [(1,)]


def test_store_continues_after_its_connection_is_ended(url: str, postgres: PostgresServer) -> None:
    """One request fails; the state is stale until the next."""
    with PresenceManager(url) as manager:
        manager.update_presence("a", "prompt")
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (session_pid(manager),))
        with pytest.raises(StoreUnavailable):
            manager.update_presence("a", "prompt")
        assert manager.store.problem is not None
        assert manager.update_presence("a", "prompt").seq == 2
        assert manager.store.problem is None


def test_store_that_hangs_in_its_transaction_stops_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends the transaction; the hung one fails when it continues."""
    monkeypatch.setitem(sessions.WRITER, "idle_in_transaction_session_timeout", 300)
    entered, leave = threading.Event(), threading.Event()
    failures: list[BaseException] = []
    with PresenceManager(url) as hung, PresenceManager(url) as other:

        def hang(tx: Any) -> None:
            entered.set()
            leave.wait(30)

        def write() -> None:
            try:
                hung.store.write(lambda tx: (hang(tx), tx.add_event(event, at, presence)))
            except StoreUnavailable as error:
                failures.append(error)

        event = Event(agent_id="x", event_type="prompt")
        at = datetime.now(UTC)
        presence = other.update_presence("b", "prompt")
        thread = threading.Thread(target=write)
        thread.start()
        assert entered.wait(20)
        assert other.update_presence("a", "prompt").seq == 2
        leave.set()
        thread.join()
        assert len(failures) == 1
        assert hung.update_presence("a", "prompt").seq == 3


def test_store_survives_kill_of_the_database(own_server: PostgresServer) -> None:
    """What was acknowledged is there, requests fail meanwhile, and it connects by itself."""
    url = own_server.new_url()
    with PresenceManager(url) as manager:
        manager.update_presence("a", "prompt")
        own_server.kill()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                manager.update_presence("a", "prompt")
        assert manager.store.problem
        own_server.start()
        wait_until(lambda: _retry(manager), "the database")
        assert manager.agents["a"].seq == manager.cursor.seq
    assert len(history_rows(url)) >= 2


def _retry(manager: PresenceManager) -> bool:
    try:
        manager.update_presence("a", "prompt")
    except StoreUnavailable:
        return False
    return True


def test_store_gives_up_a_database_that_hangs(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut; afterwards all goes on."""
    monkeypatch.setattr("htmlgraph_nb.storage.shared.postgres_watch.HUNG_S", 0.5)
    with PresenceManager(own_server.new_url()) as manager:
        manager.update_presence("a", "prompt")
        own_server.pause()
        with pytest.raises(StoreUnavailable):
            manager.update_presence("a", "prompt")
        own_server.resume()
        wait_until(lambda: _retry(manager), "the database")


def test_store_keeps_plans_of_large_tables(url: str) -> None:
    """A plan that was made while a table was empty must not read all of it later."""
    with PresenceManager(url) as manager:
        for n in range(8):
            manager.ingest([Event(agent_id="a", event_type="prompt", event_id=f"e{n}")])
        rows = store_of(manager)._session.execute(
            "EXPLAIN SELECT 1 FROM events WHERE event_id IN (?)", ("e1",)
        )
        assert "Seq Scan" not in str(rows.fetchall())


def test_stores_of_two_schemas_are_apart(postgres: PostgresServer) -> None:
    """They share a database and nothing else."""
    urls = [postgres.new_url() for _ in range(2)]
    with PresenceManager(urls[0]) as one, PresenceManager(urls[1]) as two:
        one.update_presence("a", "prompt")
        assert two.agents == {}
        assert one.cursor.epoch != two.cursor.epoch
    assert query_rows(urls[1], "SELECT count(*) FROM events") == [(0,)]
