"""Read the older HtmlGraph project's database, each time only the rows added since the last call.

``rows`` and ``resources`` convert the rows to events.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from ..coding_agents.fields import base_name
from ..core.model import Event
from ..errors import InvalidEvent
from .readonly_db import FileState, ReadOnlyDatabase, file_state
from .resources import LegacyResource, resources_from_row
from .rows import (
    LegacyRow,
    events_from_presence,
    events_from_row,
    events_from_session,
    is_unfinished,
)

DEFAULT_PATH = os.path.join(".htmlgraph", "htmlgraph.db")
MAX_UNFINISHED = 10_000
"""Maximum number of unfinished calls that are read again later."""
_MAX_REPORTED = 100
"""Maximum number of broken rows that are reported; all are counted."""
_ROWS_PER_QUERY = 500
_TOLERANCE = timedelta(seconds=5)
"""A presence is ignored unless it is newer than the agent's last event by more than this."""

_EVENT_COLUMNS = (
    "event_id agent_id event_type timestamp tool_name context session_id feature_id "
    "parent_agent_id parent_event_id subagent_type cost_tokens execution_duration_seconds status "
    "model claude_task_id updated_at success"
).split()
_SESSION_COLUMNS = (
    "session_id agent_assigned agent parent_session_id created_at started_at completed_at ended_at "
    "model active_feature_id"
).split()
_PRESENCE_COLUMNS = (
    "agent_id status current_feature_id last_activity session_id updated_at"
).split()
_RESOURCE_COLUMNS = (
    "id type title status priority assigned_to assignee track_id created_at updated_at steps_total "
    "steps_completed"
).split()
_JOINED_COLUMNS = {
    "agent_assigned": "agent_assigned",
    "agent": "agent_assigned",
    "model": "session_model",
    "parent_session_id": "parent_session_id",
}
"""Column of sessions → its name in a row of agent_events."""

OnRows = Callable[[int], object]
"""Called with the number of rows of agent_events read since the last call."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Position:
    """How far the file was read.

    Attributes:
        schema: schema version of the file, which changes when its rows are renumbered.
        last: the last rowid of agent_events.
        unfinished: rowids of the calls that had not ended.
        rows: table → key → hash of the row, for the small tables.
    """

    schema: int
    last: int = 0
    unfinished: set[int] = field(default_factory=set)
    rows: dict[str, dict[Any, int]] = field(default_factory=dict)


class DatabaseTail:
    """Reads the database from the last position.

    Attributes:
        path: the absolute path of the file.
        project: the name of the project it belongs to.
        broken: the first rows that cannot be converted, as ``table row: reason``.
        n_broken: number of all rows that cannot be converted.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.project = project_of(self.path)
        self.broken: list[str] = []
        self.n_broken = 0
        self._position: _Position | None = None
        self._state: FileState | None = None
        # Feature → the agent that worked on it last.
        self._last_workers: dict[str, str] = {}
        # Agent → timestamp of its newest event.
        self._newest: dict[str, datetime] = {}

    def changed(self) -> bool:
        """Return whether the file's size or timestamp changed since the last ``read``."""
        return file_state(self.path) != self._state

    def n_rows(self) -> int:
        """Return about how many rows of agent_events are unread; raises as ``read``."""
        with ReadOnlyDatabase(self.path) as db:
            self._check_schema(db)
            return _last_rowid(db) - (self._position.last if self._position else 0)

    def read(self, on_rows: OnRows | None = None) -> Iterator[Event | LegacyResource]:
        """Yield the additions: events in file order, then sessions, presences and resources.

        Raises:
            StoreUnavailable, StoreDamaged: the file cannot be read.
            InvalidEvent: the file is not a database of the older project.
        """
        self._state = file_state(self.path)
        with ReadOnlyDatabase(self.path) as db:
            self._check_schema(db)
            position = self._resume(db)
            yield from self._finished_calls(db, position)
            yield from self._new_rows(db, position, on_rows)
            yield from self._sessions(db, position)
            yield from self._presences(db, position)
            for table, kind in (("features", "feature"), ("tracks", "track")):
                yield from self._resources(db, position, table, kind)

    def _check_schema(self, db: ReadOnlyDatabase) -> None:
        if not {"event_id", "session_id", "timestamp"} <= db.columns("agent_events"):
            raise InvalidEvent(
                f"path: expected a database of the older HtmlGraph project, got {self.path}, "
                "which has no table agent_events with event_id, session_id and timestamp",
                "path",
            )

    def _resume(self, db: ReadOnlyDatabase) -> _Position:
        """Return the last position; the start if the rows of the file have been renumbered."""
        schema = db.schema_version()
        position = self._position
        if position is None or position.schema != schema or _last_rowid(db) < position.last:
            position = self._position = _Position(schema)
        return position

    def _query(self, db: ReadOnlyDatabase, where: str) -> str:
        names = [f"e.{name}" for name in _EVENT_COLUMNS if name in db.columns("agent_events")]
        existing = db.columns("sessions")
        names += [
            f"s.{name} AS {alias}" for name, alias in _JOINED_COLUMNS.items() if name in existing
        ]
        join = " LEFT JOIN sessions s ON s.session_id = e.session_id" if existing else ""
        return f"SELECT e.rowid AS row, {', '.join(names)} FROM agent_events e{join} WHERE {where}"

    def _finished_calls(self, db: ReadOnlyDatabase, position: _Position) -> Iterator[Event]:
        """Yield the ends of calls that had not ended when their rows were last read."""
        rowids = sorted(position.unfinished)
        for start in range(0, len(rowids), _ROWS_PER_QUERY):
            batch = rowids[start : start + _ROWS_PER_QUERY]
            query = self._query(db, f"e.rowid IN ({', '.join('?' * len(batch))})")
            for row in db.fetch(query, batch):
                if not is_unfinished(row):
                    position.unfinished.discard(row["row"])
                    yield from self._events(row)

    def _new_rows(
        self, db: ReadOnlyDatabase, position: _Position, on_rows: OnRows | None
    ) -> Iterator[Event]:
        query = self._query(db, f"e.rowid > ? ORDER BY e.rowid LIMIT {_ROWS_PER_QUERY}")
        while rows := db.fetch(query, (position.last,)):
            for row in rows:
                position.last = row["row"]
                if is_unfinished(row) and len(position.unfinished) < MAX_UNFINISHED:
                    position.unfinished.add(row["row"])
                yield from self._events(row)
            if on_rows is not None:
                on_rows(len(rows))

    def _events(self, row: LegacyRow) -> Iterator[Event]:
        for event in self._convert("agent_events", row, events_from_row):
            if event.feature_id is not None:
                self._last_workers[event.feature_id] = event.agent_id
            at = event.timestamp
            if at is not None and at >= self._newest.get(event.agent_id, at):
                self._newest[event.agent_id] = at
            yield event

    def _sessions(self, db: ReadOnlyDatabase, position: _Position) -> Iterator[Event]:
        for row in self._changed_rows(db, position, "sessions", "session_id", _SESSION_COLUMNS):
            yield from self._convert("sessions", row, events_from_session)

    def _presences(self, db: ReadOnlyDatabase, position: _Position) -> Iterator[Event]:
        """Yield the last activity of agents unless an event reports it, and their offline marks."""
        rows = self._changed_rows(db, position, "agent_presence", "agent_id", _PRESENCE_COLUMNS)
        for row in rows:
            for event in self._convert("agent_presence", row, events_from_presence):
                newest, at = self._newest.get(event.agent_id), event.timestamp
                reported = newest is not None and at is not None and at <= newest + _TOLERANCE
                if event.event_type == "offline" or not reported:
                    yield event

    def _resources(
        self, db: ReadOnlyDatabase, position: _Position, table: str, kind: str
    ) -> Iterator[LegacyResource]:
        for row in self._changed_rows(db, position, table, "id", _RESOURCE_COLUMNS):
            worker = self._last_workers.get(str(row["id"]))
            convert = partial(resources_from_row, kind=kind, agent_id=worker)
            yield from self._convert(table, row, convert)

    def _changed_rows(
        self,
        db: ReadOnlyDatabase,
        position: _Position,
        table: str,
        key: str,
        columns: Sequence[str],
    ) -> Iterator[LegacyRow]:
        """Yield the rows of a small table that are new or have changed since the last call."""
        existing = db.columns(table)
        if key not in existing:
            return
        hashes = position.rows.setdefault(table, {})
        names = ", ".join(name for name in columns if name in existing)
        last = 0
        query = f"SELECT rowid AS row, {names} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        while rows := db.fetch(query, (last, _ROWS_PER_QUERY)):
            for row in rows:
                last = row["row"]
                row_hash = hash(tuple(row.values()))
                if hashes.get(row[key]) != row_hash:
                    hashes[row[key]] = row_hash
                    yield row

    def _convert(self, table: str, row: LegacyRow, convert: Callable[..., list[_T]]) -> list[_T]:
        try:
            return convert(row, project=self.project)
        except InvalidEvent as error:
            self.n_broken += 1
            if len(self.broken) < _MAX_REPORTED:
                self.broken.append(f"{table} row {row['row']}: {error.message}")
            return []


def _last_rowid(db: ReadOnlyDatabase) -> int:
    (row,) = db.fetch("SELECT max(rowid) AS last FROM agent_events")
    return int(row["last"] or 0)


def project_of(path: str) -> str | None:
    """Return the name of the project that a database file belongs to, from its folder."""
    folder = path.replace("\\", "/").rpartition("/")[0]
    return base_name(folder.removesuffix(".htmlgraph")) if folder.endswith("/.htmlgraph") else None
