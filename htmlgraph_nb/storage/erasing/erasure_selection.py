"""Which rows belong to the agents, sessions and projects that are to be forgotten."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...core.timestamps import to_micros
from ...core.validation import shorten
from ...errors import ConfigError
from ..database import select_in

DOOMED = "temp.doomed"
"""Temporary table of the ids of the events to delete."""
_OWNERS = (
    ("agent", "agent"),
    ("agent", "parent"),
    ("session", "session"),
    ("project", "project"),
)
_SHOWN = 5
_NAMES_IN = "SELECT id, name FROM names WHERE name IN ({})"


@dataclass(frozen=True, slots=True)
class ErasureSelection:
    """What to forget; several kinds narrow each other.

    Attributes:
        agents, sessions, projects: their names; with an agent go its subagents. Empty: any.
        before: only events before this time, and agents without later ones; None: all.
    """

    agents: Sequence[str] = ()
    sessions: Sequence[str] = ()
    projects: Sequence[str] = ()
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What is to be deleted.

    Attributes:
        n_events: number of events, whose ids are in DOOMED.
        agents: agents to remove from the roster.
        owners: names of the agents, sessions and projects of these events.
        first_ts, last_ts: earliest and latest time of the events, microseconds since 1970; None:
            there are none.
    """

    n_events: int
    agents: frozenset[str]
    owners: frozenset[tuple[str, str]]
    first_ts: int | None
    last_ts: int | None


class _Agents:
    """What the database knows of agents: their parents, sessions and projects."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.children: dict[str, set[str]] = {}
        pairs = db.execute(
            "SELECT DISTINCT a.name, p.name FROM events e JOIN names a ON a.id = e.agent "
            "JOIN names p ON p.id = e.parent UNION SELECT DISTINCT a.name, r.name FROM events e "
            "JOIN names a ON a.id = e.agent JOIN names r ON r.id = e.root UNION "
            "SELECT agent_id, parent_agent_id FROM agent_presence WHERE parent_agent_id NOT NULL"
        )
        for agent, parent in pairs:
            if agent != parent:
                self.children.setdefault(parent, set()).add(agent)
        self.current: dict[str, tuple[str | None, str | None, int]] = {
            agent: (session, project, at)
            for agent, session, project, at in db.execute(
                "SELECT agent_id, session_id, project, last_activity FROM agent_presence"
            )
        }

    def with_children(self, agents: Iterable[str]) -> set[str]:
        """Return agents with their subagents, and theirs."""
        found: set[str] = set()
        todo = [*agents]
        while todo:
            agent = todo.pop()
            if agent not in found:
                found.add(agent)
                todo += self.children.get(agent, ())
        return found


def plan_erasure(db: sqlite3.Connection, selection: ErasureSelection) -> ErasurePlan:
    """Return what belongs to a selection, and fill DOOMED.

    Args:
        db: a connection whose temporary tables are in memory, outside a transaction.

    Raises:
        ConfigError: a name is unknown, or nothing is selected.
    """
    if not (selection.agents or selection.sessions or selection.projects or selection.before):
        raise ConfigError("expected an agent, a session, a project or a time, got none of them")
    known = _Agents(db)
    conditions: list[str] = []
    parameters: list[object] = []
    # Agents to remove from the roster, unless they have later events.
    gone: set[str] | None = None

    def narrow(agents: set[str], current: set[str], column: str, names: Sequence[int]) -> None:
        nonlocal gone
        gone = agents | current if gone is None else gone & (agents | current)
        ids = _ids(db, agents).values()
        # Whole numbers of the table of names.
        parts = [f"agent IN ({', '.join(map(str, ids))})"]
        if names:
            parts.append(f"{column} IN ({', '.join(map(str, names))})")
        conditions.append(f"({' OR '.join(parts)})")

    if selection.agents:
        _check_known(db, "agent", selection.agents, known.current)
        narrow(known.with_children(selection.agents), set(), "agent", [])
    for column, names, place in (
        ("session", selection.sessions, 0),
        ("project", selection.projects, 1),
    ):
        if names:
            current = [str(values[place]) for values in known.current.values() if values[place]]
            ids = _check_known(db, column, names, current)
            own = {name for name, values in known.current.items() if values[place] in names}
            narrow(known.with_children(_only_in(db, column, ids)), own, column, ids)
    if selection.before is not None:
        conditions.append("ts < ?")
        parameters.append(to_micros(selection.before))
    _fill(db, conditions, parameters)
    gone = set(known.current) if gone is None else gone
    if selection.before is not None:
        limit = to_micros(selection.before)
        gone = {name for name in gone & set(known.current) if known.current[name][2] < limit}
    n_events, first, last = db.execute(
        f"SELECT count(*), min(ts), max(ts) FROM events WHERE id IN (SELECT id FROM {DOOMED})"
    ).fetchone()
    owners = {("agent", name) for name in gone}
    for kind, column in _OWNERS:
        owners |= {(kind, name) for name in _names_of(db, column)}
    owners |= {
        ("session", session) for name in gone if (session := known.current.get(name, ("",))[0])
    }
    return ErasurePlan(n_events, frozenset(gone), frozenset(owners), first, last)


def _fill(db: sqlite3.Connection, conditions: Sequence[str], parameters: Sequence[object]) -> None:
    db.execute(f"DROP TABLE IF EXISTS {DOOMED}")
    db.execute(f"CREATE TEMP TABLE {DOOMED.partition('.')[2]} (id INTEGER PRIMARY KEY)")
    db.execute(
        f"INSERT INTO {DOOMED} SELECT id FROM events WHERE {' AND '.join(conditions)}", parameters
    )


def _names_of(db: sqlite3.Connection, column: str) -> set[str]:
    rows = db.execute(
        f"SELECT name FROM names WHERE id IN (SELECT {column} FROM events "
        f"WHERE id IN (SELECT id FROM {DOOMED}))"
    )
    return {row[0] for row in rows}


def _ids(db: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in select_in(db, _NAMES_IN, [*names])}


def _only_in(db: sqlite3.Connection, column: str, ids: Sequence[int]) -> set[str]:
    """Return the agents whose events all have one of these sessions or projects, or none."""
    marks = ", ".join(map(str, ids))
    if not marks:
        return set()
    rows = db.execute(
        f"SELECT name FROM names WHERE id IN (SELECT agent FROM events GROUP BY agent "
        f"HAVING max({column} IN ({marks})) AND min(coalesce({column} IN ({marks}), 1)))"
    )
    return {row[0] for row in rows}


def _check_known(
    db: sqlite3.Connection, column: str, names: Sequence[str], current: Iterable[str]
) -> list[int]:
    """Return the ids of names that occur in a column of events, or in the roster.

    Raises:
        ConfigError: one does not occur; the message has similar ones.
    """
    ids = _ids(db, names)
    in_roster = set(current)
    for name in names:
        number = ids.get(name)
        query = f"SELECT EXISTS (SELECT 1 FROM events WHERE {column} = ?)"
        if name in in_roster or (number and db.execute(query, (number,)).fetchone()[0]):
            continue
        query = f"SELECT name FROM names WHERE id IN (SELECT DISTINCT {column} FROM events)"
        others = in_roster | {row[0] for row in db.execute(query)}
        near = difflib.get_close_matches(name, sorted(others), _SHOWN, 0.4)
        hint = f"; similar: {', '.join(map(shorten, near))}" if near else ""
        raise ConfigError(f"unknown {column} {shorten(name)}{hint}")
    return [ids[name] for name in names if name in ids]


def counts_by_owner(plan: ErasurePlan) -> Mapping[str, int]:
    """Return the number of agents, sessions and projects that a plan is about."""
    kinds = [kind for kind, _ in plan.owners]
    return {kind: kinds.count(kind) for kind in ("agent", "session", "project")}
