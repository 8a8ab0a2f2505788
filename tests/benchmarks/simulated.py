"""A history of any length, generated inside SQLite: millions of rows in seconds.

The rows are tool calls and completions of 200 agents in 2,000 sessions with 30 tools.
Pseudorandom values are computed from the row number, so that two histories of one length are equal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from htmlgraph_nb.presence import PresenceManager

ROWS_PER_DAY = 33_333
"""A million a month."""
_START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1e6)
_STEP_US = 86_400_000_000 // ROWS_PER_DAY
_ROWS_PER_INSERT = 1_000_000

_NAMES = {
    "agent": [f"agent-{n:03d}" for n in range(200)],
    "type": ["tool_execute", "completion"],
    "session": [f"{n * 2654435761 % 2**32:08x}-4b7e-session-{n:04d}" for n in range(2_000)],
    "tool": [f"Tool{n:02d}" for n in range(30)],
    "feature": [f"feature-{n}" for n in range(50)],
    "model": ["claude-opus-4-5", "claude-sonnet-4-5", "gpt-5.1-codex"],
    "project": [f"project-{n}" for n in range(10)],
    "host": ["workstation"],
    "source": ["hook"],
}


_COLUMNS = (
    *("id", "ts", "agent", "type", "session", "tool", "feature", "model", "parent", "project"),
    *("host", "source", "event_id", "tool_use_id", "input_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "cost_tokens"),
    *("cost_usd", "duration_ms", "status", "extra", "decision"),
)


def _row(first: dict[str, int]) -> str:
    """Return the SELECT terms of a row; ``n`` is its number, ``h`` a hash of it."""
    name = {field: f"{first[field]} + {{}} % {len(texts)}" for field, texts in _NAMES.items()}
    call = "n % 2 = 1"
    counts = [f"CASE WHEN NOT {call} THEN h % {most} END" for most in (5_000, 90_000, 2_000, 500)]
    terms = [
        "n",
        # Almost in order of time, as real rows arrive.
        f"{_START} + n * {_STEP_US} - (h % 400) * 10000",
        name["agent"].format("h"),
        name["type"].format("((n + 1) % 2)"),
        name["session"].format("(h / 200 + n / 50000)"),
        f"CASE WHEN {call} THEN {name['tool'].format('(h / 7)')} END",
        name["feature"].format("(h / 11)"),
        name["model"].format("(h / 13)"),
        "NULL",
        name["project"].format("h"),
        name["host"].format("h"),
        name["source"].format("h"),
        # In order of time, like UUIDs of version 7.
        f"printf('%012x-7000-%012x', n * {_STEP_US // 1000}, h)",
        f"CASE WHEN {call} THEN printf('toolu_%024x', h) END",
        *counts,
        f"CASE WHEN NOT {call} THEN h % 4000 END",
        f"CASE WHEN NOT {call} THEN h % 100000 END",
        "NULL",
        f"CASE WHEN {call} THEN h % 30000 END",
        f"CASE WHEN {call} THEN h % 20 = 0 END",
        "CASE WHEN n % 20 = 0 THEN printf('{\"n\":%d}', n) END",
        "NULL",
    ]
    return ", ".join(terms)


def fill(path: str, n_rows: int, on_rows: Callable[[int], object] = lambda _: None) -> None:
    """Create a database with ``n_rows`` events.

    Args:
        path: path of the new file.
        n_rows: number of events.
        on_rows: called with the number of rows after each insert of a million.
    """
    PresenceManager(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        first = {}
        for field, texts in _NAMES.items():
            first[field] = db.execute("SELECT coalesce(max(id), 0) + 1 FROM names").fetchone()[0]
            db.executemany("INSERT INTO names (name) VALUES (?)", [(text,) for text in texts])
        for start in range(1, n_rows + 1, _ROWS_PER_INSERT):
            end = min(start + _ROWS_PER_INSERT - 1, n_rows)
            db.execute(
                f"INSERT INTO events ({', '.join(_COLUMNS)}) WITH RECURSIVE numbers (n) AS "
                f"(SELECT {start} UNION ALL SELECT n + 1 FROM numbers WHERE n < {end}), "
                f"hashed (n, h) AS (SELECT n, (n * 2654435761 >> 7) & 0x3FFFFFF FROM numbers) "
                f"SELECT {_row(first)} FROM hashed"
            )
            on_rows(end)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def last_hour(path: str) -> datetime:
    """Return the time an hour before the event with the highest id."""
    with closing(sqlite3.connect(path)) as db:
        newest = db.execute("SELECT ts FROM events ORDER BY id DESC LIMIT 1").fetchone()[0]
    return datetime.fromtimestamp(newest // 1_000_000 - 3_600, UTC)
