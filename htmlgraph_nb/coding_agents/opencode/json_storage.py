"""The sessions of OpenCode before version 1.2, which were JSON files, as a database in memory.

Files below ``storage``, as of version 1.1.65: ``session/<project>/<session>.json``,
``message/<session>/<message>.json`` and ``part/<message>/<part>.json``. Version 1.2 copied them
into its database, with the same ids, and left them where they were.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from ...paths import open_regular
from ..databases.session_database import MAX_ROW_BYTES
from ..fields import mapping, string

_TABLES = """
CREATE TABLE session (id TEXT PRIMARY KEY, parent_id, directory, title, time_created,
    time_updated, time_archived);
CREATE TABLE message (id TEXT PRIMARY KEY, session_id, time_created, time_updated, data);
CREATE INDEX message_session ON message (session_id);
CREATE TABLE part (id TEXT PRIMARY KEY, message_id, session_id, time_created, time_updated, data);
CREATE INDEX part_message ON part (message_id);
CREATE INDEX part_session ON part (session_id);
"""
_MAX_SESSIONS = 100_000
_MAX_FILES = 200_000
_MAX_ANCESTORS = 16


def load_storage(folder: str, session: str | None) -> sqlite3.Connection:
    """Return a database in memory with the tables of a later version.

    Args:
        folder: the folder ``storage``.
        session: id of the session whose messages are read; None: only the sessions are read.

    Raises:
        OSError: the folder cannot be read.
    """
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(_TABLES)
    for path in _session_files(folder, session):
        _add_session(db, path)
    if session is not None:
        for path in _json_files(os.path.join(folder, "message", session)):
            message = _add_message(db, path, session)
            if message is not None:
                for part in _json_files(os.path.join(folder, "part", message)):
                    _add_part(db, part, message, session)
    return db


def is_storage(folder: str) -> bool:
    """Return whether a folder holds sessions as JSON files."""
    return os.path.isdir(os.path.join(folder, "session"))


def _session_files(folder: str, session: str | None) -> Iterator[str]:
    """Yield the files of all sessions, or of one and its ancestors."""
    root = os.path.join(folder, "session")
    projects = sorted(entry.path for entry in os.scandir(root) if entry.is_dir())
    if session is None:
        n = 0
        for project in projects:
            for path in _json_files(project):
                n += 1
                if n > _MAX_SESSIONS:
                    return
                yield path
        return
    name: str | None = session
    for _ in range(_MAX_ANCESTORS):
        if name is None or os.path.basename(name) != name:
            return
        paths = [os.path.join(project, f"{name}.json") for project in projects]
        own = next(filter(os.path.isfile, paths), None)
        if own is None:
            return
        yield own
        name = string((_read(own) or {}).get("parentID"), None)


def _json_files(folder: str) -> list[str]:
    """Return the JSON files in a folder in the order of their ids; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if entry.name.endswith(".json")]
    except FileNotFoundError:
        return []
    return sorted(paths)[:_MAX_FILES]


def _read(path: str) -> Mapping[str, Any] | None:
    """Return the JSON object in a file; None if it is none, as while it is being written."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_ROW_BYTES + 1)
        value = json.loads(data) if len(data) <= MAX_ROW_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _changed_ms(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _add_session(db: sqlite3.Connection, path: str) -> None:
    value = _read(path)
    if value is None:
        return
    times = mapping(value.get("time"))
    stem = os.path.basename(path).removesuffix(".json")
    texts = [string(value.get(name), None) for name in ("parentID", "directory", "title")]
    numbers = [_number(times.get(name)) for name in ("created", "updated", "archived")]
    numbers[1] = max(numbers[1] or 0, _changed_ms(path))
    row = (stem, *texts, *numbers)
    db.execute("INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _add_message(db: sqlite3.Connection, path: str, session: str) -> str | None:
    value = _read(path)
    if value is None:
        return None
    name = os.path.basename(path).removesuffix(".json")
    created = _number(mapping(value.get("time")).get("created"))
    changed = _changed_ms(path)
    kept = {key: item for key, item in value.items() if key not in ("system", "summary")}
    kept["summary"] = value.get("summary") is True
    row = (name, session, changed if created is None else created, changed, json.dumps(kept))
    db.execute("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?)", row)
    return name


def _add_part(db: sqlite3.Connection, path: str, message: str, session: str) -> None:
    value = _read(path)
    if value is None:
        return
    name = os.path.basename(path).removesuffix(".json")
    state = {key: item for key, item in mapping(value.get("state")).items() if key != "output"}
    changed = _changed_ms(path)
    times = [mapping(state.get("time")).get("start"), mapping(value.get("time")).get("start")]
    created = next((number for time in times if (number := _number(time)) is not None), changed)
    kept = {**value, "state": state} if state else value
    row = (name, message, session, min(created, changed), changed, json.dumps(kept))
    db.execute("INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?)", row)


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 else None
