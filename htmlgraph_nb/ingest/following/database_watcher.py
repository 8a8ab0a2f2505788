"""Follow the session databases of coding agents: a polled source of events.

A database is opened only after it or its log has changed, for a few short queries. Its new rows
name the sessions that have changed. Of those whose turn is running, one query returns the times of
the rows that can change, and those with another time are read as well. A session is read from its
start when it is first seen, and again after a restart of the server. The ids of the events make
that harmless, so no position is stored.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...coding_agents.databases.session_database import Position, SessionCursor, SessionDatabase
from ...coding_agents.hook_hints import HookHints
from ...coding_agents.input_key import hash_input
from ...coding_agents.registry import AGENTS
from ...coding_agents.session import GIVE_UP_AFTER_S
from ...coding_agents.titles import drop_generated_titles
from ...core.model import Event
from ...core.timestamps import from_micros
from ...errors import SessionsBusy
from ..databases.database_file import (
    DatabaseStamp,
    database_stamp,
    is_busy,
    open_sessions,
)
from ..databases.found_databases import DatabasePath, find_databases
from ..event_buffer import EventBuffer
from ..file_facts import FileFacts
from ..files.skipped_files import SkippedFiles
from ..session_watcher import (
    ACTIVE_FOR_S,
    FAST_FOR_S,
    FAST_INTERVAL_S,
    MAX_FAST_FILES,
    MAX_HINTS,
    SLOW_INTERVAL_S,
)

logger = logging.getLogger(__name__)

_FIND_INTERVAL_S = 2.0
"""Seconds between two searches for further databases."""
_MAX_NAMED = 500
_MAX_KNOWN = 2_000
"""Sessions of a database whose position is kept."""
_READ_MESSAGES = 100
_SLICE_S = 0.02
_READ_AGAIN_S = (0.1, 5.0)
"""Seconds after a change at which a database is read again: a further change can have the same
timestamp, and a commit becomes visible only after it was written, which the disk can delay. They
are counted here, because the clock of a file system can differ."""
_RETRY_S = 5.0
"""Seconds until a database that cannot be read is tried again."""
_REVIEW_S = 2.0
"""Seconds between two readings of the sessions that are at rest, whose titles can change."""
_QUIET_CHECK_S = 10.0
RUNNING_AFTER_S = 240.0
"""Seconds without a change after which a running turn is reported again, before it counts as
idle."""
_RUNNING_FOR_S = 14_400.0
"""Seconds without a change after which it is no longer, as with an open tool call."""


@dataclass(slots=True)
class _Session:
    """A session that is followed.

    Attributes:
        changed_at: monotonic seconds at its last event.
        state: ``SessionDatabase.states`` after it was last read; None: it was not read to its end.
        is_settled: whether it was read again after ``state`` had changed: two changes can have the
            same time.
        first_read: its events until its end is reached; None: it was.
        shown_at: when its turn was last reported to be running still.
        gave_up: whether the events were returned that wait for a change that may never come.
    """

    cursor: SessionCursor
    changed_at: float
    state: object = None
    is_settled: bool = False
    first_read: EventBuffer | None = field(default_factory=EventBuffer)
    shown_at: float = float("-inf")
    gave_up: bool = False


class _Database:
    """A database that is followed.

    Attributes:
        behind: whether there is more to read.
        n_active: number of its sessions with events in the last ACTIVE_FOR_S.
        problems: session → why it cannot be read.
    """

    def __init__(self, found: DatabasePath, since: float | None, *, titles: bool) -> None:
        self.path = found.path
        self.behind = False
        self.n_active = 0
        self._database: SessionDatabase = AGENTS[found.agent].session_database()
        self._since = since
        self._titles = titles
        self._facts = FileFacts.of_path(found.path)
        self._stamp: DatabaseStamp | None = None
        self._changed_at = self._read_at = float("-inf")
        self._position: Position | None = None
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._review_at = self._quiet_at = float("-inf")
        self._named: set[str] = set()
        self.problems: dict[str, str] = {}

    def name(self, session: str) -> None:
        """Read a session with the next poll."""
        if len(self._named) < _MAX_NAMED:
            self._named.add(session)

    def is_fast(self, monotonic_s: float) -> bool:
        """Return whether the database changed recently."""
        return monotonic_s - self._changed_at < FAST_FOR_S

    def poll(self, monotonic_s: float, wall_ns: int) -> list[Event]:
        """Return the events since the last call.

        Raises:
            OSError: the database cannot be read.
        """
        stamp = database_stamp(self.path)
        is_same = stamp == self._stamp
        read_after_s, now_after_s = self._read_at - self._changed_at, monotonic_s - self._changed_at
        is_due = any(read_after_s <= wait_s < now_after_s for wait_s in _READ_AGAIN_S)
        if is_same and not (is_due or self._named or self.behind or self._waiting):
            return self._check_quiet(monotonic_s, wall_ns)
        if stamp.main is None:
            # Deleted, or about to be replaced.
            self._restart(stamp)
            return []
        if self._stamp is not None and _identity(stamp) != _identity(self._stamp):
            self._restart(None)
        if not is_same:
            self._stamp, self._changed_at = stamp, monotonic_s
        try:
            with open_sessions(self.path, self._database) as db:
                events = self._read(db, monotonic_s)
        except OSError:
            # What was read may be half of a change, and its events are lost.
            self._restart(None)
            raise
        self._read_at = monotonic_s
        return events

    def _restart(self, stamp: DatabaseStamp | None) -> None:
        self._stamp = stamp
        self._position = None
        self._sessions.clear()
        self._waiting.clear()

    def _read(self, db: sqlite3.Connection, monotonic_s: float) -> list[Event]:
        end = time.monotonic() + _SLICE_S
        for name in self._changed(db):
            self._waiting[name] = None
        is_review = monotonic_s >= self._review_at
        if is_review:
            self._review_at = monotonic_s + _REVIEW_S
        active = {
            name
            for name, session in self._sessions.items()
            if monotonic_s - session.changed_at < ACTIVE_FOR_S
        }
        self.n_active = len(active)
        followed = [
            name
            for name, session in self._sessions.items()
            if (session.cursor.is_open or (is_review and name in active))
            and name not in self._waiting
        ]
        states = self._states(db, followed)
        for name in followed:
            session = self._sessions[name]
            if not session.is_settled or states.get(name) != session.state:
                self._waiting[name] = None
        read: list[str] = []
        events: list[Event] = []
        while self._waiting and time.monotonic() < end:
            name = next(iter(self._waiting))
            try:
                events += self._read_session(db, name, monotonic_s)
            except sqlite3.DatabaseError as error:
                if is_busy(error) or len(self.problems) >= _MAX_NAMED:
                    raise
                self.problems[name] = str(error)
                self._sessions.pop(name, None)
                del self._waiting[name]
                continue
            self.problems.pop(name, None)
            if not self._sessions[name].cursor.behind:
                del self._waiting[name]
                read.append(name)
        # In the same transaction, so that they are the states of what was read.
        states = self._states(db, read)
        for name in read:
            session, state = self._sessions[name], states.get(name)
            session.state, session.is_settled = state, state == session.state
        self.behind = bool(self._waiting)
        self._trim()
        return events

    def _states(self, db: sqlite3.Connection, names: list[str]) -> dict[str, object]:
        if not names:
            return {}
        rows = {name: self._sessions[name].cursor.open_rows for name in names}
        try:
            return self._database.states(db, rows)
        except sqlite3.DataError:
            # A row is too large; only the session that it belongs to cannot be read.
            return {name: object() for name in names}

    def _changed(self, db: sqlite3.Connection) -> list[str]:
        named, self._named = list(self._named), set()
        if self._position is None:
            self._position = self._database.position(db)
            since_ms = None if self._since is None else int(self._since * 1_000)
            return named if since_ms is None else self._database.recent(db, since_ms)
        if self._since is None:
            return named
        found, self._position = self._database.touched(db, self._position)
        return found + named

    def _read_session(self, db: sqlite3.Connection, name: str, monotonic_s: float) -> list[Event]:
        session = self._sessions.get(name)
        if session is None:
            cursor = self._database.cursor(name, hash_input)
            session = self._sessions[name] = _Session(cursor, monotonic_s)
        events = session.cursor.read(db, _READ_MESSAGES)
        if events:
            session.changed_at, session.gave_up = monotonic_s, False
            self._sessions.move_to_end(name)
        if session.first_read is not None:
            for event in events:
                session.first_read.add(event)
            if session.cursor.behind:
                events = session.first_read.ready()
            else:
                events, session.first_read = session.first_read.finish(), None
        return self._filtered(events)

    def _filtered(self, events: list[Event]) -> list[Event]:
        if self._since is None:
            events = [event for event in events if event.event_type == "completion"]
        if not self._titles:
            events = drop_generated_titles(events)
        return [self._facts.add_to(event) for event in events]

    def _check_quiet(self, monotonic_s: float, wall_ns: int) -> list[Event]:
        """Return what follows for sessions without a change for long.

        Their turn is still running, or their requests will not end.
        """
        events: list[Event] = []
        if monotonic_s < self._quiet_at:
            return events
        self._quiet_at = monotonic_s + _QUIET_CHECK_S
        now = from_micros(wall_ns // 1_000)
        for session in self._sessions.values():
            quiet_s = monotonic_s - session.changed_at
            is_due = monotonic_s - max(session.changed_at, session.shown_at) >= RUNNING_AFTER_S
            if is_due and quiet_s < _RUNNING_FOR_S:
                session.shown_at = monotonic_s
                events += session.cursor.still_running(now)
            if not session.gave_up and monotonic_s - session.changed_at >= GIVE_UP_AFTER_S:
                session.gave_up = True
                events += session.cursor.finish()
        return self._filtered(events)

    def _trim(self) -> None:
        """Forget the sessions that are over, and above a limit those longest unchanged."""
        gone = [name for name, session in self._sessions.items() if not session.cursor.exists]
        for name in gone:
            del self._sessions[name]
        while len(self._sessions) > _MAX_KNOWN:
            self._sessions.popitem(last=False)


def _identity(stamp: DatabaseStamp) -> tuple[int, int] | None:
    return None if stamp.main is None else stamp.main[:2]


class DatabaseWatcher:
    """Returns the events that agents add to their session databases; see PolledSource.

    Args:
        since: seconds since 1970; sessions last changed before it are ignored until they change.
        further: pairs of an agent and a folder beside its own; None: those in the environment.
        watch: follow all sessions; False: read only the sessions that hooks report, and only their
            completions.
        titles: keep generated titles.
        n_files: returns the number of session files that are followed beside the databases.
        monotonic: the clock; returns seconds.
    """

    def __init__(
        self,
        since: float,
        further: Sequence[tuple[str, str]] | None = None,
        *,
        watch: bool = True,
        titles: bool = True,
        n_files: Callable[[], int] = lambda: 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._n_files = n_files
        self._since = since if watch else None
        self._further = further
        self._titles = titles
        self._monotonic = monotonic
        self._databases: dict[str, _Database] = {}
        self._agents: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._find_at = float("-inf")
        self._hints: deque[HookHints] = deque(maxlen=MAX_HINTS)
        self._skipped = SkippedFiles()
        self._interval_s = SLOW_INTERVAL_S

    @property
    def interval_s(self) -> float:
        """Seconds until the next poll."""
        return self._interval_s

    def on_hook(self, hints: HookHints) -> None:
        """Read the session that a hook reported with the next poll. Thread-safe."""
        if hints.agent in AGENTS and AGENTS[hints.agent].has_databases:
            self._hints.append(hints)

    def report(self) -> dict[str, Any]:
        """Return the paths, and what is not read: a part of ``/api/status``."""
        return {
            "databases": list(self._databases),
            "skipped": self._skipped.report()["skipped"],
        }

    def poll(self, now: datetime) -> list[Event]:
        """Return the events that were added to the databases since the last call."""
        monotonic_s = self._monotonic()
        if monotonic_s >= self._find_at:
            self._find_at = monotonic_s + _FIND_INTERVAL_S
            self._find()
        while self._hints:
            hints = self._hints.popleft()
            for path, database in self._databases.items():
                if self._agents[path] == hints.agent:
                    database.name(hints.session_id)
        events: list[Event] = []
        wall_ns = int(now.timestamp() * 1e9)
        for path, database in self._databases.items():
            if self._due.get(path, 0.0) <= monotonic_s:
                events += self._poll_one(path, database, monotonic_s, wall_ns)
        self._skipped.log()
        databases = self._databases.values()
        n_active = self._n_files() + sum(each.n_active for each in databases)
        has_fast = n_active <= MAX_FAST_FILES and any(
            each.is_fast(monotonic_s) for each in databases
        )
        is_fast = has_fast or any(each.behind for each in databases)
        self._interval_s = FAST_INTERVAL_S if is_fast else SLOW_INTERVAL_S
        return events

    def _find(self) -> None:
        for found in find_databases(self._further):
            # Folders of files are those of versions that no longer run.
            if found.path not in self._databases and not os.path.isdir(found.path):
                self._agents[found.path] = found.agent
                self._databases[found.path] = _Database(found, self._since, titles=self._titles)

    def _poll_one(
        self, path: str, database: _Database, monotonic_s: float, wall_ns: int
    ) -> list[Event]:
        try:
            events = database.poll(monotonic_s, wall_ns)
        except SessionsBusy as error:
            logger.debug("session database %r: %s", path, error.strerror)
            return []
        except OSError as error:
            self._skipped.add(path, error.strerror or str(error))
            self._due[path] = monotonic_s + _RETRY_S
            return []
        self._skipped.remove(path)
        for session, problem in database.problems.items():
            self._skipped.add(f"{path}#{session}", problem)
        return events
