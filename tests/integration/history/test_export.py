"""Exports contain the same history in every format, also after interruptions."""

from __future__ import annotations

import csv
import gzip
import json
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, Mock, patch

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import PresenceManager, load_history
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import ConfigError, InvalidEvent, StoreDamaged, StoreUnavailable
from htmlgraph_nb.history import export_folder as folder_module
from htmlgraph_nb.history.export import export_history
from htmlgraph_nb.history.iterate import iter_history
from htmlgraph_nb.history.sources import query_source
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import columns_of_version
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve
from tests.integration.history.test_load import START, calm, dtypes


def fill(path: str, n_rows: int, first: int = 0) -> None:
    """Append events over several days, some of them out of order."""
    with PresenceManager(path) as manager:
        manager.ingest(
            [
                Event(
                    agent_id=f"agent-{n % 3}",
                    event_type="tool_execute",
                    timestamp=START + timedelta(hours=n - (30 if n % 17 == 0 else 0)),
                    tool_name=("Bash", "Edit", None)[n % 3],
                    event_id=f"e-{n}",
                    input_tokens=n if n % 4 else None,
                    cost_usd=n / 8 if n % 5 else None,
                    extra={"n": n, "text": 'ä,"\n'} if n % 7 == 0 else None,
                )
                for n in range(first, first + n_rows)
            ]
        )


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database with events of eight days, partly sealed."""
    name = str(tmp_path / "h.db")
    fill(name, 180)
    seal(name, segment_rows=50)
    return name


def parts(folder: Path) -> list[str]:
    """Return the relative paths of the files of an export."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.parquet"))


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.feather", "out"])
def test_export_history_loads_like_database(path: str, tmp_path: Path, name: str) -> None:
    """Rows, dtypes and categories are equal, with and without filters."""
    target = tmp_path / "new" / name
    done = export_history(target, path, step_rows=70)
    assert (done.n_rows, done.last_seq) == (180, 180)
    pd.testing.assert_frame_equal(load_history(target), load_history(path))
    for filters in (
        {"agents": ["agent-1", "unknown"], "columns": ["timestamp", "tool_name"]},
        {"since": START + timedelta(days=3), "until": START + timedelta(days=4)},
        {"tools": "Bash", "limit": 7},
        {"sessions": "none"},
        {"columns": []},
    ):
        expected = load_history(path, **filters)
        exported = load_history(target, **filters)
        pd.testing.assert_frame_equal(exported, expected)
        assert dtypes(exported) == dtypes(expected)


def test_export_history_partitions_folder_by_day(path: str, tmp_path: Path) -> None:
    """Folders are Hive style by the UTC day of the event, and polars reads them."""
    export_history(tmp_path / "out", path, step_rows=100)
    names = parts(tmp_path / "out")
    assert names[0] == "day=2026-01-13/part-000000000000001.parquet"
    frame = pl.read_parquet(f"{tmp_path}/out/**/*.parquet", hive_partitioning=True)
    assert frame["seq"].sort().to_list() == list(range(1, 181))
    days = frame["timestamp"].dt.strftime("%Y-%m-%d")
    assert (days == frame["day"].cast(pl.String)).all()
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")


def test_load_history_reads_seq_only_to_sort(path: str, tmp_path: Path) -> None:
    """Parquet exports declare their order; days of events that came later are not in it."""
    export_history(tmp_path / "a.parquet", path)
    export_history(tmp_path / "out", path, step_rows=70)
    export_history(tmp_path / "newest.parquet", path, query=HistoryQuery(newest_first=True))
    load_history(path).to_parquet(tmp_path / "pandas.parquet")
    query = HistoryQuery(columns=("agent_id",))
    columns = {
        name: query_source(str(tmp_path / name), None, query, 10).columns
        for name in ("a.parquet", "out", "newest.parquet", "pandas.parquet")
    }
    assert columns.pop("a.parquet") == ("agent_id",)
    assert {*columns.values()} == {("agent_id", "seq")}
    expected = load_history(path, columns="agent_id", limit=60)
    for name in ("a.parquet", *columns):
        loaded = load_history(tmp_path / name, columns="agent_id", limit=60)
        pd.testing.assert_frame_equal(loaded, expected)


def test_load_history_of_a_folder_in_order(tmp_path: Path) -> None:
    """Its days need no sorting; a damaged one is an error."""
    path, out = str(tmp_path / "h.db"), tmp_path / "out"
    fill(path, 16, 1)
    export_history(out, path)
    query = HistoryQuery(columns=("timestamp", "tool_name"))
    assert query_source(str(out), None, query, 10).columns == query.columns
    expected = load_history(path, columns=query.columns, limit=13)
    loaded = load_history(out, columns=query.columns, limit=13)
    pd.testing.assert_frame_equal(loaded, expected)
    last = out / parts(out)[1]
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(StoreDamaged, match="cannot read it as Parquet"):
        load_history(out, columns=query.columns)


def test_export_history_writes_files_for_other_programs(path: str, tmp_path: Path) -> None:
    """polars reads Parquet and Arrow, and the csv module reads CSV."""
    seqs = list(range(1, 181))
    export_history(tmp_path / "a.parquet", path)
    assert pl.read_parquet(tmp_path / "a.parquet")["seq"].to_list() == seqs
    export_history(tmp_path / "a.arrow", path)
    assert pl.read_ipc(tmp_path / "a.arrow")["seq"].to_list() == seqs
    export_history(tmp_path / "a.csv", path)
    export_history(tmp_path / "a.csv.gz", path)
    plain = (tmp_path / "a.csv").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == plain
    rows = list(csv.DictReader(plain.decode().splitlines(keepends=True)))
    assert rows[8]["timestamp"] == "2026-01-14T22:50:00.000000Z"
    assert (rows[7]["input_tokens"], rows[8]["input_tokens"]) == ("7", "")
    assert json.loads(rows[7]["extra"]) == {"n": 7, "text": 'ä,"\n'}
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".part")]


def test_export_history_continues_folder(path: str, tmp_path: Path) -> None:
    """Only new rows are written."""
    out = tmp_path / "out"
    assert export_history(out, path).n_rows == 180
    assert export_history(out, path).n_rows == 0
    fill(path, 40, 180)
    again = export_history(out, path)
    assert (again.n_rows, again.last_seq) == (40, 220)
    pd.testing.assert_frame_equal(load_history(out), load_history(path))


@settings(max_examples=15)
@given(break_after=st.lists(st.integers(0, 25), min_size=1, max_size=6), step=st.integers(20, 90))
def test_export_history_after_interruption_has_no_duplicates(
    tmp_path_factory: pytest.TempPathFactory, break_after: list[int], step: int
) -> None:
    """The next export completes an interrupted one."""
    folder = tmp_path_factory.mktemp("export")
    path, out = str(folder / "h.db"), folder / "out"
    fill(path, 180)
    for n_left in break_after:
        outcomes = [DEFAULT] * n_left + [KeyboardInterrupt] * 1_000
        replacing = Mock(wraps=os.replace, side_effect=[*outcomes])
        with patch.object(folder_module.os, "replace", replacing), suppress(KeyboardInterrupt):
            export_history(out, path, step_rows=step)
    export_history(out, path, step_rows=step)
    frame = load_history(out)
    assert frame["seq"].tolist() == list(range(1, 181))
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize("version", [5, 4, 3])
def test_export_history_extends_folder_of_earlier_version(
    path: str, tmp_path: Path, version: int
) -> None:
    """A folder from before some of the columns keeps its columns."""
    out = tmp_path / "out"
    columns = columns_of_version(version)
    export_history(out, path, query=HistoryQuery(columns=columns))
    fill(path, 40, 180)
    assert export_history(out, path).n_rows == 40
    expected = load_history(path, columns=columns)
    pd.testing.assert_frame_equal(load_history(out, columns=columns), expected)
    saved = progress_of(out)["asked"]
    assert saved["seqs"] is None
    assert saved["columns"] == [*columns]
    loaded = load_history(out)
    assert loaded[["speed", "input_hash"]].isna().all(axis=None)
    assert loaded["root_agent_id"].astype("str").equals(loaded["agent_id"].astype("str"))


def progress_of(out: Path) -> dict[str, Any]:
    """Return the progress of an export to a folder."""
    text = pq.read_schema(out / folder_module.PROGRESS_FILE).metadata[b"htmlgraph.export"]
    progress: dict[str, Any] = json.loads(text)
    return progress


def test_export_history_continues_folder_with_progress_as_json(path: str, tmp_path: Path) -> None:
    """Earlier versions kept it in a JSON file, with which polars cannot read the folder.

    They had fewer filters.
    """
    out = tmp_path / "out"
    export_history(out, path)
    progress = progress_of(out)
    for name in ("models", "projects", "hosts", "branches"):
        assert progress["asked"].pop(name) is None
    (out / "_progress.json").write_text(json.dumps(progress))
    (out / folder_module.PROGRESS_FILE).unlink()
    assert export_history(out, path).n_rows == 0
    fill(path, 40, 180)
    assert export_history(out, path).n_rows == 40
    assert not (out / "_progress.json").exists()
    pd.testing.assert_frame_equal(load_history(out), load_history(path))


def test_export_history_folder_is_read_by_other_programs(path: str, tmp_path: Path) -> None:
    """polars, DuckDB and pandas read the folder as it is, with the day as a date."""
    out = tmp_path / "out"
    export_history(out, path, step_rows=70)
    seqs = list(range(1, 181))
    frame = pl.scan_parquet(out).sort("seq").collect()
    assert frame["seq"].to_list() == seqs
    assert frame.schema["day"] == pl.Date
    assert sorted(pd.read_parquet(out)["seq"]) == seqs
    rows = duckdb.sql(f"SELECT seq, day FROM read_parquet('{out}/**/*.parquet') ORDER BY seq")
    assert [row[0] for row in rows.fetchall()] == seqs
    assert rows.types[1] == "DATE"


def test_export_history_refuses_folder_of_another_query(path: str, tmp_path: Path) -> None:
    """A folder accepts only its own query; a later ``since`` has no effect."""
    out = tmp_path / "out"
    since = START + timedelta(hours=50)
    query = HistoryQuery(agents=["agent-1"], columns=("agent_id",), since=since)
    n_rows = export_history(out, path, query=query).n_rows
    assert list(load_history(out, columns=["timestamp", "seq", "agent_id"])["seq"][:1]) > [50]
    with pytest.raises(ConfigError, match="an export of another query"):
        export_history(out, path)
    with pytest.raises(ConfigError, match="an export of another query"):
        export_history(out, path, query=HistoryQuery(agents=["agent-1"], columns=("agent_id",)))
    fill(path, 30, 180)
    later = HistoryQuery(
        agents=["agent-1"], columns=("agent_id",), since=since + timedelta(days=900)
    )
    assert export_history(out, path, query=later).n_rows == 10
    assert len(load_history(out, columns=["agent_id"])) == n_rows + 10
    with pytest.raises(StoreDamaged, match="missing event_type"):
        load_history(out, columns=["event_type"])


def test_export_history_refuses_invalid_targets(path: str, tmp_path: Path) -> None:
    """A folder with other files, a file in the way, an export as the source, a damaged progress
    file.
    """
    other = tmp_path / "other"
    (other / "day=2025-01-01").mkdir(parents=True)
    (other / "day=2025-01-01" / "part-000000000000001.parquet").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="expected a new folder or one with an export"):
        export_history(other, path)
    assert parts(other)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="cannot write"):
        export_history(tmp_path / "file", path)
    with pytest.raises(StoreUnavailable, match="cannot write"):
        export_history(tmp_path / "file" / "a.parquet", path)
    export_history(tmp_path / "a.parquet", path)
    with pytest.raises(ConfigError, match="got an export: "):
        export_history(tmp_path / "b.parquet", tmp_path / "a.parquet")
    out = tmp_path / "out"
    export_history(out, path)
    (out / folder_module.PROGRESS_FILE).write_text("{")
    with pytest.raises(StoreDamaged, match="not readable"):
        export_history(out, path)


def test_load_history_refuses_other_files(tmp_path: Path) -> None:
    """Other Parquet files, and a folder without any."""
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(StoreDamaged, match="missing seq, timestamp"):
        load_history(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreDamaged, match="cannot read it as Parquet"):
        load_history(tmp_path / "b.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreUnavailable, match=r"without \.parquet, \.arrow or \.csv files"):
        load_history(tmp_path / "empty")


def test_load_history_converts_files_of_other_programs(path: str, tmp_path: Path) -> None:
    """polars writes plain strings instead of dictionaries; the frame is the same."""
    export_history(tmp_path / "a.parquet", path)
    frame = pl.read_parquet(tmp_path / "a.parquet")
    plain = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
    plain.with_columns(pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))).write_parquet(
        tmp_path / "b.parquet"
    )
    pd.testing.assert_frame_equal(load_history(tmp_path / "b.parquet"), load_history(path))
    recent = {"since": START + timedelta(days=2), "agents": "agent-2"}
    expected = load_history(path, **recent)
    pd.testing.assert_frame_equal(load_history(tmp_path / "b.parquet", **recent), expected)


def test_export_history_without_rows(tmp_path: Path) -> None:
    """A file has the columns; a folder gets its first row later."""
    path = str(tmp_path / "h.db")
    PresenceManager(path).close()
    export_history(tmp_path / "a.parquet", path)
    pd.testing.assert_frame_equal(load_history(tmp_path / "a.parquet"), load_history(path))
    assert export_history(tmp_path / "out", path).last_seq == 0
    fill(path, 3)
    assert export_history(tmp_path / "out", path).n_rows == 3


@calm
def test_export_history_of_server(server: Server, tmp_path: Path) -> None:
    """The export of a server equals that of its file."""
    fill(str(server.db), 100)
    assert export_history(tmp_path / "out", server.url, step_rows=30).n_rows == 100
    assert export_history(tmp_path / "out", server.url, step_rows=30).n_rows == 0
    fill(str(server.db), 20, 100)
    assert export_history(tmp_path / "out", server.url, step_rows=30).n_rows == 20
    pd.testing.assert_frame_equal(load_history(tmp_path / "out"), load_history(server.db))


@pytest.mark.parametrize("kind", ["h.db", "a.parquet", "out"])
@pytest.mark.parametrize("chunk_rows", [1, 50, 64, 1_000])
def test_iter_history_chunks_equal_load_history(
    path: str, tmp_path: Path, kind: str, chunk_rows: int
) -> None:
    """Chunks have the requested size, for each kind of source, with and without a limit."""
    if kind != "h.db":
        export_history(tmp_path / kind, path)
    limit = 30 if chunk_rows == 1 else 170
    chunks = list(iter_history(tmp_path / kind, chunk_rows=chunk_rows, limit=limit))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert sum(map(len, chunks)) == limit
    assert all(dtypes(chunk) == dtypes(load_history(path)) for chunk in chunks[:3])
    if kind != "out":
        seqs = pd.concat([chunk["seq"] for chunk in chunks], ignore_index=True)
        assert seqs.tolist() == list(range(1, limit + 1))


def test_load_history_of_arrow_file_with_many_batches(tmp_path: Path) -> None:
    """Each batch has other strings."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        for n in range(60):
            manager.ingest([Event(agent_id=f"agent-{n}", event_type="prompt")])
    seal(path, segment_rows=10)
    export_history(tmp_path / "a.arrow", path)
    with pa.ipc.open_file(str(tmp_path / "a.arrow")) as reader:
        assert reader.num_record_batches == 6
    assert load_history(tmp_path / "a.arrow")["agent_id"].nunique() == 60


def test_export_history_takes_the_filters_of_load_history(path: str, tmp_path: Path) -> None:
    """To a file and to a folder; together with a query they are refused."""
    filters: dict[str, Any] = {
        "since": START + timedelta(days=2),
        "agents": "agent-1",
        "tools": ["Edit"],
        "columns": ["seq", "timestamp", "tool_name"],
        "limit": 7,
    }
    for target in (tmp_path / "a.parquet", tmp_path / "a.csv", tmp_path / "out"):
        assert export_history(target, path, **filters).n_rows == 7
        loaded = load_history(target, columns=filters["columns"])
        pd.testing.assert_frame_equal(loaded, load_history(path, **filters))
    with pytest.raises(InvalidEvent, match="query: expected it or the other filters, got both"):
        export_history(tmp_path / "b.csv", path, query=HistoryQuery(), agents="agent-1")
    with pytest.raises(InvalidEvent, match="until: expected an ISO time"):
        export_history(tmp_path / "b.csv", path, until=7)  # type: ignore[arg-type]


def test_export_history_folder_without_rows_loads_as_empty_frame(tmp_path: Path) -> None:
    """The folder has only its progress, from which the columns are known."""
    path = str(tmp_path / "h.db")
    PresenceManager(path).close()
    export_history(tmp_path / "out", path)
    pd.testing.assert_frame_equal(load_history(tmp_path / "out"), load_history(path))
    assert pl.scan_parquet(tmp_path / "out").collect().is_empty()


ODD_NAMES = ["=1+1", "+x", "-3", "@SUM(A1)", "'quoted", "''twice", "plain", "\ttab", "a,b\n=c"]


def test_export_csv_holds_no_formulas(tmp_path: Path, serve: Serve) -> None:
    """A spreadsheet shows odd names as text, from files and from the server; loading undoes it."""
    path = str(tmp_path / "odd.db")
    with PresenceManager(path) as manager:
        manager.ingest(
            [
                Event(agent_id=name, tool_name=name, project=name, title=name, event_id=f"e-{n}")
                for n, name in enumerate(ODD_NAMES)
            ]
        )
    stored = load_history(path)
    assert sorted(stored["agent_id"].astype(str)) == sorted(ODD_NAMES)
    export_history(tmp_path / "a.csv", path)
    server = serve("--db", path)
    by_http = server.request("GET", "/api/history?format=csv").body.decode()
    for text in ((tmp_path / "a.csv").read_bytes().decode(), by_http):
        for row in csv.DictReader(text.splitlines(keepends=True)):
            cells = [row[name] for name in ("agent_id", "tool_name", "project", "title")]
            assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]
    loaded = load_history(tmp_path / "a.csv")
    assert loaded["agent_id"].astype(str).tolist() == stored["agent_id"].astype(str).tolist()
    (tmp_path / "http.csv").write_bytes(by_http.encode())
    loaded = load_history(tmp_path / "http.csv")
    assert loaded["title"].astype(str).tolist() == stored["title"].astype(str).tolist()
    one = load_history(tmp_path / "a.csv", agents="=1+1")
    assert one["event_id"].astype(str).tolist() == ["e-0"]
