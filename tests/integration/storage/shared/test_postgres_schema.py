"""The tables in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from htmlgraph_nb.errors import StoreTooNew
from htmlgraph_nb.storage.migrations import SCHEMA_VERSION
from htmlgraph_nb.storage.postgres.sessions import WRITER, PostgresSession
from htmlgraph_nb.storage.shared.postgres_schema import (
    OLDEST_PROGRAM,
    create_tables,
    sqlite_tables,
)
from tests.helpers.postgres import PostgresServer

COLUMNS = """SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position"""


@pytest.fixture
def session(postgres: PostgresServer) -> Iterator[PostgresSession]:
    """A session of an empty schema."""
    opened = PostgresSession(postgres.new_url(), WRITER)
    yield opened
    opened.close()


def columns_of(session: PostgresSession, table: str) -> list[str]:
    """Return the columns of a table in PostgreSQL."""
    return [row[0] for row in session.execute(COLUMNS, (table,))]


def test_create_tables_makes_all_of_sqlite(session: PostgresSession) -> None:
    """With the same columns in the same order; a second call changes nothing."""
    for _ in range(2):
        create_tables(session)
    tables, _ = sqlite_tables()
    assert {"events", "agent_presence", "alerts", "quotas", "session_files"} <= set(tables)
    for table, columns in tables.items():
        assert columns_of(session, table) == [column.name for column in columns]
    assert session.execute("SELECT version, seq FROM stream").fetchall() == [(0, 0)]


def test_create_tables_of_many_servers_at_once(postgres: PostgresServer) -> None:
    """Servers that start together wait for the first."""
    url = postgres.new_url()
    failures: list[BaseException] = []

    def start() -> None:
        try:
            session = PostgresSession(url, WRITER)
            create_tables(session)
            session.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_create_tables_adds_what_an_older_version_lacks(session: PostgresSession) -> None:
    """Its rows stay, and servers of the older version can go on."""
    create_tables(session)
    session.execute("INSERT INTO names (name) VALUES ('kept')")
    session.execute("DROP VIEW history")
    session.execute("ALTER TABLE events DROP COLUMN root")
    session.execute("DROP TABLE alerts")
    session.execute("UPDATE meta SET value = '6' WHERE key = 'schema_version'")
    create_tables(session)
    assert "root" in columns_of(session, "events")
    assert columns_of(session, "alerts")
    assert session.execute("SELECT name FROM names").fetchall() == [("kept",)]


def test_create_tables_leaves_what_a_newer_version_added(session: PostgresSession) -> None:
    """Until a version says that this program is too old."""
    create_tables(session)
    newer = str(SCHEMA_VERSION + 1)
    session.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (newer,))
    create_tables(session)
    (found,) = session.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    assert found == newer
    assert OLDEST_PROGRAM <= SCHEMA_VERSION
    session.execute("UPDATE meta SET value = ? WHERE key = 'oldest_program'", (newer,))
    with pytest.raises(StoreTooNew, match="install a newer htmlgraph-nb"):
        create_tables(session)
