"""Rows outside segments read by processes of their own, against the rows of SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_history
from htmlgraph_nb.errors import StoreDamaged
from htmlgraph_nb.storage.columnar import parallel_scan
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.query import HistoryQuery
from tests.integration.storage.columnar.test_reader import rows_of_batches, sql_rows
from tests.integration.storage.columnar.test_segments import START, execute, fill, sealed_files

MANY = 'agent\'s "?" ä\u2028'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose rows are many enough for processes, in parts of 64."""
    for module in ("reader", "sealing"):
        monkeypatch.setattr(f"htmlgraph_nb.storage.columnar.{module}.PARALLEL_ROWS", 100)
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.reader.BATCH_ROWS", 64)
    name = str(tmp_path / "h é?#%.db")
    fill(name, 500)
    execute(
        name,
        "DELETE FROM events WHERE id BETWEEN 100 AND 250",
        # In the first part nothing but nulls, from which no type can be told.
        "UPDATE events SET extra = NULL, event_id = NULL, cost_usd = NULL WHERE id < 70",
        "UPDATE names SET name = 'agent''s \"?\" ä\u2028' WHERE name = 'agent-1'",
    )
    return name


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that were started."""
    found: list[Any] = []
    real = parallel_scan._start
    monkeypatch.setattr(
        parallel_scan, "_start", lambda *args: found.append(real(*args)) or found[-1]
    )
    monkeypatch.setattr(parallel_scan, "_n_cores", lambda: 2)
    return found


@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(),
        HistoryQuery(newest_first=True),
        HistoryQuery(agents=[MANY], tools=["Bash", "Edit", "'"], columns=("extra", "agent_id")),
        HistoryQuery(newest_first=True, after_seq=400, limit=150, columns=("seq", "status")),
        HistoryQuery(since=START, limit=120, columns=("timestamp",)),
        HistoryQuery(seq_range=(3, 330), columns=("cost_usd", "event_id")),
    ],
)
def test_processes_give_the_rows_of_sql(path: str, started: list[Any], query: HistoryQuery) -> None:
    """In order, with the same types; the processes are gone afterwards."""
    batches = list(read_batches(path, query, batch_rows=64))
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


def test_few_rows_are_not_worth_a_process(path: str, started: list[Any]) -> None:
    """Be it by a limit, by names or by a range of seq."""
    for query in (
        HistoryQuery(limit=99),
        HistoryQuery(sessions=["s-1"]),
        HistoryQuery(after_seq=450),
    ):
        assert len(sql_rows(path, query)) > 10
        batches = list(read_batches(path, query))
        assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)
    assert started == []


def test_who_stops_early_ends_the_processes(path: str, started: list[Any]) -> None:
    """Closing the iterator is enough."""
    batches = read_batches(path, HistoryQuery(), batch_rows=64)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [process.returncode is not None for process in started] == [True, True]


def test_without_processes_the_rows_come_all_the_same(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interpreter that cannot start is said, and done without."""
    monkeypatch.setattr(parallel_scan, "_MODULE", "htmlgraph_nb.no_such_module")
    batches = list(read_batches(path, HistoryQuery()))
    assert rows_of_batches(batches, HistoryQuery().columns) == sql_rows(path, HistoryQuery())
    assert "is read by one process: " in caplog.text
    assert "No module named htmlgraph_nb.no_such_module" in caplog.text


def test_a_value_of_another_type_is_named(path: str) -> None:
    """By the reader that takes over from the process that met it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET input_tokens = 'many' WHERE id = 300")
    with pytest.raises(StoreDamaged, match="input_tokens of the events 257 to 320 is not of its"):
        list(read_batches(path, HistoryQuery(), batch_rows=64))


def test_sealing_reads_through_processes(path: str, started: list[Any]) -> None:
    """The segments are those that one process makes."""
    seal(path, segment_rows=30)
    assert len(started) == 2
    names = [file.name for file in sealed_files(path)]
    expected = [row[0] for row in sql_rows(path, HistoryQuery())]
    assert load_history(path)["seq"].tolist() == expected
    execute(path, "DELETE FROM segments")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("htmlgraph_nb.storage.columnar.sealing.PARALLEL_ROWS", 10**9)
        seal(path, segment_rows=30)
    assert [file.name for file in sealed_files(path)] == names
    assert len(started) == 2
