"""What a process knows of the table ``forgotten``, and how its roster follows a deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime

from ...core.agent_state import AgentState
from ...core.model import Event
from ...core.roster import Roster
from ...core.status_rules import Change
from ...core.timestamps import to_micros
from .forgotten_table import ALL, forget_count, name_hash, read_key

_MAX_CACHED = 10_000


class ForgottenNames:
    """The content of the table ``forgotten``, which drops events of what it names."""

    def __init__(self) -> None:
        self._count = 0
        self._key = b""
        self._until: dict[bytes, int] = {}
        self._cache: dict[tuple[str, str], int | None] = {}
        self._dropped = False

    def load(self, db: sqlite3.Connection) -> bool:
        """Read the table again if something was deleted since; return whether that is so."""
        count = forget_count(db)
        if count == self._count:
            return False
        self._count = count
        self._key = read_key(db)
        with closing(db.execute("SELECT hash, until FROM forgotten")) as rows:
            self._until = dict(rows.fetchall())
        self._cache.clear()
        return True

    def keep(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events that may be stored."""
        if not self._until:
            return events
        kept = [event for event in events if not self._is_forgotten(event)]
        self._dropped = self._dropped or len(kept) < len(events)
        return kept

    def was_dropped(self) -> bool:
        """Return whether an event was dropped since the last call."""
        dropped, self._dropped = self._dropped, False
        return dropped

    def _is_forgotten(self, event: Event) -> bool:
        if event.timestamp is None:
            return False
        at = to_micros(event.timestamp)
        return any(
            name is not None and (until := self._until_of(kind, name)) is not None and at <= until
            for kind, name in (
                (ALL, ""),
                ("agent", event.agent_id),
                ("session", event.session_id),
                ("project", event.project),
                ("agent", event.parent_agent_id),
            )
        )

    def _until_of(self, kind: str, name: str) -> int | None:
        key = (kind, name)
        if key not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[key] = self._until.get(name_hash(self._key, kind, name))
        return self._cache[key]


def reload_roster(
    roster: Roster,
    stored: Mapping[str, AgentState],
    hides: Callable[[str], bool],
    last_seq: int,
    now: datetime,
) -> list[Change]:
    """Take the stored agents after another process deleted some; return the removals of those.

    Args:
        hides: whether an agent is being imported and not stored yet.
        last_seq: number of the last removal.
        now: current time.
    """
    removed = [name for name in roster.agents if name not in stored and not hides(name)]
    for name, state in stored.items():
        if not hides(name):
            roster.put(name, state)
    changes = []
    for seq, name in enumerate(removed, last_seq - len(removed) + 1):
        roster.put(name, None)
        event = Event(agent_id=name, event_type="forget", source="user")
        changes.append(Change(seq, name, None, event, now))
    return changes
