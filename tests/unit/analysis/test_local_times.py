"""local: the times of any frame in local time, for display."""

from __future__ import annotations

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.errors import InvalidEvent

FRAME = pd.DataFrame(
    {
        "start": pd.to_datetime(["2026-01-15T08:00:00.75Z", "2026-07-15T08:00:00.75Z", None]),
        "wall": pd.to_timedelta([125.6, None, 3.0], unit="s"),
        "agent_id": pd.Categorical(["a", "b", "a"]),
        "tokens": pd.array([1, None, 3], "Int64"),
    }
)


def test_local_converts_times_and_rounds_durations() -> None:
    """Each time has the offset of its own date; other columns are the same."""
    shown = hg.local(FRAME, "Europe/Paris")
    assert [str(time) for time in shown["start"][:2]] == [
        "2026-01-15 09:00:00+01:00",
        "2026-07-15 10:00:00+02:00",
    ]
    assert pd.isna(shown["start"][2])
    assert shown["wall"][0] == pd.Timedelta(seconds=126)
    assert shown["wall"].dtype == FRAME["wall"].dtype
    pd.testing.assert_frame_equal(shown[["agent_id", "tokens"]], FRAME[["agent_id", "tokens"]])
    assert str(FRAME["start"].dt.tz) == "UTC", "the argument is unchanged"


def test_local_uses_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same instants, and an index is converted, too."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    shown = hg.local(FRAME.set_index("start"))
    assert (shown.index[:2] == FRAME["start"][:2]).all()
    assert str(shown.index.tz) == "Asia/Kathmandu"


def test_local_rejects_unknown_zones() -> None:
    """The message names the argument."""
    with pytest.raises(InvalidEvent, match=r"^tz: .* 'Mars/Base'"):
        hg.local(FRAME, "Mars/Base")
