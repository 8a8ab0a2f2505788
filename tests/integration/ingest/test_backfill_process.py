"""The import of existing sessions, in this process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.history.load import load_history
from htmlgraph_nb.ingest.backfill_process import BackfillOptions, run_backfill
from tests.helpers.session_home import SessionHome


def test_run_backfill_imports_recent_sessions_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions of the last 24 hours are stored before the process lowers its priority."""
    home = SessionHome(tmp_path / "home")
    for name, value in home.environ.items():
        monkeypatch.setenv(name, value)
    recent = [home.add("claude", timedelta(hours=hours)).stem for hours in (1, 9)]
    older = home.add("claude", timedelta(hours=30)).stem
    db = str(tmp_path / "test.db")
    stored: list[set[str]] = []

    def before_older() -> None:
        stored.append(set(load_history(db)["session_id"].dropna()))

    report = run_backfill(BackfillOptions(db), lambda _: None, before_older)
    assert stored == [set(recent)]
    assert set(load_history(db)["session_id"].dropna()) == {*recent, older}
    assert (report.state, report.files, report.files_done) == ("done", 3, 3)
    assert report.bytes_done == report.bytes
