"""Tables of the database, their versions, and how an older file becomes a newer one.

``events`` is the append-only history; its ids are the seq of the changes. Ids and names are small
integers against ``names``; the view ``history`` shows them as text, for people and for queries.
``agent_presence`` is the present state, with the evidence behind it as JSON.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

from .errors import StoreDamaged, StoreTooNew

APPLICATION_ID = 0x48474E42
"""'HGNB' in SQLite's header (https://sqlite.org/fileformat2.html#application_id)."""

NAMED = {
    "agent": "agent_id",
    "type": "event_type",
    "session": "session_id",
    "tool": "tool_name",
    "feature": "feature_id",
    "model": "model",
    "parent": "parent_agent_id",
    "project": "project",
    "host": "host",
    "source": "source",
}
"""Columns of ``events`` that hold a number of ``names`` → the Event field that they stand for."""

PLAIN = (
    "event_id",
    "tool_use_id",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "cost_tokens",
    "cost_usd",
    "duration_ms",
)
"""Columns of ``events`` that hold an Event field as it is."""

EVENT_COLUMNS = ("id", "ts", *NAMED, *PLAIN, "status", "extra")

HISTORY_COLUMNS = (
    "seq",
    "timestamp",
    "agent_id",
    "event_type",
    "session_id",
    "tool_name",
    "tool_use_id",
    "feature_id",
    "model",
    "status",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "cost_tokens",
    "cost_usd",
    "duration_ms",
    "parent_agent_id",
    "project",
    "host",
    "source",
    "event_id",
    "extra",
)
"""Columns of the view ``history`` in their order; ``timestamp`` is microseconds since 1970."""


_FIELD_TO_NUMBER = {field: column for column, field in NAMED.items()}
_EXPRESSIONS = {
    "seq": "e.id",
    "timestamp": "e.ts",
    "status": "CASE e.status WHEN 0 THEN 'ok' WHEN 1 THEN 'error' END",
}


def select_history(columns: Sequence[str]) -> str:
    """Return ``SELECT … FROM events e …`` of these columns of HISTORY_COLUMNS.

    Only the names that are asked for are looked up.
    """
    terms, joins = [], []
    for field in columns:
        number = _FIELD_TO_NUMBER.get(field)
        if number is None:
            terms.append(f"{_EXPRESSIONS.get(field, 'e.' + field)} AS {field}")
        else:
            terms.append(f"n_{number}.name AS {field}")
            joins.append(f" LEFT JOIN names n_{number} ON n_{number}.id = e.{number}")
    return f"SELECT {', '.join(terms)} FROM events e{''.join(joins)}"


def named_in(field: str, n_values: int) -> str:
    """Return the condition that an Event field of NAMED is one of ``n_values`` texts."""
    marks = ", ".join("?" * n_values)
    return f"e.{_FIELD_TO_NUMBER[field]} IN (SELECT id FROM names WHERE name IN ({marks}))"


_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        ts INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        type INTEGER NOT NULL,
        session INTEGER,
        tool INTEGER,
        feature INTEGER,
        model INTEGER,
        parent INTEGER,
        project INTEGER,
        host INTEGER,
        source INTEGER,
        event_id TEXT,
        tool_use_id TEXT,
        input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_5m_tokens INTEGER,
        cache_write_1h_tokens INTEGER,
        output_tokens INTEGER,
        cost_tokens INTEGER,
        cost_usd REAL,
        duration_ms INTEGER,
        status INTEGER,
        extra TEXT
    )""",
    "CREATE UNIQUE INDEX events_event_id ON events (event_id) WHERE event_id IS NOT NULL",
    """CREATE TABLE agent_presence (
        agent_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        current_feature_id TEXT,
        last_tool_name TEXT,
        last_activity INTEGER NOT NULL,
        total_tools_executed INTEGER NOT NULL,
        total_cost_tokens INTEGER NOT NULL,
        session_id TEXT,
        detail TEXT NOT NULL,
        reason TEXT,
        since INTEGER,
        attention INTEGER NOT NULL,
        model TEXT,
        project TEXT,
        host TEXT,
        parent_agent_id TEXT,
        cost_usd REAL,
        seq INTEGER NOT NULL,
        evidence TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE features (
        resource_type TEXT NOT NULL,
        resource_id TEXT NOT NULL,
        status TEXT,
        payload TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (resource_type, resource_id)
    ) WITHOUT ROWID""",
    f"CREATE VIEW history AS {select_history(HISTORY_COLUMNS)}",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1,)
"""Statements that lead from each version to the next; the newest version is their number."""

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring the file to SCHEMA_VERSION, all of it in one transaction.

    Raises:
        StoreTooNew: a newer version wrote the file.
        StoreDamaged: the file is a database of another program.
    """
    if check_version(db, path) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may just have done the same.
        for statements in MIGRATIONS[check_version(db, path) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (secrets.token_hex(8),))
        db.execute("INSERT OR IGNORE INTO meta VALUES ('forgotten_seq', 0)")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def check_version(db: sqlite3.Connection, path: str) -> int:
    """Return the schema version of the file; 0 for an empty one.

    Raises:
        StoreTooNew, StoreDamaged: as ``migrate``.
    """
    # One statement: another process may be making the tables right now.
    version, owner, n_objects = db.execute(
        "SELECT (SELECT user_version FROM pragma_user_version), "
        "(SELECT application_id FROM pragma_application_id), "
        "(SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if owner != APPLICATION_ID and n_objects:
        raise StoreDamaged(
            f"{path} is a database of another program; name another file with --db or HTMLGRAPH_DB"
        )
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{path} has schema version {version}, this program knows up to {SCHEMA_VERSION}; "
            "install a newer htmlgraph-nb"
        )
    return int(version)
