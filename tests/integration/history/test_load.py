"""load_history and load_presence return the same typed frames from a file and from its server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb import PresenceManager, load_history, load_presence
from htmlgraph_nb.client.discovery import candidates
from htmlgraph_nb.client.rest import Rest
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent, ServerNotFound, StoreDamaged, StoreUnavailable
from htmlgraph_nb.history.iterate import iter_history
from htmlgraph_nb.history.load import HISTORY_DTYPES, PRESENCE_DTYPES, presence_frame
from tests.helpers.database_files import run_python
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

START = datetime(2026, 1, 14, 14, 50, tzinfo=UTC)
CALM = ("--idle-timeout", "0", "--offline-timeout", "0", "--forget-after", "0")
"""Flags of a server that adds no events of its own to those that are so long past."""
calm = pytest.mark.parametrize("server", [CALM], indirect=True)


def example_events() -> list[Event]:
    """Return events of three agents over an hour, with each field set in some and missing in
    others.
    """
    return [
        Event(
            agent_id=f"agent-{number % 3}",
            event_type="tool_execute" if number % 2 else "completion",
            timestamp=START + timedelta(minutes=number),
            event_id=f"e-{number}" if number % 4 else None,
            session_id=f"s-{number % 2}",
            tool_name=("Bash", "Edit", "Read")[number % 3] if number % 2 else None,
            feature_id="feat-1" if number < 30 else None,
            model="claude-opus-4-5",
            status=("ok", "error")[number % 7 == 0] if number % 2 else None,
            input_tokens=number if number % 5 else None,
            output_tokens=number * 2 if number % 5 else None,
            cost_usd=0.25 if number % 10 == 0 else None,
            duration_ms=number * 10 if number % 2 else None,
            project=f"shop-{number % 2}",
            host="laptop" if number < 20 else "server",
            branch="main" if number % 3 == 0 else None,
            extra={"n": number, "text": "ä<b>\u2028"} if number % 6 == 0 else None,
        )
        for number in range(60)
    ]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A database file with the example events."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        manager.ingest(example_events())
    return path


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    """Return the dtypes of a frame by column."""
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_load_history_has_documented_dtypes(file: str) -> None:
    """Each column has its documented dtype, also without rows."""
    frame = load_history(file)
    assert dtypes(frame) == {name: HISTORY_DTYPES[name] for name in frame.columns}
    assert set(frame.columns) == set(HISTORY_DTYPES)
    none = load_history(file, agents="unknown")
    assert len(none) == 0
    assert dtypes(none) == dtypes(frame)


def test_load_history_returns_sent_values(file: str) -> None:
    """Times, counts, strings and missing values equal those of the events."""
    frame = load_history(file)
    sent = example_events()
    assert frame["seq"].tolist() == list(range(1, 61))
    assert frame["timestamp"].tolist() == [pd.Timestamp(event.timestamp) for event in sent]
    for name in ("agent_id", "session_id", "tool_name", "status", "duration_ms", "input_tokens"):
        got = [None if pd.isna(value) else value for value in frame[name]]
        assert got == [getattr(event, name) for event in sent], name
    totals = [event.total_tokens if event.input_tokens is not None else None for event in sent]
    assert [None if pd.isna(v) else v for v in frame["cost_tokens"]] == totals


@calm
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"agents": "agent-1"}, lambda e: e.agent_id == "agent-1"),
        ({"agents": ["agent-1", "agent-2"]}, lambda e: e.agent_id != "agent-0"),
        ({"tools": ["Bash"]}, lambda e: e.tool_name == "Bash"),
        ({"sessions": "s-0", "event_types": "completion"}, lambda e: e.session_id == "s-0"),
        ({"features": "feat-1"}, lambda e: e.feature_id == "feat-1"),
        ({"models": "claude-opus-4-5"}, lambda e: True),
        (
            {"projects": ["shop-1"], "hosts": "laptop"},
            lambda e: e.project[-1] == "1" and e.host == "laptop",
        ),
        ({"branches": ["main", "other"]}, lambda e: e.agent_id == "agent-0"),
        ({"since": "2026-01-14T15:00:00Z"}, lambda e: e.timestamp >= START + timedelta(minutes=10)),
        (
            {"until": START + timedelta(minutes=10)},
            lambda e: e.timestamp < START + timedelta(0, 600),
        ),
        ({"since": pd.Timestamp(START), "limit": 60}, lambda e: True),
        ({"agents": "'; DROP TABLE events; --"}, lambda e: False),
    ],
)
def test_load_history_filters_select_same_rows_from_file_and_server(
    server: Server, arguments: dict[str, Any], expected: Any
) -> None:
    """Each filter selects exactly its events, from both sources."""
    with PresenceManager(str(server.db)) as manager:
        manager.ingest(example_events())
    from_file = load_history(server.db, **arguments)
    from_server = load_history(server.url, **arguments)
    pd.testing.assert_frame_equal(from_file, from_server)
    seqs = [number + 1 for number, event in enumerate(example_events()) if expected(event)]
    assert from_file["seq"].tolist() == seqs


def test_load_history_columns_and_limit(file: str) -> None:
    """Only the selected columns in their order, and at most ``limit`` rows."""
    frame = load_history(file, columns=["tool_name", "timestamp"], limit=5)
    assert list(frame.columns) == ["tool_name", "timestamp"]
    assert len(frame) == 5


@calm
def test_load_history_reads_all_pages_of_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history longer than a page of JSON is complete, and a limit can span pages."""
    monkeypatch.setattr("htmlgraph_nb.client.rest._PAGE_EVENTS", 7)
    with PresenceManager(str(server.db)) as manager:
        manager.ingest(example_events())
    rest = Rest(lambda: candidates(server.url, None))
    assert [event["seq"] for event in rest.history([])] == list(range(1, 61))
    assert [event["seq"] for event in rest.history([], 20)] == list(range(1, 21))
    assert load_history(server.url, limit=20)["seq"].tolist() == list(range(1, 21))


def test_load_history_accepts_relative_times(tmp_path: Path) -> None:
    """``"2h"``, a Timedelta, today and yesterday are relative to now."""
    path = str(tmp_path / "h.db")
    now = datetime.now(UTC)
    with PresenceManager(path) as manager:
        for hours in (100, 1, 0):
            manager.ingest([Event(agent_id="a", timestamp=now - timedelta(hours=hours))])
    assert len(load_history(path, since="2h")) == 2
    assert len(load_history(path, since="0d2h")) == 2
    assert len(load_history(path, since="1w")) == len(load_history(path, since="7 days"))
    assert len(load_history(path, since=pd.Timedelta("30min"))) == 1
    assert len(load_history(path, since="yesterday")) == 2
    assert len(load_history(path, until="today")) in (1, 2)


@pytest.mark.parametrize("since", ["tomorrow-ish", "2025-99-99", ""])
def test_load_history_refuses_invalid_time(file: str, since: str) -> None:
    """The error shows the value and the expected forms."""
    with pytest.raises(InvalidEvent, match="since: expected an ISO time"):
        load_history(file, since=since)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": -1}, "limit: expected an integer >= 0, got -1"),
        ({"limit": 1.5}, "limit: expected an integer >= 0, got 1.5"),
        ({"limit": True}, "limit: expected an integer >= 0, got true"),
        ({"columns": "tool"}, "unknown column 'tool', expected some of seq"),
    ],
)
def test_load_history_refuses_invalid_arguments(
    file: str, arguments: dict[str, Any], message: str
) -> None:
    """The error shows the value and the expected form."""
    with pytest.raises(InvalidEvent, match=message):
        load_history(file, **arguments)
    with pytest.raises(InvalidEvent, match="chunk_rows: expected an integer >= 1, got 0"):
        next(iter_history(file, chunk_rows=0))


def test_load_history_accepts_any_column_list(file: str) -> None:
    """One name, no names and a duplicate name are accepted."""
    assert list(load_history(file, columns="agent_id").columns) == ["agent_id"]
    assert load_history(file, columns=[]).shape == (60, 0)
    assert load_history(file, columns=["seq", "model", "seq"]).shape == (60, 3)
    assert len(load_history(file, limit=0)) == 0
    assert len(load_history(file, limit=np.int64(3))) == 3


def test_load_history_sets_source_attribute(file: str) -> None:
    """The source is in ``attrs``, also for chunks."""
    assert load_history(file).attrs == {"source": file}
    assert load_history(Path(file), columns="seq").attrs == {"source": file}
    assert next(iter_history(file)).attrs == {"source": file}


def test_load_history_categories_are_sorted_and_used(file: str) -> None:
    """Filters and limits leave no unused categories."""
    frame = load_history(file)
    assert frame["agent_id"].cat.categories.tolist() == ["agent-0", "agent-1", "agent-2"]
    assert not frame["agent_id"].cat.ordered
    part = load_history(file, agents=["agent-2", "agent-0"], limit=2)
    assert part["agent_id"].cat.categories.tolist() == ["agent-0", "agent-2"]
    assert load_history(file, agents="none")["agent_id"].cat.categories.tolist() == []


def test_load_history_progress_bar(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown at once, never, or after the delay."""
    load_history(file)
    load_history(file, progress=False)
    assert capsys.readouterr().err == ""
    load_history(file, progress=True)
    assert "history: 100%" in capsys.readouterr().err
    monkeypatch.setattr("htmlgraph_nb.history.arguments._PROGRESS_DELAY_S", 0.0)
    load_history(file)
    assert "history: " in capsys.readouterr().err
    list(iter_history(file, progress=True, chunk_rows=7))
    assert "60.0/60.0" in capsys.readouterr().err
    load_history(file, progress=False)
    assert capsys.readouterr().err == ""


def test_load_history_does_not_import_tqdm_for_a_hidden_bar(file: str) -> None:
    """A fast load does not pay for a progress bar that is never shown."""
    code = (
        "import sys, htmlgraph_nb as hg; hg.load_history(sys.argv[1]); print('tqdm' in sys.modules)"
    )
    done = run_python(code, file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_load_history_refuses_unknown_column(file: str) -> None:
    """The error lists the existing columns."""
    with pytest.raises(InvalidEvent, match="unknown column 'tool', expected some of seq"):
        load_history(file, columns=["tool"])


@calm
def test_load_presence_is_equal_from_file_and_server(server: Server) -> None:
    """Both sources give the same typed frame."""
    with PresenceManager(str(server.db)) as manager:
        manager.ingest(example_events())
        manager.update_presence("waits", {"event_type": "permission_request", "tool_name": "Bash"})
    frame = load_presence(server.db)
    assert dtypes(frame) == {name: PRESENCE_DTYPES[name] for name in frame.columns}
    assert frame.set_index("agent_id").loc["waits", "attention"]
    wait_until(lambda: len(load_presence(server.url)) == len(frame), "the server saw the file")
    other = load_presence(server.url).sort_values("agent_id", ignore_index=True)
    pd.testing.assert_frame_equal(frame, other)
    assert dtypes(presence_frame([])) == dtypes(frame)


def test_load_history_reports_unusable_sources(tmp_path: Path) -> None:
    """Each kind of unusable source has its own error, and files are not changed."""
    with pytest.raises(StoreUnavailable, match="no database at"):
        load_history(tmp_path / "none.db")
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreDamaged, match="is not a valid database"):
        load_history(garbage)
    assert garbage.read_bytes() == b"not a database at all" * 100
    with pytest.raises(ServerNotFound, match="htmlgraph-nb serve"):
        load_history("http://127.0.0.1:9")


def test_load_history_default_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a source and a server the default file is read."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path))
    monkeypatch.delenv("HTMLGRAPH_URL", raising=False)
    monkeypatch.delenv("HTMLGRAPH_DB", raising=False)
    with PresenceManager() as manager:
        manager.update_presence("a", "tool_execute")
    assert load_history()["agent_id"].tolist() == ["a"]
    assert load_presence()["agent_id"].tolist() == ["a"]
