"""Rows that several processes read, compared with SQL."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import load_history
from htmlgraph_nb.errors import StoreDamaged
from htmlgraph_nb.storage.columnar import parallel_scan
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import list_segments
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from tests.helpers.sealed_history import check_history, execute, fill, sql_rows
from tests.integration.history.test_load import START

ODD_NAME = 'agent\'s "?" ä\u2028'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An unsealed database with enough rows for processes, in ranges of 64."""
    for module in ("reader", "sealing"):
        monkeypatch.setattr(f"htmlgraph_nb.storage.columnar.{module}.PARALLEL_ROWS", 100)
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.reader.BATCH_ROWS", 64)
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.reader._FEW_ROWS", 7)
    name = str(tmp_path / "h é?#%.db")
    fill(name, 500)
    execute(
        name,
        "DELETE FROM events WHERE id BETWEEN 100 AND 250",
        # The driver cannot infer types from the first range, which has only nulls.
        "UPDATE events SET extra = NULL, event_id = NULL, cost_usd = NULL WHERE id < 70",
        f"""UPDATE names SET name = '{ODD_NAME.replace("'", "''")}' WHERE name = 'agent-1'""",
    )
    return name


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were started."""
    started: list[Any] = []
    real = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(parallel_scan, "_n_cores", lambda: 2)
    return started


@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(),
        HistoryQuery(newest_first=True),
        HistoryQuery(agents=[ODD_NAME], tools=["Bash", "Edit", "'"], columns=("extra", "agent_id")),
        HistoryQuery(newest_first=True, after_seq=400, limit=150, columns=("seq", "status")),
        HistoryQuery(since=START, limit=120, columns=("timestamp",)),
        HistoryQuery(seq_range=(3, 330), columns=("cost_usd", "event_id")),
    ],
)
def test_scan_ranges_equals_sql(
    path: str,
    processes: list[subprocess.Popen[bytes]],
    caplog: pytest.LogCaptureFixture,
    query: HistoryQuery,
) -> None:
    """Rows, order and types are those of SQL, and the processes end."""
    check_history(path, query, batch_rows=64)
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "query",
    [HistoryQuery(limit=99), HistoryQuery(sessions=["s-1"]), HistoryQuery(after_seq=450)],
)
def test_scan_ranges_is_not_used_for_few_rows(
    path: str, processes: list[subprocess.Popen[bytes]], query: HistoryQuery
) -> None:
    """The limit, filters and ``after_seq`` count."""
    assert len(sql_rows(path, query)) > 10
    check_history(path, query, batch_rows=65_536)
    assert processes == []


def test_scan_ranges_kills_processes_when_closed(
    path: str, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Closing the iterator of batches early is enough."""
    batches = read_batches(path, HistoryQuery(), batch_rows=64)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [process.returncode is not None for process in processes] == [True, True]


def test_scan_ranges_logs_process_that_cannot_start(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller reads the rows, and the log has the last line of standard error."""
    monkeypatch.setattr(parallel_scan, "__name__", "htmlgraph_nb.no_such_module")
    check_history(path)
    assert "reading in one process: " in caplog.text
    assert "No module named htmlgraph_nb.no_such_module" in caplog.text


def test_scan_ranges_yields_none_after_failure(
    path: str, processes: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """Rows before the failure are kept, so that none is lost or repeated."""
    execute(path, "UPDATE events SET input_tokens = 'many' WHERE id = 350")
    ranges = [(1, 99), (251, 300), (301, 400), (401, 500)]
    batches = list(parallel_scan.scan_ranges(path, HistoryQuery(), ranges))
    assert [None if batch is None else len(batch) for batch in batches] == [99, 50, None, None]
    assert "reading in one process: " in caplog.text


def test_scan_ranges_leaves_wrong_types_to_caller(path: str) -> None:
    """The error names the column and the rows."""
    execute(path, "UPDATE events SET input_tokens = 'many' WHERE id = 300")
    with pytest.raises(StoreDamaged, match="input_tokens: expected int64 in events 257 to 320"):
        list(read_batches(path, HistoryQuery(), batch_rows=64))


def test_seal_writes_same_segments_with_processes(
    path: str,
    processes: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The segments have the same ranges and the same rows as without processes."""
    seal(path, segment_rows=30)
    assert len(processes) == 2
    assert caplog.text == ""
    check_history(path)
    with closing(open_reader(path)) as db:
        segments = list_segments(db)
    history = load_history(path)
    execute(path, "DELETE FROM segments")
    monkeypatch.setattr("htmlgraph_nb.storage.columnar.sealing.PARALLEL_ROWS", 10**9)
    seal(path, segment_rows=30)
    with closing(open_reader(path)) as db:
        ranges = [(segment.first_id, segment.last_id) for segment in list_segments(db)]
    assert ranges == [(segment.first_id, segment.last_id) for segment in segments]
    pd.testing.assert_frame_equal(load_history(path), history)
    assert len(processes) == 2
