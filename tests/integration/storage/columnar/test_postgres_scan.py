"""History frames from PostgreSQL, compared with those from SQLite."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar import postgres_scan
from tests.helpers.postgres import PASSWORD, PostgresServer

START = datetime(2025, 1, 14, 14, 50, 30, tzinfo=UTC)


def events(number: int) -> list[Event]:
    """Return events with values of each type, many of them missing."""
    return [
        Event(
            agent_id=f"claude-{n % 5}",
            event_type=("prompt", "completion", "tool_execute", "tool_error")[n % 4],
            timestamp=START + timedelta(seconds=n, microseconds=n),
            session_id=f"s{n % 3}",
            tool_name=None if n % 4 < 2 else f"tool-{n % 2}",
            tool_use_id=None if n % 4 < 2 else f"t{n}",
            model="claude-sonnet-4" if n % 4 == 1 else None,
            input_tokens=n if n % 4 == 1 else None,
            cost_usd=n / 3 if n % 8 == 1 else None,
            project="acme" if n % 2 else None,
            cwd="/home/ann/acme" if n % 2 else None,
            user="änn",
            status="error" if n % 4 == 3 else None,
            parent_agent_id="claude-0" if n % 5 == 4 else None,
            extra={"n": n} if n % 7 == 0 else None,
            event_id=f"e{n}",
        )
        for n in range(number)
    ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> tuple[str, str]:
    """A file and an address with the same events."""
    locations = str(tmp_path_factory.mktemp("pair") / "h.db"), postgres.new_url()
    for location in locations:
        with PresenceManager(location, clock=lambda: START + timedelta(hours=1)) as manager:
            manager.ingest(events(3_000))
    return locations


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"agents": ["claude-1", "claude-2"], "event_types": "tool_execute"},
        {"since": START + timedelta(seconds=100), "until": START + timedelta(seconds=200)},
        {"columns": ["agent_id", "timestamp", "extra", "agent_status", "root_agent_id"]},
        {"limit": 17},
        {"agents": "nobody"},
        {"projects": "ann/acme"},
    ],
)
def test_load_history_gives_equal_frames(pair: tuple[str, str], arguments: dict[str, Any]) -> None:
    """Rows, order, dtypes and categories."""
    one, two = (hg.load_history(location, **arguments) for location in pair)
    pd.testing.assert_frame_equal(one, two)
    for name in one.columns:
        if isinstance(one[name].dtype, pd.CategoricalDtype):
            assert list(one[name].cat.categories) == list(two[name].cat.categories)


def test_load_history_in_batches(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is a query of its own that continues after the last seq."""
    monkeypatch.setattr("htmlgraph_nb.history.tables.READ_ROWS", 700)
    monkeypatch.setattr("htmlgraph_nb.history.load.READ_ROWS", 700)
    one, two = (hg.load_history(location) for location in pair)
    pd.testing.assert_frame_equal(one, two)


def test_load_presence_gives_equal_frames(pair: tuple[str, str]) -> None:
    """The states of agents, too."""
    one, two = (hg.load_presence(location) for location in pair)
    pd.testing.assert_frame_equal(one, two)


def test_load_history_shows_no_password(
    pair: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in errors nor in the log."""
    caplog.set_level(logging.DEBUG)
    wrong = pair[1].replace("schema=", "schema=missing_")
    with pytest.raises(hg.HtmlgraphError) as caught:
        hg.load_history(wrong)
    unreachable = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/db"
    with pytest.raises(StoreUnavailable) as refused:
        hg.load_history(unreachable)
    assert PASSWORD not in f"{caught.value}{refused.value}{caplog.text}"


def test_make_scanner_tells_files_from_addresses() -> None:
    """A file is read by SQLite."""
    files: Any = None
    scanner = postgres_scan.make_scanner(files, str(Path("h.db")), ["seq"])
    assert type(scanner) is postgres_scan.Scanner
