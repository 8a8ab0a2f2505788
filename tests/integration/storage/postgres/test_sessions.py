"""Connections to a real PostgreSQL."""

from __future__ import annotations

import pytest

from htmlgraph_nb.errors import StoreClosed, StoreUnavailable
from htmlgraph_nb.storage.postgres.sessions import (
    READER,
    WRITER,
    PostgresSession,
    open_postgres_reader,
)
from tests.helpers.postgres import PASSWORD, PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An address with a password."""
    return postgres.new_url()


def test_session_has_the_methods_of_sqlite(url: str) -> None:
    """Flags are numbers, sums are integers, and rows are tuples."""
    session = PostgresSession(url, WRITER)
    session.execute("CREATE TEMP TABLE t (a bigint, b text)")
    session.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (True, "y\0"), (2, None)])
    cursor = session.execute("SELECT a, b FROM t WHERE a IN (?, ?) ORDER BY b", (1, 3))
    assert [name for name, *_ in cursor.description] == ["a", "b"]
    assert cursor.fetchone() == (1, "x")
    assert cursor.fetchmany(5) == [(1, "y\ufffd")]
    (total,) = session.execute("SELECT sum(a) FROM t").fetchone()
    assert (total, type(total)) == (4, int)
    assert session.execute("DELETE FROM t").rowcount == 3
    assert list(session.execute("SELECT a FROM t")) == []
    session.close()
    with pytest.raises(StoreClosed):
        session.execute("SELECT 1")


def test_session_connects_again(url: str) -> None:
    """A lost connection fails one statement at most, if no transaction was open."""
    session = open_postgres_reader(url)
    (pid,) = session.execute("SELECT pg_backend_pid()").fetchone()
    other = PostgresSession(url, READER)
    other.execute("SELECT pg_terminate_backend(?::int)", (pid,)).fetchone()
    with pytest.raises(StoreUnavailable):
        session.execute("SELECT 1")
    assert session.execute("SELECT 1").fetchone() == (1,)
    session.interrupt()
    with pytest.raises(StoreUnavailable):
        session.execute("SELECT 1")
    assert session.execute("SELECT 2").fetchone() == (2,)
    session.close()
    other.close()


def test_session_errors_name_no_password(url: str) -> None:
    """Neither with a wrong password nor without a server."""
    for wrong in (
        url.replace(PASSWORD, "other-secret"),
        "postgresql://u:other-secret@127.0.0.1:1/x",
    ):
        with pytest.raises(StoreUnavailable) as caught:
            PostgresSession(wrong, READER)
        assert "other-secret" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
