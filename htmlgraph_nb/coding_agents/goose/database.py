"""Goose's database: its tables, and a cursor that follows one session; see ``session``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
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
    names_of,
    sessions_of,
)
from ..input_hash import HashInput, no_hash
from .session import GooseSession

_MAX_ANCESTORS = 16
_MAX_TOUCHED = 5_000
_REREAD_MESSAGES = 4
"""Last messages that are read again: a tool call can be added to one."""
_ERROR_CHARS = 2_000
_TAIL_CHARS = 80

_SESSION = """
WITH RECURSIVE up(id, parent, depth) AS (
    SELECT id, parent_session_id, 0 FROM sessions WHERE id = :session
    UNION ALL
    SELECT s.id, s.parent_session_id, depth + 1 FROM sessions s JOIN up ON s.id = up.parent
    WHERE depth < :ancestors
)
SELECT parent_session_id AS parent, working_dir AS folder, user_set_name AS is_named,
    CASE WHEN name <> '' THEN name ELSE description END AS title,
    CAST(strftime('%s', created_at) AS INTEGER) AS created,
    CAST(strftime('%s', updated_at) AS INTEGER) AS updated,
    CAST(strftime('%s', archived_at) AS INTEGER) AS archived,
    CASE WHEN json_valid(model_config_json)
        THEN json_extract(model_config_json, '$.model_name') END AS model,
    (SELECT id FROM up ORDER BY depth DESC LIMIT 1) AS root
FROM sessions WHERE id = :session
"""
_MESSAGES = f"""
SELECT id, name, role, created, is_hidden, (
    SELECT json_group_array(json_object(
        'type', json_extract(value, '$.type'),
        'id', json_extract(value, '$.id'),
        'tool', json_extract(value, '$.toolCall.value.name'),
        'input', json_extract(value, '$.toolCall.value.arguments'),
        'status', json_extract(value, '$.toolResult.status'),
        'failed', json_extract(value, '$.toolResult.value.isError'),
        'child', json_extract(value, '$.toolResult.value._meta.subagent_session_id'),
        'kind', coalesce(
            json_extract(value, '$.kind'), json_extract(value, '$.notificationType'),
            json_extract(value, '$.data.actionType')),
        'asks', coalesce(
            json_extract(value, '$.toolName'), json_extract(value, '$.data.toolName')),
        'message', substr(json_extract(value, '$.message'), 1, {_ERROR_CHARS}),
        'tail', substr(json_extract(value, '$.text'), -{_TAIL_CHARS})
    )) FROM json_each(d) WHERE type = 'object'
) AS blocks
FROM (
    SELECT id, message_id AS name, role, created_timestamp AS created,
        CASE WHEN json_valid(metadata_json)
            THEN json_extract(metadata_json, '$.userVisible') IS 0 ELSE 0 END AS is_hidden,
        CASE WHEN json_valid(content_json) THEN content_json ELSE json_array() END AS d
    FROM messages WHERE session_id = ? AND id > ? ORDER BY id LIMIT ?
)
"""
_REREAD = f"""
SELECT coalesce(min(id), 0) - 1 FROM (
    SELECT id FROM messages WHERE session_id = ? AND id <= ?
    ORDER BY id DESC LIMIT {_REREAD_MESSAGES})
"""
_STATES = f"""
SELECT s.id, s.updated_at, s.archived_at, s.name, s.description, s.model_config_json,
    (SELECT max(id) FROM usage_ledger WHERE session_id = s.id), (
        SELECT group_concat(id || ' ' || length(content_json) || ' '
            || coalesce(length(metadata_json), 0))
        FROM (
            SELECT id, content_json, metadata_json FROM messages WHERE session_id = s.id
            ORDER BY id DESC LIMIT {_REREAD_MESSAGES}))
FROM json_each(?) AS named CROSS JOIN sessions AS s ON s.id = named.value
"""
_USAGE = """
SELECT id, created_timestamp AS created, model, input_tokens AS input, output_tokens AS output,
    cache_read_tokens AS cache_read, cache_write_tokens AS cache_write, cost, cost_source,
    is_compaction
FROM usage_ledger WHERE session_id = ? AND id > ? ORDER BY id LIMIT ?
"""
_SESSIONS = """
SELECT * FROM (
    SELECT s.id, s.parent_session_id, s.working_dir,
        max(CAST(strftime('%s', s.updated_at) AS INTEGER), coalesce((
            SELECT max(m.created_timestamp) FROM messages m WHERE m.session_id = s.id), 0))
            * 1000 AS changed,
        (SELECT count(*) FROM messages m WHERE m.session_id = s.id)
            + (SELECT count(*) FROM usage_ledger u WHERE u.session_id = s.id)
    FROM sessions s
) WHERE changed >= ? ORDER BY parent_session_id IS NOT NULL, changed
"""
_RECENT = """
SELECT id FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE updated_at >= datetime(:since / 1000, 'unixepoch')
    UNION SELECT session_id FROM messages
    WHERE timestamp >= datetime(:since / 1000, 'unixepoch')
) ORDER BY parent_session_id IS NOT NULL, updated_at
"""
_POSITION = """
SELECT (SELECT coalesce(max(rowid), 0) FROM sessions),
    (SELECT coalesce(max(id), 0) FROM messages), (SELECT coalesce(max(id), 0) FROM usage_ledger)
"""
_TOUCHED = f"""
SELECT id FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE rowid > ?
    UNION SELECT session_id FROM (
        SELECT session_id FROM messages WHERE id > ? ORDER BY id DESC LIMIT {_MAX_TOUCHED})
    UNION SELECT session_id FROM (
        SELECT session_id FROM usage_ledger WHERE id > ? ORDER BY id DESC LIMIT {_MAX_TOUCHED})
) ORDER BY parent_session_id IS NOT NULL, created_at
"""


class GooseDatabase(SessionDatabase):
    """The database of Goose 1.30 and later, with a usage ledger."""

    LABEL = "Goose with schema 13 to 17"
    TABLES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sessions": (
            *("id", "name", "description", "user_set_name", "working_dir", "created_at"),
            *("updated_at", "model_config_json", "archived_at", "parent_session_id"),
        ),
        "messages": (
            *("id", "message_id", "session_id", "role", "content_json", "created_timestamp"),
            *("timestamp", "metadata_json"),
        ),
        "usage_ledger": (
            *("id", "session_id", "created_timestamp", "model", "input_tokens", "output_tokens"),
            *("cache_read_tokens", "cache_write_tokens", "cost", "cost_source", "is_compaction"),
        ),
    }

    def sessions(self, db: sqlite3.Connection, since_ms: int) -> list[StoredSession]:
        """Return the sessions that changed since a time, parents first."""
        return sessions_of(db.execute(_SESSIONS, (since_ms,)))

    def position(self, db: sqlite3.Connection) -> Position:
        """Return the last row numbers of sessions, messages and requests."""
        return tuple(db.execute(_POSITION).fetchone())

    def touched(self, db: sqlite3.Connection, position: Position) -> tuple[list[str], Position]:
        """Return the sessions with rows after a position, parents first, and the next position."""
        found = names_of(db.execute(_TOUCHED, position))
        return found, self.position(db)

    def states(
        self, db: sqlite3.Connection, sessions: Mapping[str, Collection[str]]
    ) -> dict[str, object]:
        """Return the facts of sessions, and the lengths of the messages that are read again."""
        rows = db.execute(_STATES, (json.dumps(list(sessions)),))
        return {name: values for name, *values in rows}

    def recent(self, db: sqlite3.Connection, since_ms: int) -> list[str]:
        """Return the sessions that have changed since a time."""
        return names_of(db.execute(_RECENT, {"since": since_ms}))

    def cursor(self, session: str, hash_input: HashInput = no_hash) -> SessionCursor:
        """Return a new cursor at the start of a session."""
        return _GooseCursor(session, hash_input)


class _GooseCursor(SessionCursor):
    """Reads the messages and requests of a session in the order of their rows."""

    def __init__(self, session: str, hash_input: HashInput) -> None:
        self._session = session
        self._reader = GooseSession(session, hash_input)
        self._row: Row | None = None
        self._message = self._usage = 0

    @property
    def is_open(self) -> bool:
        """Whether a turn is running."""
        return self._reader.is_running

    def read(self, db: sqlite3.Connection, max_rows: int) -> list[Event]:
        """Return the events of the rows that were added, or extended."""
        row = fetch_one(db, _SESSION, {"session": self._session, "ancestors": _MAX_ANCESTORS})
        self.behind, self.exists = False, row is not None
        if row is None:
            return self._reader.deleted()
        events = [] if row == self._row else self._reader.feed_session(row)
        self._row = row
        (start,) = db.execute(_REREAD, (self._session, self._message)).fetchone()
        messages = fetch(db, _MESSAGES, (self._session, start, max_rows + _REREAD_MESSAGES))
        requests = fetch(db, _USAGE, (self._session, self._usage, max_rows))
        # Times are seconds, so that the end of a turn must follow the requests of its second.
        for request in requests:
            events += self._reader.feed_usage(request)
            self._usage = request["id"]
        for message in messages:
            events += self._reader.feed_message(message)
            self._message = max(self._message, message["id"])
        n_full = len(messages) == max_rows + _REREAD_MESSAGES, len(requests) == max_rows
        self.behind = any(n_full)
        return events

    def finish(self) -> list[Event]:
        """Return nothing: each row is complete."""
        return []


DATABASE = GooseDatabase()
