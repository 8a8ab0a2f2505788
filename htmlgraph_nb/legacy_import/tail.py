"""The older HtmlGraph project's database: what is in it, and what was added since the last look.

What its rows mean is left to connectors/htmlgraph.py.
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
_MAX_REPORTED = 100
"""Most broken rows that are named; all are counted."""
MAX_OPEN = 10_000
"""Most calls that were not over at the last look and are looked at again."""
_IN_STEP = 500
_SAME = timedelta(seconds=5)
"""A presence that is not newer than an agent's events by more than this tells nothing more."""

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
_OF_SESSION = {
    "agent_assigned": "agent_assigned",
    "agent": "agent_assigned",
    "model": "session_model",
    "parent_session_id": "parent_session_id",
}
"""Column of sessions → its name in a row of agent_events."""

OnRows = Callable[[int], object]
"""Called with the rows of agent_events that were read since the last call."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Known:
    """What is known of the file since the last look."""

    schema: int
    last: int = 0
    open: set[int] = field(default_factory=set)
    rows: dict[str, dict[Any, int]] = field(default_factory=dict)


class DatabaseTail:
    """Reads the database from where it stopped the last time.

    Attributes:
        path: of the file; project: the name of the project it belongs to.
        broken: the first rows that hold no event, as ``table row: why``; n_broken: all of them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.project = project_of(self.path)
        self.broken: list[str] = []
        self.n_broken = 0
        self._known: _Known | None = None
        self._state: FileState | None = None
        # feature → who worked on it last; agent → time of its newest event.
        self._workers: dict[str, str] = {}
        self._newest: dict[str, datetime] = {}

    def changed(self) -> bool:
        """Return whether there may be something new; it only looks at the file's date and size."""
        return file_state(self.path) != self._state

    def n_rows(self) -> int:
        """Return how many rows of agent_events are to be read, about; errors as ``read``."""
        with ReadOnlyDatabase(self.path) as db:
            self._check(db)
            (row,) = db.fetch("SELECT max(rowid) AS last FROM agent_events")
            return int(row["last"] or 0) - (self._known.last if self._known else 0)

    def read(self, on_rows: OnRows | None = None) -> Iterator[Event | LegacyResource]:
        """Yield what is new: events in the order of the file, sessions, then resources.

        Raises:
            StoreUnavailable, StoreDamaged: the file cannot be read.
            InvalidEvent: it is no database of that project.
        """
        self._state = file_state(self.path)
        with ReadOnlyDatabase(self.path) as db:
            self._check(db)
            known = self._begin(db)
            yield from self._open_rows(db, known)
            yield from self._new_rows(db, known, on_rows)
            yield from self._sessions(db, known)
            yield from self._presences(db, known)
            for table, kind in (("features", "feature"), ("tracks", "track")):
                yield from self._resources(db, known, table, kind)

    def _check(self, db: ReadOnlyDatabase) -> None:
        if not {"event_id", "session_id", "timestamp"} <= db.columns("agent_events"):
            raise InvalidEvent(
                f"{self.path} is no database of the older HtmlGraph project: it has no table "
                "agent_events with event_id, session_id and timestamp",
                "path",
            )

    def _begin(self, db: ReadOnlyDatabase) -> _Known:
        """Return what is known; nothing where the file's rows have been numbered anew."""
        schema = db.schema_version()
        (row,) = db.fetch("SELECT max(rowid) AS last FROM agent_events")
        known = self._known
        if known is None or known.schema != schema or int(row["last"] or 0) < known.last:
            known = self._known = _Known(schema)
        return known

    def _query(self, db: ReadOnlyDatabase, where: str) -> str:
        names = [f"e.{name}" for name in _EVENT_COLUMNS if name in db.columns("agent_events")]
        there = db.columns("sessions")
        names += [f"s.{name} AS {into}" for name, into in _OF_SESSION.items() if name in there]
        join = " LEFT JOIN sessions s ON s.session_id = e.session_id" if there else ""
        return f"SELECT e.rowid AS row, {', '.join(names)} FROM agent_events e{join} WHERE {where}"

    def _open_rows(self, db: ReadOnlyDatabase, known: _Known) -> Iterator[Event]:
        """Yield the ends of calls that were not over at the last look."""
        rowids = sorted(known.open)
        for start in range(0, len(rowids), _IN_STEP):
            part = rowids[start : start + _IN_STEP]
            query = self._query(db, f"e.rowid IN ({', '.join('?' * len(part))})")
            for row in db.fetch(query, part):
                if not is_unfinished(row):
                    known.open.discard(row["row"])
                    yield from self._events(row)

    def _new_rows(
        self, db: ReadOnlyDatabase, known: _Known, on_rows: OnRows | None
    ) -> Iterator[Event]:
        query = self._query(db, f"e.rowid > ? ORDER BY e.rowid LIMIT {_IN_STEP}")
        while rows := db.fetch(query, (known.last,)):
            for row in rows:
                known.last = row["row"]
                if is_unfinished(row) and len(known.open) < MAX_OPEN:
                    known.open.add(row["row"])
                yield from self._events(row)
            if on_rows is not None:
                on_rows(len(rows))

    def _events(self, row: LegacyRow) -> Iterator[Event]:
        for event in self._guarded("agent_events", row, events_from_row):
            if event.feature_id is not None:
                self._workers[event.feature_id] = event.agent_id
            at = event.timestamp
            if at is not None and at >= self._newest.get(event.agent_id, at):
                self._newest[event.agent_id] = at
            yield event

    def _sessions(self, db: ReadOnlyDatabase, known: _Known) -> Iterator[Event]:
        for row in self._changed(db, known, "sessions", "session_id", _SESSION_COLUMNS):
            yield from self._guarded("sessions", row, events_from_session)

    def _presences(self, db: ReadOnlyDatabase, known: _Known) -> Iterator[Event]:
        """Yield the last signs of agents of which no event tells."""
        for row in self._changed(db, known, "agent_presence", "agent_id", _PRESENCE_COLUMNS):
            for event in self._guarded("agent_presence", row, events_from_presence):
                newest, at = self._newest.get(event.agent_id), event.timestamp
                told = newest is not None and at is not None and at <= newest + _SAME
                if event.event_type == "offline" or not told:
                    yield event

    def _resources(
        self, db: ReadOnlyDatabase, known: _Known, table: str, kind: str
    ) -> Iterator[LegacyResource]:
        for row in self._changed(db, known, table, "id", _RESOURCE_COLUMNS):
            worker = self._workers.get(str(row["id"]))
            translate = partial(resources_from_row, kind=kind, agent_id=worker)
            yield from self._guarded(table, row, translate)

    def _changed(
        self, db: ReadOnlyDatabase, known: _Known, table: str, key: str, columns: Sequence[str]
    ) -> Iterator[LegacyRow]:
        """Yield the rows of a small table that are not as they were at the last look."""
        there = db.columns(table)
        if key not in there:
            return
        seen = known.rows.setdefault(table, {})
        names = ", ".join(name for name in columns if name in there)
        last = 0
        query = f"SELECT rowid AS row, {names} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        while rows := db.fetch(query, (last, _IN_STEP)):
            for row in rows:
                last = row["row"]
                mark = hash(tuple(row.values()))
                if seen.get(row[key]) != mark:
                    seen[row[key]] = mark
                    yield row

    def _guarded(self, table: str, row: LegacyRow, translate: Callable[..., list[_T]]) -> list[_T]:
        try:
            return translate(row, project=self.project)
        except InvalidEvent as error:
            self.n_broken += 1
            if len(self.broken) < _MAX_REPORTED:
                self.broken.append(f"{table} row {row['row']}: {error.message}")
            return []


def project_of(path: str) -> str | None:
    """Return the name of the project to which a database file belongs, by its folder."""
    folder = path.replace("\\", "/").rpartition("/")[0]
    return base_name(folder.removesuffix(".htmlgraph")) if folder.endswith("/.htmlgraph") else None
