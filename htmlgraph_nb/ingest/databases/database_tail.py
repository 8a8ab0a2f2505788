"""Read one session of a session database in parts, each time from the last position.

It has the methods of SessionTail that an import uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...coding_agents.databases.session_database import SessionCursor
from ...coding_agents.input_key import hash_input
from ...coding_agents.registry import AGENTS
from ...coding_agents.titles import drop_generated_titles
from ...core.model import Event
from ...errors import SessionsBusy
from .database_file import open_store

ROW_BYTES = 1_000
"""Bytes that a row counts as in the progress of an import."""
_PART_MESSAGES = 200
_ATTEMPTS = 20
_RETRY_S = 0.1


@dataclass(slots=True)
class StoredTail:
    """Reads a session that is in a database.

    Args:
        path: the database.
        agent: name of the agent whose format it has.
        session: id of the session.
        titles: keep generated titles.

    Attributes:
        problem: why the last call could not read the rest of the session; None: it could.
    """

    path: str
    agent: str
    session: str
    titles: bool = True
    problem: str | None = None
    n_broken: int = 0
    broken: list[int] = field(default_factory=list)
    unfinished: bool = False
    _cursor: SessionCursor | None = None

    def read_to(
        self, size: int, *, part_bytes: int, on_bytes: Callable[[int], object] | None = None
    ) -> Iterator[Event]:
        """Yield the events of the session as it is now.

        Args:
            size: bytes that the session counts as.
            part_bytes: ignored; the database is closed between two parts.
            on_bytes: called with the bytes that each part counts as.

        Raises:
            OSError: the database cannot be read.
        """
        n_left = size
        while True:
            events, behind = self._read_part()
            yield from events
            part = min(n_left, _PART_MESSAGES * ROW_BYTES) if behind else n_left
            n_left -= part
            if on_bytes is not None:
                on_bytes(part)
            if not behind:
                return

    def _read_part(self) -> tuple[list[Event], bool]:
        database = AGENTS[self.agent].session_database()
        for attempt in range(_ATTEMPTS):
            cursor = self._cursor = self._cursor or database.cursor(self.session, hash_input)
            try:
                with open_store(self.path, database, self.session) as db:
                    events = cursor.read(db, _PART_MESSAGES)
                return self._filtered(events), cursor.behind
            except SessionsBusy:
                if attempt == _ATTEMPTS - 1:
                    raise
                # Its events may be those of a half written state.
                self._cursor = None
                time.sleep(_RETRY_S)
        raise AssertionError("the last attempt returns or raises")

    def finish(self) -> list[Event]:
        """Return the events that wait for a change that may never come."""
        return [] if self._cursor is None else self._filtered(self._cursor.finish())

    def _filtered(self, events: list[Event]) -> list[Event]:
        return events if self.titles else drop_generated_titles(events)
