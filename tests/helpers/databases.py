"""Database files of every schema version, as SQL dumps in ``tests/payloads/databases``."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "payloads" / "databases"
VERSIONS = tuple(range(1, 1 + len(list(FOLDER.glob("version-*.sql")))))
"""Each was written by the program of its time: three agents, tools, a question, timers."""


def restore(version: int, path: str) -> None:
    """Write the database file of a schema version to ``path``."""
    script = (FOLDER / f"version-{version}.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
