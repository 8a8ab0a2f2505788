"""Arrow batches of history against the rows of SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.storage.columnar.arrow_schema import HISTORY_SCHEMA
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from tests.helpers.sealed_history import fill, rows_of_batches, sql_rows


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
def test_read_batches_equals_sql(example_path: str, query: HistoryQuery, batch_rows: int) -> None:
    """Rows and columns are those of SQL, in batches of at most the given size."""
    batches = list(read_batches(example_path, query, batch_rows=batch_rows))
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(example_path, query)


def test_read_batches_can_be_closed_early(example_path: str) -> None:
    """Closing the iterator closes the file."""
    batches = read_batches(example_path, HistoryQuery(), batch_rows=8)
    assert len(next(batches)) == 8
    batches.close()  # type: ignore[attr-defined]
    assert next(batches, None) is None


def test_read_batches_keeps_to_the_range_of_the_query(tmp_path: Path) -> None:
    """Rows that are stored while others are read come after it."""
    path = str(tmp_path / "h.db")
    fill(path, 20)
    query = HistoryQuery(columns=("seq",), seq_range=(3, 20))
    batches = read_batches(path, query, batch_rows=5)
    found = [next(batches)]
    fill(path, 20, 20)
    found += batches
    assert [row[0] for row in rows_of_batches(found, ("seq",))] == list(range(3, 21))


def test_read_batches_has_the_history_schema(example_path: str) -> None:
    """All columns have the documented types."""
    (batch,) = read_batches(example_path, HistoryQuery())
    assert batch.schema == HISTORY_SCHEMA
    assert tuple(batch.schema.names) == HISTORY_COLUMNS
    batch.validate(full=True)


def test_read_batches_reports_missing_file(tmp_path: Path) -> None:
    """The error says which command creates the database."""
    with pytest.raises(StoreUnavailable, match="no database at"):
        list(read_batches(str(tmp_path / "none.db"), HistoryQuery()))
