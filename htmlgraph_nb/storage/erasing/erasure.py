"""Delete what a selection names from a database, its log and its segments, also under servers.

Deleted rows are overwritten, and the file is compacted afterwards, so that no byte of them stays in
free pages. Other processes notice the deletion in their next transaction; see ``forgotten_table``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..columnar.segment_index import orphans, remove_segment_file
from ..database import BUSY_TIMEOUT_S, open_reader, open_writer, sqlite_errors
from ..file_table import stored_path
from ..forgetting.forgotten_table import ALL, add_forgotten, count_forget
from ..schema import NAMED, SEQ_FLOOR
from .erasure_selection import DOOMED, ErasurePlan, ErasureSelection, plan_erasure

_STEP_ROWS = 5_000
_LOG_S = 20.0
"""Longest wait for readers that keep the log from being emptied."""
_SHORT_ID = 8
_NUMBERS = (*NAMED, "root")
_OWN_TABLES = frozenset({"events", "names", "decisions", "segments", "meta", "forgotten", "tokens"})
"""Tables whose rows are not found by the name of an agent or session in them."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """Result of ``erase``.

    Attributes:
        n_events, n_agents: deleted events, and agents removed from the roster.
        n_rows: deleted rows of other tables, such as alerts and plan limits.
        n_segments: removed files of columnar history.
        is_clean: whether the log is empty; False: a reader kept it, and it may still contain what
            was deleted until the next checkpoint.
    """

    n_events: int
    n_agents: int
    n_rows: int
    n_segments: int
    is_clean: bool


@contextmanager
def open_erasure(path: str) -> Iterator[sqlite3.Connection]:
    """Open a database for ``plan_erasure`` and ``erase``.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: it cannot be used.
    """
    open_reader(path).close()
    with closing(open_writer(os.path.abspath(path), "NORMAL", BUSY_TIMEOUT_S)) as db:
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA secure_delete = ON").fetchall()
        with sqlite_errors(path):
            yield db


def erase(
    db: sqlite3.Connection,
    path: str,
    selection: ErasureSelection,
    *,
    now: datetime,
    plan: ErasurePlan | None = None,
    settle: Callable[[], object] = lambda: None,
    on_events: Callable[[int], object] = lambda _: None,
) -> ErasureReport:
    """Delete what a selection names, so that session files do not bring it back.

    Args:
        db: the connection of ``open_erasure``.
        path: the database file.
        now: current time; later events of the same agents are stored again.
        plan: of this selection; None: make it.
        settle: called when other processes have seen that the agents are removed; it waits until
            they have stored what they store about that.
        on_events: called with the number of events deleted since the last call.

    Raises:
        ConfigError: a name is unknown.
        StoreError: the file cannot be written; what is deleted stays deleted.
    """
    plan = plan or plan_erasure(db, selection)
    resources = _own_resources(db)
    db.execute("DROP TABLE IF EXISTS temp.doomed_ids")
    db.execute(
        "CREATE TEMP TABLE doomed_ids AS SELECT event_id FROM events "
        f"WHERE event_id NOT NULL AND id IN (SELECT id FROM {DOOMED})"
    )
    accounts = _accounts(db, doomed=True)
    with _transaction(db):
        _remove_agents(db, plan, selection, now)
    while n := _delete_events(db):
        on_events(n)
    settle()
    with _transaction(db):
        n_rows = _delete_rows(db, plan, resources, accounts)
        _delete_names(db)
        count_forget(db)
    segments = orphans(path, db)
    for name in segments:
        remove_segment_file(path, os.path.basename(name))
    is_clean = _compact(db)
    return ErasureReport(plan.n_events, len(plan.agents), n_rows, len(segments), is_clean)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _remove_agents(
    db: sqlite3.Connection, plan: ErasurePlan, selection: ErasureSelection, now: datetime
) -> None:
    """Remove the agents from the roster, and note what is not to be stored again."""
    until = selection.before or now
    is_all = not (selection.agents or selection.sessions or selection.projects)
    named = [
        (kind, name)
        for kind, name in plan.owners
        if kind != "project" or name in selection.projects
    ]
    add_forgotten(db, [(ALL, "")] if is_all else named, until)
    for agent in plan.agents:
        db.execute("DELETE FROM agent_presence WHERE agent_id = ?", (agent,))
    _scrub_evidence(db, plan.agents)
    floor = (
        "SELECT max(coalesce((SELECT max(id) FROM events), 0), "
        "coalesce((SELECT value FROM meta WHERE key = ?), 0))"
    )
    # Each removal is a change with a number of its own.
    last = int(db.execute(floor, (SEQ_FLOOR,)).fetchone()[0]) + max(1, len(plan.agents))
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (SEQ_FLOOR, last),
    )
    db.execute("UPDATE meta SET value = ? WHERE key = 'forgotten_seq'", (last,))
    count_forget(db)


def _scrub_evidence(db: sqlite3.Connection, agents: Iterable[str]) -> None:
    """Remove subagents from the evidence of their parents, which stay."""
    kept = db.execute("SELECT agent_id, evidence FROM agent_presence").fetchall()
    for agent in agents:
        for name, evidence in kept:
            if agent in evidence:
                scrubbed = json.dumps(_without(json.loads(evidence), agent), ensure_ascii=False)
                db.execute(
                    "UPDATE agent_presence SET evidence = ? WHERE agent_id = ?", (scrubbed, name)
                )


def _without(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {
            key: _without(item, text)
            for key, item in value.items()
            if text not in key and item != text
        }
    return value


def _delete_events(db: sqlite3.Connection) -> int:
    with _transaction(db):
        step = f"SELECT id FROM {DOOMED} ORDER BY id LIMIT {_STEP_ROWS}"
        db.execute(f"DELETE FROM events WHERE id IN ({step})")
        return db.execute(f"DELETE FROM {DOOMED} WHERE id IN ({step})").rowcount


def _own_resources(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the features, tracks and spikes that only events to be deleted are about."""
    query = (
        "SELECT DISTINCT json_extract(extra, '$.resource_type'), "
        "json_extract(extra, '$.resource_id') FROM events "
        f"WHERE extra LIKE '%\"resource_id\"%' AND json_valid(extra) AND id {{}} IN "
        f"(SELECT id FROM {DOOMED})"
    )
    return [*set(db.execute(query.format(""))) - set(db.execute(query.format("NOT")))]


def _accounts(db: sqlite3.Connection, *, doomed: bool) -> set[str]:
    """Return the accounts in reports of plan limits, those to be deleted or the others."""
    rows = db.execute(
        "SELECT DISTINCT json_extract(e.extra, '$.account') FROM events e "
        "WHERE e.type = (SELECT id FROM names WHERE name = 'quota') AND json_valid(e.extra) "
        f"AND e.id {'' if doomed else 'NOT'} IN (SELECT id FROM {DOOMED})"
    )
    return {row[0] for row in rows if isinstance(row[0], str)}


def _delete_rows(
    db: sqlite3.Connection,
    plan: ErasurePlan,
    resources: Sequence[tuple[str, str]],
    accounts: set[str],
) -> int:
    """Delete the rows of other tables, and return their number."""
    n = 0

    def delete(statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        nonlocal n
        n += max(0, db.executemany(statement, rows).rowcount)

    gone = _unused(db, plan)
    sessions = [name for kind, name in gone if kind == "session"]
    delete("DELETE FROM features WHERE resource_type = ? AND resource_id = ?", resources)
    # Events of live agents may have reported them since.
    left = accounts - _accounts(db, doomed=False)
    delete("DELETE FROM quotas WHERE account = ?", [(account,) for account in left])
    n += db.execute(
        "DELETE FROM observations WHERE event_id IN (SELECT event_id FROM temp.doomed_ids)"
    ).rowcount
    delete(
        "DELETE FROM observations WHERE dedup_key >= ? || ':' AND dedup_key < ? || ';'",
        [(session, session) for session in sessions],
    )
    agents = {name for kind, name in gone if kind == "agent"}
    projects = {name for kind, name in gone if kind == "project"}
    (revision,) = db.execute("SELECT max(revision) FROM alerts").fetchone()
    listed = db.execute("SELECT alert_id, agent_ids, subject, project FROM alerts").fetchall()
    delete(
        "DELETE FROM alerts WHERE alert_id = ?",
        [
            (alert,)
            for alert, ids, subject, project in listed
            if not agents.isdisjoint([subject, *json.loads(ids)]) or project in projects
        ],
    )
    for table, columns in _other_tables(db):
        for column in columns:
            # A host or account can have the name of a project.
            names = [(name,) for kind, name in gone if kind != "project"]
            delete(f'DELETE FROM "{table}" WHERE "{column}" = ?', names)
    n += db.execute(
        "DELETE FROM alert_deliveries WHERE alert_id NOT IN (SELECT alert_id FROM alerts)"
    ).rowcount
    # Servers that share the database read the alerts after the newest revision that they know.
    db.execute(
        "UPDATE alerts SET revision = ? WHERE revision = (SELECT max(revision) FROM alerts)",
        (revision,),
    )
    paths = [path for (path,) in db.execute("SELECT path FROM session_files")]
    own = [(path,) for path in paths if _is_file_of(path, sessions)]
    delete("DELETE FROM session_files WHERE path = ?", own)
    return n


def _unused(db: sqlite3.Connection, plan: ErasurePlan) -> list[tuple[str, str]]:
    """Return the owners of deleted events that have no others."""
    columns = {"agent": ("agent", "parent", "root"), "session": ("session",)}
    columns["project"] = ("project",)
    used: dict[str, set[str]] = {}
    for kind, names in columns.items():
        ids = " UNION ".join(f"SELECT {column} FROM events" for column in names)
        used[kind] = {row[0] for row in db.execute(f"SELECT name FROM names WHERE id IN ({ids})")}
    used["agent"] |= {row[0] for row in db.execute("SELECT agent_id FROM agent_presence")}
    return [(kind, name) for kind, name in plan.owners if name not in used[kind]]


def _other_tables(db: sqlite3.Connection) -> Iterator[tuple[str, list[str]]]:
    """Yield the other tables and their columns of text, in which names can be."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        if table not in _OWN_TABLES and not table.startswith("sqlite_"):
            columns = db.execute(f'PRAGMA table_info("{table}")').fetchall()
            yield table, [column[1] for column in columns if column[2] == "TEXT"]


def _is_file_of(path: str, sessions: Iterable[str]) -> bool:
    """Return whether a session file is of one of these sessions; its name can have a short id."""
    name = os.path.splitext(os.path.basename(path))[0]
    return any(
        stored_path(session) in path
        or (len(session) > _SHORT_ID and name.endswith(session[:_SHORT_ID]))
        for session in sessions
    )


def _delete_names(db: sqlite3.Connection) -> None:
    """Delete the texts that no event has any more."""
    used = " UNION ".join(
        f"SELECT {column} FROM events WHERE {column} NOT NULL" for column in _NUMBERS
    )
    (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM names").fetchone()
    db.execute(f"DELETE FROM names WHERE id NOT IN ({used})")
    db.execute(
        "DELETE FROM decisions WHERE id NOT IN "
        "(SELECT decision FROM events WHERE decision NOT NULL)"
    )
    # Numbers are never used again: readers keep the names of those that they have seen.
    db.execute(
        "INSERT OR IGNORE INTO names (id, name) SELECT ?, ? "
        "WHERE (SELECT coalesce(max(id), 0) FROM names) < ?",
        (newest, f"forgotten {newest}", newest),
    )


def _compact(db: sqlite3.Connection) -> bool:
    """Rewrite the file without its free pages, and empty the log; return whether that is empty."""
    deadline = time.monotonic() + _LOG_S
    while True:
        try:
            db.execute("VACUUM")
            break
        except sqlite3.OperationalError as error:
            is_busy = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= deadline:
                raise
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
