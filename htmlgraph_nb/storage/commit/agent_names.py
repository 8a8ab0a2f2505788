"""The names that hooks give to the main agents of sessions, the same for all processes of a file.

Each row of ``session_names`` is the id that an agent would have by its session and the one that it
has. Ids of rows only grow, so a process reads those that others added by their ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from ...core.dedup import AgentAliases, DedupRules, aliases_of
from ...core.model import AgentPresence, Event

FILLED = "session_names"
"""Key in ``meta``: the names of the agents of an older version were added."""

_NEW = "SELECT id, default_id, agent_id FROM session_names WHERE id > ? ORDER BY id"
_PUT = (
    "INSERT INTO session_names (id, default_id, agent_id) VALUES (?, ?, ?) "
    "ON CONFLICT (default_id) DO UPDATE SET id = excluded.id, agent_id = excluded.agent_id"
)
_DELETE = "DELETE FROM session_names WHERE default_id = ?"


class AgentNames:
    """The names, inside of transactions; a copy of the table, which is bounded as AgentAliases."""

    def __init__(self, rules: DedupRules) -> None:
        self._rules = rules
        self._aliases = AgentAliases(self._rules)
        self._last_id = 0
        self._is_changed = False

    def load(self, db: sqlite3.Connection, stored: Iterable[AgentPresence]) -> None:
        """Read all names.

        Args:
            stored: all agents of the file. An older version derived the names from these.
        """
        if db.execute("SELECT 1 FROM meta WHERE key = ?", (FILLED,)).fetchone() is None:
            db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (FILLED, "1"))
            self.store(db, dict(aliases_of(stored, self._rules)))
        self.reset()
        self.read_new(db)

    def reset(self) -> None:
        """Drop all names; ``read_new`` reads them again."""
        self._aliases, self._last_id = AgentAliases(self._rules), 0
        self._is_changed = False

    def read_new(self, db: sqlite3.Connection) -> None:
        """Read the names that other processes have added."""
        for row_id, default_id, agent_id in db.execute(_NEW, (self._last_id,)).fetchall():
            self._aliases.put(default_id, agent_id)
            self._last_id = row_id

    def new_of(self, events: Iterable[Event]) -> dict[str, str]:
        """Return the names in hook events that are not stored, by the default id."""
        return self._aliases.new_of(events)

    def store(self, db: sqlite3.Connection, names: Mapping[str, str]) -> None:
        """Store new names."""
        self._is_changed = True
        for default_id, agent_id in names.items():
            self._last_id += 1
            db.execute(_PUT, (self._last_id, default_id, agent_id))
            for evicted in self._aliases.put(default_id, agent_id):
                db.execute(_DELETE, (evicted,))

    def apply(
        self, events: Sequence[Event], new: Mapping[str, str] | None = None
    ) -> Sequence[Event]:
        """Return the events with the names in place of the default ids of agents and parents.

        Args:
            new: names to apply as well, which are not stored yet.
        """
        return self._aliases.apply(events, new)

    def committed(self) -> None:
        """The transaction is durable."""
        self._is_changed = False

    def rolled_back(self) -> None:
        """The transaction was undone; the next one reads its names again."""
        if self._is_changed:
            self.reset()
