"""Sources of load_history: several at once, files of other programs, and what it cannot read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from htmlgraph_nb import (
    PresenceManager,
    export_history,
    iter_history,
    load_history,
    load_presence,
    load_transcripts,
)
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import (
    ConfigError,
    InvalidEvent,
    ServerRefused,
    StoreDamaged,
    StoreUnavailable,
)
from htmlgraph_nb.history.load import HISTORY_DTYPES
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve
from tests.integration.history.test_load import START, calm, dtypes, example_events


def fill(path: Path, host: str, first: int, last: int) -> None:
    """Store an event per minute; every third has no id, so that it is one of this host only."""
    events = [
        Event(
            agent_id=f"{host}-{n % 2}",
            event_type="prompt",
            timestamp=START + timedelta(minutes=n),
            event_id=f"e-{n}" if n % 3 else None,
            host=host,
        )
        for n in range(first, last)
    ]
    with PresenceManager(str(path)) as manager:
        manager.ingest(events)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two databases that share the events 10 to 19, and no others."""
    fill(tmp_path / "a.db", "a", 0, 20)
    fill(tmp_path / "b.db", "b", 10, 30)
    return tmp_path


def minutes(frame: pd.DataFrame) -> list[int]:
    """Return the number of minutes since START of each row."""
    return [int((at - START).total_seconds() // 60) for at in frame["timestamp"]]


def test_load_history_of_several_sources_has_each_event_once(folder: Path) -> None:
    """In order of time, from the first source that has it; rows without an id are all kept."""
    a, b = str(folder / "a.db"), str(folder / "b.db")
    frame = load_history([a, b])
    shared = [n for n in range(10, 20) if not n % 3]
    assert minutes(frame) == sorted([*range(30), *shared])
    assert [*frame.columns] == [*HISTORY_DTYPES, "source_name"]
    assert dtypes(frame) == {**HISTORY_DTYPES, "source_name": "category"} | {
        "timestamp": str(frame["timestamp"].dtype)
    }
    assert frame["source_name"].astype(str).value_counts().to_dict() == {a: 20, b: 13}
    assert (
        frame["source_name"].astype(str)
        == folder.as_posix() + "/" + frame["host"].astype(str) + ".db"
    ).all()
    assert frame.attrs["source"] == [a, b]
    turned = load_history([b, a], event_types="prompt")
    assert turned["source_name"].astype(str).value_counts().to_dict() == {b: 20, a: 13}


def test_load_history_of_copies_has_each_row_once(folder: Path) -> None:
    """A file, its export and its copy by name: rows without an id are the same rows."""
    export_history(folder / "a.parquet", folder / "a.db")
    export_history(folder / "out", folder / "a.db")
    sources = {"db": folder / "a.db", "file": folder / "a.parquet", "folder": folder / "out"}
    frame = load_history(sources)
    assert frame["source_name"].unique().tolist() == ["db"]
    pd.testing.assert_frame_equal(
        frame.drop(columns="source_name"), load_history(folder / "a.db"), check_names=False
    )


def test_load_history_of_a_pattern(folder: Path) -> None:
    """All files that match, sorted; the column is there also for one file."""
    frame = load_history(folder / "?.db", columns=["seq", "agent_id"], limit=14)
    assert [*frame.columns] == ["seq", "agent_id", "source_name"]
    assert frame["seq"].tolist() == [*range(1, 14), 3]
    assert "source_name" in load_history(f"{folder}/a*.db")
    assert "source_name" not in load_history(f"{folder}/a.db")
    (folder / "[x].db").write_bytes((folder / "a.db").read_bytes())
    assert len(load_history(folder / "[x].db")) == 20


@calm
def test_load_history_of_server_and_file(folder: Path, server: Server) -> None:
    """URLs and paths mix, and presences of both come together."""
    fill(server.db, "c", 40, 45)
    frame = load_history([server.url, folder / "a.db"], since=START + timedelta(minutes=18))
    assert minutes(frame) == [18, 19, 40, 41, 42, 43, 44]
    assert frame["source_name"].astype(str).tolist()[-1] == server.url
    agents = load_presence({"mine": folder / "a.db", "other": folder / "b.db"})
    pairs = agents[["agent_id", "source_name"]].astype(str).values.tolist()
    assert pairs == [["a-0", "mine"], ["a-1", "mine"], ["b-0", "other"], ["b-1", "other"]]


@pytest.mark.parametrize("chunk_rows", [1, 7, 100])
def test_iter_history_of_several_sources(folder: Path, chunk_rows: int) -> None:
    """One source after the other, the same rows as load_history."""
    paths = [folder / "a.db", folder / "b.db"]
    chunks = list(iter_history(paths, chunk_rows=chunk_rows))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert {str(chunk["source_name"].dtype) for chunk in chunks} == {"category"}
    rows = [
        (str(row.source_name), row.seq) for chunk in chunks for row in chunk.itertuples(index=False)
    ]
    whole = load_history(paths)
    assert sorted(rows) == sorted(zip(whole["source_name"].astype(str), whole["seq"], strict=True))
    assert rows == sorted(rows)
    assert sum(map(len, iter_history(paths, chunk_rows=chunk_rows, limit=25))) == 25


def test_load_history_to_arrow_and_polars(folder: Path) -> None:
    """The same rows and names as in pandas; times have the zone."""
    expected = load_history(folder / "a.db", tz="Asia/Tokyo")
    events = load_history(folder / "a.db", to="arrow", tz="Asia/Tokyo")
    assert events.schema.field("timestamp").type == pa.timestamp("us", "Asia/Tokyo")
    frame = load_history(folder / "a.db", to="polars", tz="Asia/Tokyo")
    assert frame.schema["timestamp"] == pl.Datetime("us", "Asia/Tokyo")
    for names in (events.column_names, frame.columns):
        assert names == [*expected.columns]
    for rows in (events.to_pylist(), frame.to_dicts()):
        assert [row["event_id"] for row in rows] == [
            None if pd.isna(value) else value for value in expected["event_id"]
        ]
        assert [row["timestamp"] for row in rows] == expected["timestamp"].tolist()
    both = load_history(str(folder / "*.db"), to="polars", columns="agent_id", limit=3)
    assert (both.columns, both.height) == (["agent_id", "source_name"], 3)
    rows = duckdb.sql("SELECT host, count(*) FROM events GROUP BY host")
    assert rows.fetchall() == [("a", 20)]
    with pytest.raises(InvalidEvent, match="to: expected pandas, arrow, polars, got 'numpy'"):
        load_history(folder / "a.db", to="numpy")  # type: ignore[call-overload]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A database with all kinds of values."""
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        manager.ingest(example_events())
    return tmp_path / "h.db"


@pytest.mark.parametrize("name", ["h.csv", "h.csv.gz"])
def test_load_history_reads_its_csv(example: Path, tmp_path: Path, name: str) -> None:
    """CSV that export_history wrote loads back equal, with filters too."""
    export_history(tmp_path / name, example)
    pd.testing.assert_frame_equal(load_history(tmp_path / name), load_history(example))
    some: dict[str, Any] = {"tools": "Bash", "since": START + timedelta(minutes=5), "limit": 3}
    pd.testing.assert_frame_equal(
        load_history(tmp_path / name, **some), load_history(example, **some)
    )


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.feather"])
def test_load_history_reads_files_of_pandas(example: Path, tmp_path: Path, name: str) -> None:
    """Files that pandas wrote load back equal; of CSV the index must be left out."""
    frame = load_history(example)
    if name.endswith("csv"):
        frame.to_csv(tmp_path / name, index=False)
    elif name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_feather(tmp_path / name)
    pd.testing.assert_frame_equal(load_history(tmp_path / name), frame)


def test_load_history_reads_files_with_some_columns(example: Path, tmp_path: Path) -> None:
    """``seq`` is not needed: rows are sorted by time, or stay as they are."""
    frame = load_history(example, columns=["agent_id", "timestamp", "tool_name"])
    frame.iloc[::-1].to_parquet(tmp_path / "some.parquet")
    names = ["agent_id", "timestamp"]
    loaded = load_history(tmp_path / "some.parquet", columns=names, tools="Bash")
    expected = load_history(example, columns=names, tools="Bash")
    pd.testing.assert_frame_equal(loaded, expected)
    frame[["agent_id"]].to_parquet(tmp_path / "one.parquet")
    loaded = load_history(tmp_path / "one.parquet", columns="agent_id", limit=5)
    pd.testing.assert_frame_equal(loaded, load_history(example, columns="agent_id", limit=5))
    assert load_history(tmp_path / "some.parquet", columns=names, branches="main").empty
    hint = r"missing seq, .*; select those that it has with columns=\['agent_id', 'timestamp',"
    with pytest.raises(StoreDamaged, match=hint):
        load_history(tmp_path / "some.parquet")


def test_load_history_says_what_to_pass_instead(folder: Path) -> None:
    """Each common mistake has a message with what to type."""
    with pytest.raises(
        StoreUnavailable, match=r"did you mean the server http://127\.0\.0\.1:80/\?"
    ):
        load_history("127.0.0.1:80/")
    with pytest.raises(StoreUnavailable, match="no file matches"):
        load_history([folder / "a.db", folder / "*.sqlite"])
    with pytest.raises(ConfigError, match=r'load_history\("http://host:port", token="…"\)'):
        load_history("http://127.0.0.1:80/?token=secret")
    frame = load_history(folder / "a.db")
    with pytest.raises(InvalidEvent, match="got a DataFrame; pass it to the analysis functions"):
        load_history(frame)  # type: ignore[call-overload]
    with (
        closing(sqlite3.connect(folder / "a.db")) as db,
        pytest.raises(InvalidEvent, match="got a connection; pass the path of its file"),
    ):
        load_history(db)  # type: ignore[call-overload]
    for nothing in ([], {}, 7, [7], [[]]):
        with pytest.raises(InvalidEvent, match="source: expected"):
            load_history(nothing)  # type: ignore[call-overload]
    (folder / "h.jsonl").write_text('{"type": "user"}\n')
    with pytest.raises(StoreDamaged, match="for a session file of a coding agent use load_transcr"):
        load_history(folder / "h.jsonl")


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        (load_history, "agent", "no argument 'agent'; did you mean agents=?"),
        (load_history, "tool_name", "did you mean tools=?"),
        (load_history, "colums", "did you mean columns=?"),
        (iter_history, "branch", "did you mean branches=?"),
        (load_presence, "xyz", "expected some of source, token, tz"),
        (load_transcripts, "tool", "did you mean tools=?"),
        (export_history, "quer", "did you mean query=?"),
    ],
)
def test_load_functions_name_the_argument_that_was_meant(
    function: Any, argument: str, expected: str
) -> None:
    """An unknown argument is a TypeError that suggests one."""
    with pytest.raises(TypeError, match=expected.replace("?", r"\?")):
        function("x", **{argument: "a"})


def test_load_history_says_how_to_pass_the_token(serve: Serve) -> None:
    """A missing token and a wrong one have different messages."""
    server = serve("--token", "s3cret-of-the-server")
    with pytest.raises(ServerRefused, match=r'needs its token: pass token="…", or set HTMLGRAPH'):
        load_history(server.url)
    with pytest.raises(ServerRefused, match="refused the token: it is not the one with which"):
        load_history(server.url, token="another")
    assert load_history(server.url, token="s3cret-of-the-server").empty
