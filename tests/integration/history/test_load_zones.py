"""Times of loaded frames: the zone of ``tz``, else that of the machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.paths import PAYLOADS

AT = datetime(2026, 1, 14, 23, 30, tzinfo=UTC)
QUOTA = {
    "account": "codex",
    "windows": [
        {"window": "5h", "minutes": 300, "used_percent": 40, "resets_at": "2026-01-15T02:00:00Z"}
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A database file with one agent and one report of a usage limit."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        manager.ingest(
            [
                Event(agent_id="a", event_type="prompt", timestamp=AT),
                Event(agent_id="a", event_type="quota", timestamp=AT, extra=QUOTA),
            ]
        )
    return path


LOADERS: dict[str, Callable[..., pd.DataFrame]] = {
    "load_history": hg.load_history,
    "iter_history": lambda file, **more: next(hg.iter_history(file, **more)),
    "load_presence": hg.load_presence,
    "load_quotas": hg.load_quotas,
    "load_transcripts": lambda _, **more: hg.load_transcripts(PAYLOADS / "sessions/codex", **more),
    "sample_history": lambda _, **more: hg.sample_history(**more),
    "presence_at": lambda file, **more: hg.presence_at(hg.load_history(file), AT, **more),
}


def zones(frame: pd.DataFrame) -> set[str]:
    """Return the time zones of all columns of times."""
    times = frame.select_dtypes("datetimetz")
    return {str(times[name].dtype) for name in times}


@pytest.mark.parametrize("name", LOADERS)
def test_load_functions_return_local_times(
    name: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zone of the machine, exactly UTC if that is UTC, or the zone asked for."""
    load: Any = LOADERS[name]
    frame = load(file)
    assert len(frame) > 0
    assert zones(frame) == {"datetime64[us, UTC]"}
    monkeypatch.setenv("TZ", "America/St_Johns")
    local = load(file)
    assert zones(local) == {"datetime64[us, America/St_Johns]"}
    asked = load(file, tz="Asia/Kathmandu")
    assert zones(asked) == {"datetime64[us, Asia/Kathmandu]"}
    for column in local.select_dtypes("datetimetz"):
        assert (local[column].dropna() == asked[column].dropna()).all()
    with pytest.raises(InvalidEvent, match=r"^tz: expected a time zone such as"):
        load(file, tz="Mars/Base")


def test_load_history_cuts_local_days(file: str) -> None:
    """The prompt before midnight UTC belongs to the next day in Paris."""
    frame = hg.load_history(file, tz="Europe/Paris")
    assert frame["timestamp"][0] == pd.Timestamp(AT)
    assert hg.concurrency(frame, "D")["timestamp"].astype(str).tolist() == [
        "2026-01-15 00:00:00+01:00"
    ]
