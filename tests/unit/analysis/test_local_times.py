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


def test_readable_is_text_for_people() -> None:
    """Missing values are empty, and the frame itself is unchanged."""
    frame = FRAME.assign(usd=[1.854, None, 0.0], cache_hit_rate=[0.923, None, 1.0], attention=True)
    before = frame.copy()
    shown = hg.readable(frame, "Europe/Paris")
    assert shown["start"].tolist() == ["2026-01-15 09:00 CET", "2026-07-15 10:00 CEST", ""]
    assert shown["wall"].tolist() == ["2 min", "", "3 s"]
    assert shown["tokens"].tolist() == ["1", "", "3"]
    assert shown["usd"].tolist() == ["$1.85", "", "$0.00"]
    assert shown["cache_hit_rate"].tolist() == ["92%", "", "100%"]
    assert shown["agent_id"].tolist() == ["a", "b", "a"]
    assert shown["attention"].tolist() == [True] * 3
    assert list(shown.columns) == list(frame.columns)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (59, "59 s"),
        (240, "4 min"),
        (3_900, "1 h 05 min"),
        (180_000, "2 d 2 h"),
        (-90, "-1 min"),
    ],
)
def test_readable_durations_have_two_units(seconds: float, text: str) -> None:
    """The largest that are not zero."""
    frame = pd.DataFrame({"wall": pd.to_timedelta([seconds], unit="s")})
    assert hg.readable(frame)["wall"].tolist() == [text]


def test_readable_frames_of_the_package() -> None:
    """Summary, sessions and costs of the sample have text in every cell of their numbers."""
    events = hg.sample_history()
    for frame in (hg.summary(events), hg.sessions(events), hg.token_costs(events, freq="D")):
        shown = hg.readable(frame)
        html = shown._repr_html_()
        assert "0 days" not in html
        assert "NaN" not in html
        assert shown.index.equals(frame.index)
    assert hg.readable(hg.summary(events))["active"][0].endswith("min")


def test_readable_refuses_unknown_zones() -> None:
    """The message suggests a known one."""
    with pytest.raises(InvalidEvent, match="did you mean 'Europe/Paris'"):
        hg.readable(FRAME, "Europe/Pariss")
