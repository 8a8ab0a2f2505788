"""The versions of the database's tables, and the migrations between them."""

from __future__ import annotations

import secrets
import sqlite3

from ..errors import StoreDamaged, StoreTooNew
from .schema import UNDECIDED_SEQ, columns_of_version, select_history

APPLICATION_ID = 0x48474E42
"""'HGNB' in SQLite's header (https://sqlite.org/fileformat2.html#application_id)."""

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
    """CREATE VIEW history AS SELECT
        e.id AS seq,
        e.ts AS timestamp,
        n_agent.name AS agent_id,
        n_type.name AS event_type,
        n_session.name AS session_id,
        n_tool.name AS tool_name,
        e.tool_use_id AS tool_use_id,
        n_feature.name AS feature_id,
        n_model.name AS model,
        CASE e.status WHEN 0 THEN 'ok' WHEN 1 THEN 'error' END AS status,
        e.input_tokens AS input_tokens,
        e.cache_read_tokens AS cache_read_tokens,
        e.cache_write_5m_tokens AS cache_write_5m_tokens,
        e.cache_write_1h_tokens AS cache_write_1h_tokens,
        e.output_tokens AS output_tokens,
        e.cost_tokens AS cost_tokens,
        e.cost_usd AS cost_usd,
        e.duration_ms AS duration_ms,
        n_parent.name AS parent_agent_id,
        n_project.name AS project,
        n_host.name AS host,
        n_source.name AS source,
        e.event_id AS event_id,
        e.extra AS extra
    FROM events e
        LEFT JOIN names n_agent ON n_agent.id = e.agent
        LEFT JOIN names n_type ON n_type.id = e.type
        LEFT JOIN names n_session ON n_session.id = e.session
        LEFT JOIN names n_tool ON n_tool.id = e.tool
        LEFT JOIN names n_feature ON n_feature.id = e.feature
        LEFT JOIN names n_model ON n_model.id = e.model
        LEFT JOIN names n_parent ON n_parent.id = e.parent
        LEFT JOIN names n_project ON n_project.id = e.project
        LEFT JOIN names n_host ON n_host.id = e.host
        LEFT JOIN names n_source ON n_source.id = e.source""",
)

_VERSION_2 = (
    "ALTER TABLE agent_presence ADD COLUMN total_errors INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE segments (
        first_id INTEGER PRIMARY KEY,
        last_id INTEGER NOT NULL,
        n_rows INTEGER NOT NULL,
        n_bytes INTEGER NOT NULL,
        crc32 INTEGER NOT NULL,
        first_ts INTEGER NOT NULL,
        last_ts INTEGER NOT NULL,
        file TEXT NOT NULL
    )""",
    # A segment is listed only as long as it equals its rows, whatever changes them.
    """CREATE TRIGGER events_deleted AFTER DELETE ON events BEGIN
        DELETE FROM segments WHERE first_id <= OLD.id AND last_id >= OLD.id;
    END""",
    """CREATE TRIGGER events_updated AFTER UPDATE ON events BEGIN
        DELETE FROM segments WHERE (first_id <= OLD.id AND last_id >= OLD.id)
            OR (first_id <= NEW.id AND last_id >= NEW.id);
    END""",
    # Numbers only grow, so this asks of each row no more than the newest copy's end.
    """CREATE TRIGGER events_inserted AFTER INSERT ON events
    WHEN NEW.id <= (SELECT last_id FROM segments ORDER BY first_id DESC LIMIT 1) BEGIN
        DELETE FROM segments WHERE first_id <= NEW.id AND last_id >= NEW.id;
    END""",
    "CREATE TRIGGER names_deleted AFTER DELETE ON names BEGIN DELETE FROM segments; END",
    "CREATE TRIGGER names_updated AFTER UPDATE ON names BEGIN DELETE FROM segments; END",
)

_VERSION_3 = (
    """CREATE TABLE tellings (
        id INTEGER PRIMARY KEY,
        ts INTEGER NOT NULL,
        fact TEXT NOT NULL,
        source TEXT NOT NULL,
        event_id TEXT
    )""",
    "CREATE INDEX tellings_fact ON tellings (fact, ts)",
)

_VERSION_4 = (
    """CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        status TEXT NOT NULL,
        detail TEXT NOT NULL,
        reason TEXT NOT NULL,
        attention INTEGER NOT NULL,
        UNIQUE (status, detail, reason, attention)
    )""",
    "ALTER TABLE events ADD COLUMN decision INTEGER",
    f"INSERT INTO meta VALUES ('{UNDECIDED_SEQ}', (SELECT coalesce(max(id), 0) FROM events))",
    "DROP VIEW history",
    f"CREATE VIEW history AS {select_history(columns_of_version(4))}",
    "DROP INDEX tellings_fact",
    "ALTER TABLE tellings RENAME TO observations",
    "ALTER TABLE observations RENAME COLUMN fact TO dedup_key",
    "CREATE INDEX observations_dedup_key ON observations (dedup_key, ts)",
)

_ADDED_EVENT_COLUMNS = (
    "title branch cwd worktree kind user pr context_source context_tokens context_window"
)
_ADDED_PRESENCE_COLUMNS = """title TEXT, branch TEXT, cwd TEXT, worktree TEXT, agent_kind TEXT,
    user TEXT, pr TEXT, context_tokens INTEGER, context_window INTEGER, context_source TEXT,
    compacted_at INTEGER, detail_since INTEGER, detail_until INTEGER,
    unseen INTEGER NOT NULL DEFAULT 0, hooks INTEGER, alive INTEGER NOT NULL DEFAULT 0,
    session_tokens INTEGER NOT NULL DEFAULT 0, session_cost_usd REAL,
    unpriced_tokens INTEGER NOT NULL DEFAULT 0"""

_VERSION_5 = (
    *(f"ALTER TABLE events ADD COLUMN {name} INTEGER" for name in _ADDED_EVENT_COLUMNS.split()),
    *(
        f"ALTER TABLE agent_presence ADD COLUMN {column.strip()}"
        for column in _ADDED_PRESENCE_COLUMNS.split(",")
    ),
    "DROP VIEW history",
    f"CREATE VIEW history AS {select_history(columns_of_version(5))}",
    """CREATE TABLE quotas (
        account TEXT NOT NULL,
        window TEXT NOT NULL,
        agent_kind TEXT,
        plan TEXT,
        minutes INTEGER,
        used_percent REAL NOT NULL,
        resets_at INTEGER,
        reported_at INTEGER NOT NULL,
        source TEXT,
        official INTEGER NOT NULL,
        PRIMARY KEY (account, window)
    ) WITHOUT ROWID""",
    """CREATE TABLE session_files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
)

_VERSION_6 = (
    *(
        f"ALTER TABLE events ADD COLUMN {name} INTEGER"
        for name in ("speed", "tier", "geo", "web_searches", "input_hash", "root")
    ),
    "DROP VIEW history",
    f"CREATE VIEW history AS {select_history(columns_of_version(6))}",
    # Segments hold the texts of these, too. This program only adds names above all others.
    "CREATE TRIGGER decisions_deleted AFTER DELETE ON decisions BEGIN DELETE FROM segments; END",
    "CREATE TRIGGER decisions_updated AFTER UPDATE ON decisions BEGIN DELETE FROM segments; END",
    """CREATE TRIGGER decisions_inserted AFTER INSERT ON decisions
    WHEN NEW.id < (SELECT max(id) FROM decisions) BEGIN DELETE FROM segments; END""",
    """CREATE TRIGGER names_inserted AFTER INSERT ON names
    WHEN NEW.id < (SELECT max(id) FROM names) BEGIN DELETE FROM segments; END""",
)

_VERSION_7 = (
    """CREATE TABLE alerts (
        alert_id TEXT PRIMARY KEY,
        rule TEXT NOT NULL,
        kind TEXT NOT NULL,
        severity TEXT NOT NULL,
        state TEXT NOT NULL,
        subject TEXT NOT NULL,
        since INTEGER NOT NULL,
        fired_at INTEGER NOT NULL,
        message TEXT NOT NULL,
        label TEXT NOT NULL,
        agent_id TEXT,
        agent_kind TEXT,
        project TEXT,
        branch TEXT,
        host TEXT,
        resolved_at INTEGER,
        acknowledged_at INTEGER,
        acknowledged_by TEXT,
        value REAL,
        threshold REAL,
        count INTEGER NOT NULL,
        agent_ids TEXT NOT NULL,
        channels TEXT NOT NULL,
        silenced INTEGER NOT NULL,
        url_path TEXT NOT NULL,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX alerts_revision ON alerts (revision)",
    "CREATE INDEX alerts_fired_at ON alerts (state, fired_at)",
    """CREATE TABLE alert_deliveries (
        id INTEGER PRIMARY KEY,
        alert_id TEXT NOT NULL,
        about TEXT NOT NULL,
        channel TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        next_at INTEGER NOT NULL,
        last_error TEXT,
        UNIQUE (alert_id, about, channel)
    )""",
    "CREATE INDEX alert_deliveries_pending ON alert_deliveries (state, channel, next_at)",
)

_VERSION_8 = (
    """CREATE TABLE tokens (
        token_id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        cookie_hash TEXT NOT NULL,
        space TEXT NOT NULL,
        may TEXT NOT NULL,
        agent_prefix TEXT NOT NULL,
        label TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        last_used_at INTEGER
    )""",
)

_VERSION_9 = (
    """CREATE TABLE session_names (
        id INTEGER PRIMARY KEY,
        default_id TEXT NOT NULL UNIQUE,
        agent_id TEXT NOT NULL
    )""",
    """CREATE TABLE counter_streams (
        stream TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        value REAL,
        used INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX counter_streams_session ON counter_streams (session, used)",
    """CREATE TABLE counter_sessions (
        session TEXT PRIMARY KEY,
        read_until_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    # Counters that still run are in the latest events, whose times are in microseconds.
    """INSERT INTO counter_sessions
        SELECT n.name, min((max(e.ts) + 1) * 1000, 9223372036854775807)
        FROM (SELECT * FROM events ORDER BY id DESC LIMIT 50000) e
        JOIN names n ON n.id = e.session
        WHERE e.event_id LIKE 'metric:%' GROUP BY n.name""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6, _VERSION_7),
    *(_VERSION_8, _VERSION_9),
)
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
        if db.in_transaction:
            # SQLite has rolled back on its own if the disk is full.
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
