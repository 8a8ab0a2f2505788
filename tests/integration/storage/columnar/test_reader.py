"""Arrow batches of the history against the rows of SQL."""

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
from tests.integration.history.test_load import example_events


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database with the example events."""
    name = str(tmp_path / "h.db")
    with PresenceManager(name) as manager:
        manager.ingest(example_events())
    return name


def sql_rows(path: str, query: HistoryQuery) -> list[tuple[Any, ...]]:
    """Return the rows that SQL gives, without the seq that was not asked for."""
    places = [query.row_columns.index(name) for name in query.columns]
    with closing(open_reader(path)) as db:
        rows = db.execute(*query.to_sql()).fetchall()
    return [tuple(row[place] for place in places) for row in rows]


def rows_of_batches(batches: list[pa.RecordBatch], columns: tuple[str, ...]) -> list[Any]:
    """Return the rows of batches, times as microseconds."""
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
        HistoryQuery(agents=["agent-1", "nobody"], limit=11),
        HistoryQuery(columns=("tool_name", "seq", "extra"), after_seq=20),
        HistoryQuery(columns=("timestamp",), tools=["Bash"], newest_first=True, after_seq=30),
        HistoryQuery(sessions=[]),
        HistoryQuery(limit=0),
    ],
)
def test_batches_hold_the_rows_of_sql(path: str, query: HistoryQuery, batch_rows: int) -> None:
    """Each column of each row, in order, in batches of at most the wanted size."""
    batches = list(read_batches(path, query, batch_rows=batch_rows))
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)


def test_types_are_those_of_the_schema(path: str) -> None:
    """All columns, with the types that are documented."""
    (batch,) = read_batches(path, HistoryQuery())
    assert batch.schema == HISTORY_SCHEMA
    assert tuple(batch.schema.names) == HISTORY_COLUMNS
    batch.validate(full=True)


def test_a_value_of_another_type_is_named(path: str) -> None:
    """What a foreign program wrote into a column of numbers is no number."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET input_tokens = 'many' WHERE id = 7")
    with pytest.raises(StoreDamaged, match="input_tokens of the events 1 to 60 is not of its type"):
        list(read_batches(path, HistoryQuery()))
    assert len(next(read_batches(path, HistoryQuery(columns=("seq",))))) == 60


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what to type."""
    with pytest.raises(StoreUnavailable, match="no database at"):
        list(read_batches(str(tmp_path / "none.db"), HistoryQuery()))
