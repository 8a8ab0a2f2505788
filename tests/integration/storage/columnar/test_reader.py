"""Arrow batches of history against the rows of SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.errors import StoreDamaged, StoreUnavailable
from htmlgraph_nb.storage.columnar.arrow_schema import HISTORY_SCHEMA, select_schema
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from tests.integration.history.test_load import START, example_events

ODD_NAME = 'agent\'s "?" ä\u2028'


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database with the example events."""
    name = str(tmp_path / "h.db")
    with PresenceManager(name) as manager:
        manager.ingest(example_events())
    return name


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


@pytest.mark.parametrize("batch_rows", [1, 7, 60, 65_536])
@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(),
        HistoryQuery(newest_first=True),
        HistoryQuery(agents=["agent-1", "unknown"], limit=11),
        HistoryQuery(columns=("tool_name", "seq", "extra"), after_seq=20),
        HistoryQuery(columns=("timestamp",), tools=["Bash"], newest_first=True, after_seq=30),
        HistoryQuery(sessions=[]),
        HistoryQuery(limit=0),
    ],
)
def test_read_batches_equals_sql(path: str, query: HistoryQuery, batch_rows: int) -> None:
    """Rows and columns are those of SQL, in batches of at most the given size."""
    batches = list(read_batches(path, query, batch_rows=batch_rows))
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)


@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(),
        HistoryQuery(newest_first=True),
        HistoryQuery(agents=[ODD_NAME], tools=["Bash", "Edit", "'"], columns=("extra", "agent_id")),
        HistoryQuery(newest_first=True, after_seq=50, limit=35, columns=("seq", "status")),
        HistoryQuery(since=START, limit=40, columns=("timestamp",)),
        HistoryQuery(seq_range=(3, 43), columns=("cost_usd", "event_id")),
    ],
)
def test_read_batches_joins_partial_fetches(
    path: str, monkeypatch: pytest.MonkeyPatch, query: HistoryQuery
) -> None:
    """A batch of several fetches equals SQL, also if one of them has only nulls in a column."""
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.scan._FETCH_ROWS", 3)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM events WHERE id BETWEEN 20 AND 30")
        db.execute("UPDATE events SET extra = NULL, event_id = NULL, cost_usd = NULL WHERE id < 15")
        db.execute("UPDATE names SET name = ? WHERE name = 'agent-1'", (ODD_NAME,))
    batches = list(read_batches(path, query, batch_rows=20))
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)
    assert len(batches[0]) > 3


def test_read_batches_can_be_closed_early(path: str) -> None:
    """Closing the iterator closes the file."""
    batches = read_batches(path, HistoryQuery(), batch_rows=8)
    assert len(next(batches)) == 8
    batches.close()  # type: ignore[attr-defined]
    assert next(batches, None) is None


def test_read_batches_has_the_history_schema(path: str) -> None:
    """All columns have the documented types."""
    (batch,) = read_batches(path, HistoryQuery())
    assert batch.schema == HISTORY_SCHEMA
    assert tuple(batch.schema.names) == HISTORY_COLUMNS
    batch.validate(full=True)


def test_read_batches_reports_value_of_wrong_type(path: str) -> None:
    """A string in a numeric column, written by another program, names the column."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET input_tokens = 'many' WHERE id = 7")
    with pytest.raises(StoreDamaged, match="input_tokens: expected int64 in events 1 to 60"):
        list(read_batches(path, HistoryQuery()))
    assert len(next(read_batches(path, HistoryQuery(columns=("seq",))))) == 60


def test_read_batches_reports_missing_file(tmp_path: Path) -> None:
    """The error says which command creates the database."""
    with pytest.raises(StoreUnavailable, match="no database at"):
        list(read_batches(str(tmp_path / "none.db"), HistoryQuery()))
