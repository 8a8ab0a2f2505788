"""Rows of the session databases of agents, which change while they are read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import cache
from typing import Any

from htmlgraph_nb.coding_agents.input_hash import no_hash
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from tests.fuzz.oracle import NOW, check_events, check_roster, require
from tests.fuzz.targets import split_variant
from tests.helpers.session_databases import RECORDED

_MAX_ROWS = 60
_MAX_SESSIONS = 5


def run(data: bytes) -> None:
    """Store the rows of half of the lines, read all sessions, and again with the other half.

    A line is ``[table, {column: value}]``.
    """
    name, body = split_variant(data, tuple(RECORDED))
    database = AGENTS[name].session_database()
    rows = [row for line in body.split(b"\n")[:_MAX_ROWS] if (row := _row(line, database.TABLES))]
    with closing(sqlite3.connect(":memory:")) as db:
        _empty(name).backup(db)
        require(database.problem(db) is None, "the tables are those of the program")
        cursors: dict[str, Any] = {}
        events: list[Event] = []
        position = database.position(db)
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            for row in part:
                _store(db, *row)
            found, position = database.touched(db, position)
            stored = database.sessions(db, 0)
            for each in stored:
                require(isinstance(each.session, str), "the id of a session is no text")
                require(isinstance(each.folder, str | None), "its folder is no text")
                require(isinstance(each.parent, str | None), "its parent is no text")
                require(isinstance(each.changed_ms, int), "its time is no integer")
            require(all(isinstance(n, str) for n in database.recent(db, 0)), "an id is no text")
            for session in [*(each.session for each in stored), *found][:_MAX_SESSIONS]:
                if session not in cursors:
                    cursors[session] = database.cursor(session, no_hash)
                events += _read(cursors[session], db)
        for cursor in cursors.values():
            events += [*cursor.still_running(NOW), *cursor.finish()]
    n_bytes = sum(len(str(row)) for row in rows) * 2
    check_events(events, n_bytes)
    check_roster([event.checked() for event in events])


def _read(cursor: Any, db: sqlite3.Connection) -> list[Event]:
    events: list[Event] = cursor.read(db, 3)
    n_reads = 0
    while cursor.behind:
        events += cursor.read(db, 3)
        n_reads += 1
        require(n_reads <= _MAX_ROWS, "reading does not end")
    require(isinstance(cursor.is_open, bool), "is_open is no bool")
    return events


@cache
def _empty(name: str) -> sqlite3.Connection:
    """Return a database with the tables of an agent, and without rows."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript("".join(RECORDED[name].read_text().partition("INSERT INTO")[:1]))
    return db


def _row(line: bytes, tables: Any) -> tuple[str, dict[str, Any]] | None:
    """Return table and values of a line; None: it is no row."""
    try:
        table, values = json.loads(line)
        named = {name: _cell(values[name]) for name in tables[table] if name in values}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (table, named) if named else None


def _cell(value: Any) -> Any:
    """Return a JSON value as a value of SQLite."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(min(max(value, -(10**300)), 10**300))
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return value if data.decode("utf-8", "ignore") == value else data
    return value


def _store(db: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(values))
    text = f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks})"
    try:
        db.execute(text, tuple(values.values()))
    except sqlite3.Error:
        # A constraint that the program's own rows meet.
        return
