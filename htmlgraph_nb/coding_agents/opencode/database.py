"""OpenCode's database: its tables, and a cursor that follows one session.

Written against version 1.18.33; see ``session``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from ...core.model import Event
from ..databases.session_database import (
    Position,
    Row,
    SessionCursor,
    SessionDatabase,
    StoredSession,
    fetch,
    fetch_one,
    head_of,
    names_of,
    sessions_of,
)
from ..input_hash import HashInput, no_hash
from .json_storage import load_storage
from .large_parts import part_of_head
from .session import OpenCodeSession

_MAX_ANCESTORS = 16
_RECENT_ROWS = 2_000
"""Last messages among which a running turn is searched when a server starts."""
_MAX_TURN_MS = 86_400_000
_MAX_TOUCHED = 5_000
_MAX_REVIEWED = 200
_REVIEWED_MS = 3_600_000
"""Sessions that changed in this time before the last one are read again if rows were deleted."""
_ERROR_CHARS = 2_000
_TAIL_CHARS = 80

_SESSION = """
WITH RECURSIVE up(id, parent, depth) AS (
    SELECT id, parent_id, 0 FROM session WHERE id = :session
    UNION ALL
    SELECT s.id, s.parent_id, depth + 1 FROM session s JOIN up ON s.id = up.parent
    WHERE depth < :ancestors
)
SELECT parent_id AS parent, directory, title, time_created AS created, time_updated AS updated,
    time_archived AS archived, (SELECT id FROM up ORDER BY depth DESC LIMIT 1) AS root
FROM session WHERE id = :session
"""
_NEW_MESSAGES = """
SELECT id, time_created FROM message
WHERE session_id = ? AND (time_created, id) > (?, ?) ORDER BY time_created, id LIMIT ?
"""
_MESSAGE = f"""
SELECT id,
    coalesce(json_extract(d, '$.time.created'), row_created) AS created,
    json_extract(d, '$.role') AS role,
    json_extract(d, '$.parentID') AS parent,
    json_extract(d, '$.time.completed') AS completed,
    json_extract(d, '$.finish') AS finish,
    json_extract(d, '$.summary') IS 1 AS summary,
    json_extract(d, '$.modelID') AS model,
    json_extract(d, '$.providerID') AS provider,
    json_extract(d, '$.cost') AS cost,
    json_extract(d, '$.tokens.input') AS input,
    json_extract(d, '$.tokens.output') AS output,
    json_extract(d, '$.tokens.reasoning') AS reasoning,
    json_extract(d, '$.tokens.cache.read') AS read,
    json_extract(d, '$.tokens.cache.write') AS write,
    json_extract(d, '$.tokens.total') AS total,
    CASE json_type(d, '$.error') WHEN 'object' THEN coalesce(json_extract(d, '$.error.name'), '')
        WHEN 'text' THEN '' END AS error,
    json_extract(d, '$.error.data.statusCode') AS error_status,
    substr(json_extract(d, '$.error.data.message'), 1, {_ERROR_CHARS}) AS error_text
FROM (
    SELECT id, time_created AS row_created,
        CASE WHEN json_valid(data) THEN data ELSE json_object() END AS d
    FROM message WHERE id = ?
)
"""
_PART = f"""
SELECT number, id, created, updated, json_extract(d, '$.type') AS type,
    json_extract(d, '$.tool') AS tool,
    json_extract(d, '$.callID') AS call,
    json_extract(d, '$.state.status') AS status,
    json_extract(d, '$.state.time.start') AS start,
    json_extract(d, '$.state.time.end') AS end,
    json_extract(d, '$.state.metadata.exit') AS exit,
    json_extract(d, '$.state.metadata.interrupted') IS 1 AS interrupted,
    json_extract(d, '$.state.metadata.sessionId') AS child,
    json_extract(d, '$.state.metadata.background') IS 1 AS background,
    json_extract(d, '$.metadata.providerExecuted') IS 1 AS remote,
    json_extract(d, '$.state.input.tool') AS intended,
    CASE json_type(d, '$.state.input') WHEN 'object' THEN json_extract(d, '$.state.input') END
        AS input,
    substr(json_extract(d, '$.state.error'), 1, {_ERROR_CHARS}) AS error_text,
    substr(json_extract(d, '$.text'), -{_TAIL_CHARS}) AS tail,
    json_extract(d, '$.auto') IS 1 AS auto,
    json_extract(d, '$.attempt') AS attempt,
    json_extract(d, '$.error.data.statusCode') AS error_status
FROM (
    SELECT rowid AS number, id, time_created AS created, time_updated AS updated,
        CASE WHEN json_valid(data) THEN data ELSE json_object() END AS d
    FROM part WHERE {{condition}} ORDER BY rowid
)
"""
_PARTS_OF_MESSAGE = _PART.format(condition="message_id = ? AND time_updated >= ?")
_ONE_PART = _PART.format(condition="rowid = ?")
_PART_NUMBERS = """
SELECT rowid AS number, id, time_created AS created, time_updated AS updated FROM part
WHERE message_id = ? AND time_updated >= ? ORDER BY rowid
"""
_SESSIONS = """
SELECT * FROM (
    SELECT s.id, s.parent_id, s.directory,
        max(s.time_updated, coalesce((
            SELECT max(m.time_updated) FROM message m WHERE m.session_id = s.id), 0)) AS changed,
        (SELECT count(*) FROM message m WHERE m.session_id = s.id)
            + (SELECT count(*) FROM part p WHERE p.session_id = s.id)
    FROM session s
) WHERE changed >= ? ORDER BY parent_id IS NOT NULL, changed
"""
_RECENT = f"""
SELECT id FROM session WHERE id IN (
    SELECT id FROM session WHERE time_updated >= :since
    UNION
    SELECT session_id FROM (
        SELECT session_id, time_created, time_updated, data FROM message
        ORDER BY rowid DESC LIMIT {_RECENT_ROWS}
    ) WHERE time_updated >= :since OR (
        time_created >= :since - {_MAX_TURN_MS} AND json_valid(data)
        AND json_extract(data, '$.role') = 'assistant'
        AND json_extract(data, '$.time.completed') IS NULL
    )
) ORDER BY parent_id IS NOT NULL, time_updated
"""
_POSITION = """
SELECT (SELECT coalesce(max(rowid), 0) FROM session) AS sessions,
    (SELECT coalesce(max(rowid), 0) FROM message) AS messages
"""
_TOUCHED = f"""
SELECT id FROM session WHERE id IN (
    SELECT id FROM session WHERE rowid > ?
    UNION
    SELECT session_id FROM (
        SELECT session_id FROM message WHERE rowid > ? ORDER BY rowid DESC LIMIT {_MAX_TOUCHED})
) ORDER BY parent_id IS NOT NULL, time_created
"""
_STATES = """
SELECT s.id, s.time_updated, s.time_archived, s.title
FROM json_each(?) AS named CROSS JOIN session AS s ON s.id = named.value
"""
_MESSAGE_STATES = """
SELECT m.session_id, m.id, m.time_updated, count(p.rowid), max(p.time_updated)
FROM json_each(?) AS named CROSS JOIN message AS m ON m.id = named.value
LEFT JOIN part AS p ON p.message_id = m.id GROUP BY m.rowid
"""
_REVIEWED = f"""
SELECT id FROM session
WHERE time_updated >= (SELECT max(time_updated) - {_REVIEWED_MS} FROM session)
ORDER BY time_updated DESC LIMIT {_MAX_REVIEWED}
"""


class OpenCodeDatabase(SessionDatabase):
    """The database of OpenCode 1.2 and later."""

    LABEL = "OpenCode 1.2 to 1.18"
    TABLES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "session": (
            *("id", "parent_id", "directory", "title"),
            *("time_created", "time_updated", "time_archived"),
        ),
        "message": ("id", "session_id", "time_created", "time_updated", "data"),
        "part": ("id", "message_id", "session_id", "time_created", "time_updated", "data"),
    }

    def open_folder(self, path: str, session: str | None) -> sqlite3.Connection:
        """Return a database in memory with the sessions of versions before 1.2."""
        return load_storage(path, session)

    def sessions(self, db: sqlite3.Connection, since_ms: int) -> list[StoredSession]:
        """Return the sessions that changed since a time, parents first."""
        return sessions_of(db.execute(_SESSIONS, (since_ms,)))

    def position(self, db: sqlite3.Connection) -> Position:
        """Return the last row numbers of sessions and messages."""
        return tuple(db.execute(_POSITION).fetchone())

    def touched(self, db: sqlite3.Connection, position: Position) -> tuple[list[str], Position]:
        """Return the sessions with rows after a position, parents first, and the next position.

        The numbers of deleted rows are used again, as after a revert. Then the sessions that
        changed in the last hour are returned as well.
        """
        now = self.position(db)
        if now == position:
            return [], now
        found = names_of(db.execute(_TOUCHED, position))
        if any(new < old for new, old in zip(now, position, strict=True)):
            known = set(found)
            found += [name for name in names_of(db.execute(_REVIEWED)) if name not in known]
        return found, now

    def states(
        self, db: sqlite3.Connection, sessions: Mapping[str, Collection[str]]
    ) -> dict[str, object]:
        """Return the times of sessions, of their open messages and of the parts of these."""
        rows = db.execute(_STATES, (json.dumps(list(sessions)),))
        states: dict[str, list[object]] = {name: [values] for name, *values in rows}
        messages = [name for names in sessions.values() for name in names]
        if messages:
            for session, *values in db.execute(_MESSAGE_STATES, (json.dumps(messages),)):
                if session in states:
                    states[session].append(values)
        return dict(states)

    def recent(self, db: sqlite3.Connection, since_ms: int) -> list[str]:
        """Return the sessions that have changed since a time, or whose turn is running."""
        return names_of(db.execute(_RECENT, {"since": since_ms}))

    def cursor(self, session: str, hash_input: HashInput = no_hash) -> SessionCursor:
        """Return a new cursor at the start of a session."""
        return _OpenCodeCursor(session, hash_input)


class _OpenCodeCursor(SessionCursor):
    """Reads a session message by message; those that are not complete are read again."""

    def __init__(self, session: str, hash_input: HashInput) -> None:
        self._session = session
        self._reader = OpenCodeSession(session, hash_input)
        self._row: Row | None = None
        self._last: tuple[int, str] = (-1, "")
        # Message that can still change → the latest change of its parts.
        self._open: dict[str, int] = {}
        self._request: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a turn is running."""
        return self._reader.is_running

    @property
    def open_rows(self) -> Collection[str]:
        """The messages that are not complete, and the last request."""
        return self._open.keys()

    def read(self, db: sqlite3.Connection, max_rows: int) -> list[Event]:
        """Return the events of the messages that are new or were not complete."""
        row = fetch_one(db, _SESSION, {"session": self._session, "ancestors": _MAX_ANCESTORS})
        self.behind, self.exists = False, row is not None
        if row is None:
            return self._reader.deleted()
        events = [] if row == self._row else self._reader.feed_session(row)
        self._row = row
        for message in list(self._open):
            events += self._read_message(db, message)
        new = db.execute(_NEW_MESSAGES, (self._session, *self._last, max_rows)).fetchall()
        for message, created in new:
            events += self._read_message(db, message)
            self._last = (created, message)
        self.behind = len(new) == max_rows
        return events

    def _read_message(self, db: sqlite3.Connection, name: str) -> list[Event]:
        message = fetch_one(db, _MESSAGE, (name,))
        if message is None:
            # Reverted.
            self._open.pop(name, None)
            return []
        parts = list(_parts(db, name, self._open.get(name, 0)))
        events = self._reader.feed(message, parts)
        if message["role"] == "user":
            # Its parts are written after it, but before the next message.
            if self._request not in (None, name):
                self._open.pop(str(self._request), None)
            self._request, self._open[name] = name, 0
        elif message["completed"] is None and message["error"] is None:
            seen = self._open.get(name, 0)
            self._open[name] = max([seen, *(part["updated"] for part in parts)])
        else:
            self._open.pop(name, None)
        return events

    def still_running(self, at: datetime) -> list[Event]:
        """Return an activity while a request has no answer yet, as with a slow model."""
        return self._reader.still_running(at)

    def finish(self) -> list[Event]:
        """Return the completions of requests without an end."""
        return self._reader.finish()


def _parts(db: sqlite3.Connection, message: str, since_ms: int) -> Iterator[Row]:
    """Yield the parts of a message that changed since a time."""
    try:
        yield from fetch(db, _PARTS_OF_MESSAGE, (message, since_ms))
        return
    except sqlite3.DataError:
        # One of them is too large.
        numbered = fetch(db, _PART_NUMBERS, (message, since_ms))
    for part in numbered:
        try:
            yield from fetch(db, _ONE_PART, (part["number"],))
        except sqlite3.DataError:
            yield {**part, **part_of_head(head_of(db, "part", "data", part["number"]))}


DATABASE = OpenCodeDatabase()
