"""Databases with sealed segments, and comparison of Arrow batches with SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.storage.columnar.arrow_schema import select_schema
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.columnar.segment_index import list_segments, segment_folder
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from tests.integration.history.test_load import START

SEGMENT_ROWS = 20


def event(number: int, jitter: int = 0) -> Event:
    """Return an event; timestamps follow the numbers roughly."""
    return Event(
        agent_id=f"agent-{number % 3}",
        event_type=("prompt", "tool_execute")[number % 2],
        timestamp=START + timedelta(seconds=number + jitter),
        tool_name=("Bash", "Edit", None)[number % 3],
        session_id=f"s-{number // 30}",
        event_id=f"e-{number}",
        input_tokens=number if number % 4 else None,
        cost_usd=number / 8 if number % 5 else None,
        status=(None, "ok", "error")[number % 3],
        extra={"n": number} if number % 7 == 0 else None,
    )


def fill(path: str, n_rows: int, first: int = 0) -> None:
    """Append events."""
    with PresenceManager(path) as manager:
        manager.ingest([event(number) for number in range(first, first + n_rows)])


def execute(path: str, *statements: str) -> None:
    """Run statements as another program does."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def sealed_files(path: str) -> list[Path]:
    """Return the files in the folder of segments, sorted."""
    folder = Path(segment_folder(path))
    return sorted(folder.iterdir()) if folder.exists() else []


def n_segments(path: str) -> int:
    """Return the number of finished segments in the index."""
    with closing(open_reader(path)) as db:
        return len(list_segments(db))


def sql_rows(path: str, query: HistoryQuery) -> list[tuple[Any, ...]]:
    """Return the rows of the same query in SQL, only the selected columns."""
    indices = [query.row_columns.index(name) for name in query.columns]
    with closing(open_reader(path)) as db:
        rows = db.execute(*query.to_sql()).fetchall()
    return [tuple(row[index] for index in indices) for row in rows]


def rows_of_batches(batches: list[pa.RecordBatch], columns: tuple[str, ...]) -> list[Any]:
    """Return the rows of batches, with timestamps in microseconds."""
    rows = []
    for batch in batches:
        assert batch.schema == select_schema(columns)
        for row in batch.to_pylist():
            if "timestamp" in row:
                row["timestamp"] = to_micros(row["timestamp"])
            rows.append(tuple(row.values()))
    return rows


def check_history(path: str, query: HistoryQuery | None = None, batch_rows: int = 7) -> None:
    """Assert that read_batches and SQL return the same rows."""
    query = query or HistoryQuery()
    batches = list(read_batches(path, query, batch_rows=batch_rows))
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)


def flip_byte(file: Path) -> None:
    """Damage one byte in the middle of a file."""
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 0xFF
    file.write_bytes(body)
