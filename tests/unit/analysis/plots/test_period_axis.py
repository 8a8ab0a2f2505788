"""Periods of a plot: texts, edges and the one that the frame cuts off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb.analysis import tool_counts
from htmlgraph_nb.analysis.periods import parse_freq
from htmlgraph_nb.analysis.plots.period_axis import choose_freq, freq_text, plotted_periods
from tests.unit.analysis.plots.frames import events

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("freq", "offset", "text"),
    [
        ("1h", None, "hour"),
        ("15min", None, "15 minutes"),
        ("1500ms", None, "1.5 seconds"),
        ("D", None, "day"),
        ("2D", None, "2 days"),
        ("7D", None, "week from Thu"),
        ("W", None, "week from Sun"),
        ("W-MON", None, "week from Mon"),
        ("W-THU", "17h", "week from Thu 17:00"),
        ("D", "17h30min", "day from 17:30"),
        ("MS", None, "month"),
        ("QS", None, "quarter"),
        ("2YS", None, "2 years"),
        (pd.Timedelta("5h"), None, "5 hours"),
    ],
)
def test_freq_text_is_words(freq: str, offset: str | None, text: str) -> None:
    """The length of a period as people say it, and where it begins."""
    assert freq_text(parse_freq(freq, offset)) == text


def test_plotted_periods_follow_the_clock() -> None:
    """Days of 25 and 24 hours; the last one is cut off."""
    frame = events(
        {"at": "2026-10-31T12:00Z", "type": "tool_execute", "tool": "Bash"},
        {"at": "2026-11-01T12:00Z", "type": "tool_execute", "tool": "Bash"},
        {"at": "2026-11-02T12:00Z", "type": "tool_execute", "tool": "Bash"},
    )
    frame["timestamp"] = frame["timestamp"].dt.tz_convert("America/New_York")
    starts = tool_counts(frame, (), "D")["timestamp"]
    periods = plotted_periods(frame, starts, "D")
    assert (periods.width / HOUR).tolist() == [24, 25, 24]
    assert periods.cut_off.tolist() == [False, False, True]
    assert periods.cut_off_fact == "last day until 07:00"
    assert periods.whole_days
    assert not plotted_periods(frame, tool_counts(frame, (), "6h")["timestamp"], "6h").whole_days


def test_plotted_periods_are_complete_at_their_end() -> None:
    """A frame of whole days ends a moment before midnight."""
    frame = events(
        {"at": "2026-01-14T00:00Z", "type": "tool_execute", "tool": "Bash"},
        {"at": "2026-01-14T23:59Z", "type": "tool_execute", "tool": "Bash"},
    )
    periods = plotted_periods(frame, tool_counts(frame, (), "D")["timestamp"], "D")
    assert not periods.cut_off.any()
    assert periods.cut_off_fact == ""


@pytest.mark.parametrize(
    ("length", "freq"), [("50s", "1s"), ("2h", "5min"), ("3D", "3h"), ("40D", "D"), ("999D", "MS")]
)
def test_choose_freq_gives_dozens_of_periods(length: str, freq: str) -> None:
    """From seconds to months."""
    start = pd.Timestamp("2026-01-14T00:00Z")
    frame = events(
        {"at": start, "type": "prompt"}, {"at": start + pd.Timedelta(length), "type": "stop"}
    )
    assert choose_freq(frame) == freq
    assert choose_freq(frame[:0]) == "1h"
    assert np.all(frame["timestamp"].notna())
