"""Session databases with the tables of the real programs, and their rows one by one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from htmlgraph_nb.coding_agents.input_hash import no_hash
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.event_buffer import final_events
from tests.helpers.paths import ROOT

PAYLOADS = ROOT / "tests/payloads/session_databases"
RECORDED = {
    "opencode": PAYLOADS / "opencode-1.18.33.sql",
    "goose": PAYLOADS / "goose-1.52.0.sql",
}
"""Agent → the tables that the program wrote, as SQL."""
START_MS = 1_780_000_000_000


def recorded_database(agent: str, path: Path) -> Path:
    """Create the recorded database of an agent."""
    return _create(path, RECORDED[agent].read_text())


def empty_database(agent: str, path: Path) -> Path:
    """Create a database with the tables of an agent, and without rows."""
    text = RECORDED[agent].read_text()
    return _create(path, "".join(text.partition("INSERT INTO")[:1]))


def _create(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.executescript(text)
    return path


def events_of(agent: str, path: Path, max_rows: int = 100) -> dict[str, list[Event]]:
    """Return session → its events, sorted by time."""
    database = AGENTS[agent].session_database()
    events: dict[str, list[Event]] = {}
    with closing(sqlite3.connect(path)) as db:
        for stored in database.sessions(db, 0):
            cursor = database.cursor(stored.session, no_hash)
            found = cursor.read(db, max_rows)
            while cursor.behind:
                found += cursor.read(db, max_rows)
            events[stored.session] = final_events([*found, *cursor.finish()])
    return events


class OpenCodeWriter:
    """Writes rows as OpenCode does, each in a transaction of its own.

    Args:
        path: a database with its tables.
    """

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = wal")
        self.at = START_MS
        self._n = 0

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def tick(self, milliseconds: int = 1_000) -> int:
        """Advance the clock and return it."""
        self.at += milliseconds
        return self.at

    def _id(self, prefix: str) -> str:
        self._n += 1
        return f"{prefix}_{self.at:013}{self._n:06}"

    def session(self, name: str | None = None, parent: str | None = None, **values: Any) -> str:
        """Add a session and return its id."""
        row = {
            "id": name or self._id("ses"),
            "project_id": "global",
            "parent_id": parent,
            "slug": "slug",
            "directory": "/home/ada/shop",
            "title": "New session - 2026-05-01T10:00:00.000Z",
            "version": "1.18.33",
            "time_created": self.at,
            "time_updated": self.at,
            **values,
        }
        self._insert("session", row)
        return str(row["id"])

    def message(self, session: str, role: str, **data: Any) -> str:
        """Add a message and return its id."""
        name = self._id("msg")
        value = {"role": role, "time": {"created": self.at}, **data}
        times = {"time_created": self.at, "time_updated": self.at}
        row = {"id": name, "session_id": session, **times, "data": json.dumps(value)}
        self._insert("message", row)
        return name

    def part(self, session: str, message: str, kind: str, **data: Any) -> str:
        """Add a part of a message and return its id."""
        name = self._id("prt")
        times = {"time_created": self.at, "time_updated": self.at}
        value = json.dumps({"type": kind, **data})
        row = {"id": name, "message_id": message, "session_id": session, **times, "data": value}
        self._insert("part", row)
        return name

    def update(self, table: str, name: str, **data: Any) -> None:
        """Change keys of the JSON of a message or part."""
        query = f"SELECT data FROM {table} WHERE id = ?"
        value = {**json.loads(self.db.execute(query, (name,)).fetchone()[0]), **data}
        text = f"UPDATE {table} SET data = ?, time_updated = ? WHERE id = ?"
        self.db.execute(text, (json.dumps(value), self.at, name))

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        text = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
        self.db.execute(text, tuple(row.values()))

    # Steps of a turn.

    def prompt(self, session: str) -> str:
        """Add a prompt and return its id."""
        name = self.message(session, "user")
        self.part(session, name, "text", text="secret prompt")
        return name

    def answer(self, session: str, finish: str = "stop", tokens: int = 10) -> str:
        """Add a complete answer and return its id."""
        name = self.message(session, "assistant", modelID="m", providerID="p")
        self.part(session, name, "text", text="secret answer")
        self.complete(name, finish, tokens)
        return name

    def complete(self, message: str, finish: str = "stop", tokens: int = 10, **data: Any) -> None:
        """Complete an answer."""
        counts = {"input": tokens, "output": 1, "reasoning": 0, "cache": {"read": 0, "write": 0}}
        time = {"created": self.at, "completed": self.at}
        self.update("message", message, tokens=counts, time=time, finish=finish, cost=0.5, **data)

    def call(self, session: str, message: str, tool: str = "bash", **state: Any) -> str:
        """Add a tool call that runs and return the id of its part."""
        values = {"status": "running", "input": {"x": 1}, "time": {"start": self.at}, **state}
        call = self._id("call")
        return self.part(session, message, "tool", tool=tool, callID=call, state=values)

    def end_call(self, part: str, status: str = "completed", **state: Any) -> None:
        """End a tool call."""
        time = {"start": self.at, "end": self.at}
        values = {"status": status, "input": {"x": 1}, "output": "secret", "time": time, **state}
        self.update("part", part, state=values)
