"""Ticks and texts of times, across midnight and changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pandas as pd
import pytest

from htmlgraph_nb.analysis.plots.charts.time_axis import (
    DAY_US,
    clocks_change,
    duration_text,
    duration_ticks,
    range_text,
    time_ticks,
)


def micros(text: str) -> int:
    """Return an ISO time as microseconds since 1970 UTC."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return round(moment.timestamp() * 1e6)


def labels(low: str, high: str, zone: str, most: int = 9) -> list[tuple[str, str]]:
    """Return text and context of each tick between two times."""
    ticks = time_ticks(micros(low), micros(high), zone, most)
    return [(tick.text, tick.context) for tick in ticks]


def test_time_ticks_name_the_date_at_its_change() -> None:
    """The first tick has the date before midnight, midnight the next one."""
    assert labels("2026-10-29T22:10+00:00", "2026-10-30T01:30+00:00", "UTC") == [
        ("22:30", "29 Oct"),
        ("23:00", ""),
        ("23:30", ""),
        ("00:00", "30 Oct"),
        ("00:30", ""),
        ("01:00", ""),
        ("01:30", ""),
    ]


def test_time_ticks_repeat_the_hour_of_a_clock_change() -> None:
    """01:00 and 01:30 occur twice, and the change is named."""
    ticks = time_ticks(
        micros("2026-11-01T04:30+00:00"), micros("2026-11-01T07:00+00:00"), "America/New_York"
    )
    assert [(tick.text, tick.context) for tick in ticks] == [
        ("00:30", "1 Nov"),
        ("01:00", ""),
        ("01:30", ""),
        ("01:00", "EST"),
        ("01:30", ""),
        ("02:00", ""),
    ]
    assert {b.at - a.at for a, b in pairwise(ticks)} == {30 * 60_000_000}


def test_time_ticks_skip_the_hour_of_a_clock_change() -> None:
    """There is no 02:00 on the day when clocks are set forward."""
    found = labels("2026-03-08T05:00+00:00", "2026-03-08T09:00+00:00", "America/New_York", 5)
    assert [text for text, _ in found] == ["00:00", "01:00", "03:00", "04:00", "05:00"]


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "UTC"])
def test_time_ticks_of_days_are_their_first_instants(zone: str) -> None:
    """Also where midnight does not exist or comes twice."""
    low, high = micros("2026-04-01T00:00+00:00"), micros("2026-05-20T00:00+00:00")
    for most in (7, 60):
        for tick in time_ticks(low, high, zone, most):
            at = pd.Timestamp(tick.at, unit="us", tz="UTC").tz_convert(zone)
            before = pd.Timestamp(tick.at - 1, unit="us", tz="UTC").tz_convert(zone)
            assert before.date() < at.date()
            assert tick.text == f"{at.day} {at:%b}"


@pytest.mark.parametrize("days", [0.00002, 0.01, 0.4, 3, 20, 90, 500, 4000])
@pytest.mark.parametrize("most", [2, 5, 9])
def test_time_ticks_are_few_and_inside(days: float, most: int) -> None:
    """At any length of the axis there is at most one tick more than intervals fit."""
    low = micros("2026-01-03T10:11:12+00:00")
    ticks = [tick.at for tick in time_ticks(low, low + days * DAY_US, "Europe/Paris", most)]
    assert len(ticks) <= most + 1
    assert all(low <= tick <= low + days * DAY_US for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_clocks_change_within_a_range() -> None:
    """In New York on 1 November 2026, not the day before."""
    begin, end = micros("2026-10-31T00:00+00:00"), micros("2026-11-02T00:00+00:00")
    assert clocks_change(begin, end, "America/New_York")
    assert not clocks_change(begin, begin + DAY_US, "America/New_York")
    assert not clocks_change(begin, end, "UTC")


def test_range_text_says_the_dates() -> None:
    """Times within a week, dates beyond."""
    start = micros("2026-10-29T22:00+00:00")
    assert range_text(start, start + DAY_US // 24, "UTC") == "29 Oct 2026, 22:00–23:00"
    assert range_text(start, start + DAY_US // 8, "UTC") == "29 Oct 22:00 – 30 Oct 2026 01:00"
    assert range_text(start, start + 90 * DAY_US, "UTC") == "29 Oct 2026 – 27 Jan 2027"


def test_duration_text_has_two_units() -> None:
    """From milliseconds to days."""
    seconds = (0, 0.25, 1, 2.5, 62, 3600, 90_061)
    texts = ["0 s", "250 ms", "1 s", "2.5 s", "1 min 2 s", "1 h", "1 d 1 h"]
    assert [duration_text(value * 1e6) for value in seconds] == texts


def test_duration_ticks_are_round_durations() -> None:
    """Fine for a short range, coarse for a long one."""
    assert duration_ticks(80, 3000) == [100, 200, 500, 1000, 2000]
    assert duration_ticks(1, 4e6) == [1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000]
