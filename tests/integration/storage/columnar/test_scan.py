"""Scanner reads rows of SQLite as Arrow batches."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from htmlgraph_nb.errors import StoreDamaged
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.query import HistoryQuery
from tests.helpers.sealed_history import rows_of_batches, sql_rows
from tests.integration.history.test_load import START

ODD_NAME = 'agent\'s "?" ä\u2028'


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
def test_scanner_joins_partial_fetches(
    example_path: str, monkeypatch: pytest.MonkeyPatch, query: HistoryQuery
) -> None:
    """A batch of several fetches equals SQL, also if one of them has only nulls in a column."""
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.scan._FETCH_ROWS", 3)
    with closing(sqlite3.connect(example_path)) as db, db:
        db.execute("DELETE FROM events WHERE id BETWEEN 20 AND 30")
        db.execute("UPDATE events SET extra = NULL, event_id = NULL, cost_usd = NULL WHERE id < 15")
        db.execute("UPDATE names SET name = ? WHERE name = 'agent-1'", (ODD_NAME,))
    batches = list(read_batches(example_path, query, batch_rows=20))
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(example_path, query)
    assert len(batches[0]) > 3


def test_scanner_reports_value_of_wrong_type(example_path: str) -> None:
    """A string in a numeric column, written by another program, names the column."""
    with closing(sqlite3.connect(example_path)) as db, db:
        db.execute("UPDATE events SET input_tokens = 'many' WHERE id = 7")
    with pytest.raises(StoreDamaged, match="input_tokens: expected int64 in events 1 to 60"):
        list(read_batches(example_path, HistoryQuery()))
    assert len(next(read_batches(example_path, HistoryQuery(columns=("seq",))))) == 60
