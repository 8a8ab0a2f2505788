"""Find the session databases of coding agents, and the sessions in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...coding_agents.agent import CodingAgent
from ...coding_agents.databases.session_database import StoredSession
from ...coding_agents.registry import AGENTS
from ...errors import SessionsBusy
from ...paths import open_regular
from ..files.session_roots import SessionFolder, database_folders
from .database_file import open_store

_ATTEMPTS = 20
_RETRY_S = 0.1
_HEADER = b"SQLite format 3\0"


class DatabasePath(NamedTuple):
    """A session database: a file, or a folder of older versions.

    Attributes:
        agent: name of the agent whose format it has.
    """

    path: str
    agent: str


class FoundSession(NamedTuple):
    """A session in a database."""

    database: DatabasePath
    stored: StoredSession


def find_databases(further: Iterable[SessionFolder] | None = None) -> list[DatabasePath]:
    """Return the existing session databases of this user's agents, each once.

    Args:
        further: folders beside the agents' own, or databases; None: those in the environment.

    Raises:
        InvalidEvent: as ``database_folders``.
    """
    found: dict[str, DatabasePath] = {}
    for agent, path in database_folders(further):
        for database in _databases_at(path, AGENTS[agent]):
            real = os.path.realpath(database)
            if os.path.exists(real):
                found.setdefault(real, DatabasePath(real, agent))
    return list(found.values())


def _databases_at(path: str, agent: CodingAgent) -> list[str]:
    return agent.session_databases(path) if os.path.isdir(path) else [path]


def is_database_file(path: str) -> bool:
    """Return whether a path is that of an SQLite database."""
    try:
        with open_regular(path) as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def databases_in(path: str, agent: str | None) -> list[DatabasePath]:
    """Return the existing session databases at a path: a file, or the folder of an agent.

    Args:
        agent: only those of this agent; None: of all.
    """
    found = []
    for name, each in AGENTS.items():
        if agent not in (None, name) or not each.has_databases:
            continue
        is_own = os.path.isdir(path) or agent or _has_format(path, each)
        if is_own and (os.path.isdir(path) or is_database_file(path)):
            paths = filter(os.path.exists, _databases_at(path, each))
            found += [DatabasePath(database, name) for database in paths]
    return found


def _has_format(path: str, agent: CodingAgent) -> bool:
    try:
        with open_store(path, agent.session_database()):
            return True
    except SessionsBusy:
        return True
    except OSError:
        return False


def stored_sessions(
    databases: Iterable[DatabasePath], since_ms: int = 0
) -> tuple[list[FoundSession], dict[str, str]]:
    """Return the sessions in databases, each once, and path → reason of those that are not read.

    Args:
        since_ms: milliseconds since 1970; sessions last changed before it are left out.
    """
    found: dict[tuple[str, str], FoundSession] = {}
    skipped: dict[str, str] = {}
    for database in databases:
        try:
            for stored in _sessions(database, since_ms):
                # The folder of an older version comes last; its sessions were copied.
                key = database.agent, stored.session
                found.setdefault(key, FoundSession(database, stored))
        except OSError as error:
            skipped[database.path] = error.strerror or str(error)
    return list(found.values()), skipped


def _sessions(database: DatabasePath, since_ms: int) -> list[StoredSession]:
    for _ in range(_ATTEMPTS):
        try:
            return list(_read_sessions(database, since_ms))
        except SessionsBusy as error:
            busy = error
            if not os.path.getsize(database.path):
                return []
            time.sleep(_RETRY_S)
    raise busy


def _read_sessions(database: DatabasePath, since_ms: int) -> Iterator[StoredSession]:
    sessions = AGENTS[database.agent].session_database()
    with open_store(database.path, sessions) as db:
        yield from sessions.sessions(db, since_ms)
