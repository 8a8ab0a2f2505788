"""Periods of the clock and the calendar, in zones whose clocks change at midnight and elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import analysis
from htmlgraph_nb.analysis.columns import to_datetimes
from htmlgraph_nb.analysis.periods import assign_periods, parse_freq, parse_length, period_starts
from htmlgraph_nb.errors import InvalidEvent
from tests.unit.analysis.test_examples import example

HOUR = 3_600_000_000


def starts(zone: str, first: str, days: float, freq: Any, offset: Any = None) -> list[str]:
    """Return the starts of the periods of some days as local text without the year."""
    low = pd.Timestamp(first, tz=zone).value // 1_000
    high = low + int(days * 24 * HOUR)
    micros = period_starts(low, high, parse_freq(freq, offset), zone)
    return [str(time)[5:16] + str(time)[19:] for time in to_datetimes(micros, zone)]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Africa/Cairo", "2024-04-25", ["04-25 00:00+02:00", "04-26 01:00+03:00"]),
        ("Africa/Cairo", "2024-10-31", ["10-31 00:00+03:00", "11-01 00:00+02:00"]),
        ("Asia/Beirut", "2024-03-30", ["03-30 00:00+02:00", "03-31 01:00+03:00"]),
        ("Asia/Beirut", "2024-10-26", ["10-26 00:00+03:00", "10-27 00:00+02:00"]),
        ("America/Santiago", "2024-09-07", ["09-07 00:00-04:00", "09-08 01:00-03:00"]),
        ("America/Santiago", "2024-04-06", ["04-06 00:00-03:00", "04-07 00:00-04:00"]),
        ("America/Asuncion", "2023-09-30", ["09-30 00:00-04:00", "10-01 01:00-03:00"]),
        ("America/Asuncion", "2024-03-23", ["03-23 00:00-03:00", "03-24 00:00-04:00"]),
        ("America/Havana", "2024-03-09", ["03-09 00:00-05:00", "03-10 01:00-04:00"]),
        ("America/Havana", "2024-11-02", ["11-02 00:00-04:00", "11-03 00:00-04:00"]),
        ("Atlantic/Azores", "2024-03-30", ["03-30 00:00-01:00", "03-31 01:00+00:00"]),
        ("Atlantic/Azores", "2024-10-26", ["10-26 00:00+00:00", "10-27 00:00+00:00"]),
        ("Asia/Tehran", "2022-03-21", ["03-21 00:00+03:30", "03-22 01:00+04:30"]),
        ("Asia/Tehran", "2022-09-21", ["09-21 00:00+04:30", "09-22 00:00+03:30"]),
        ("Asia/Gaza", "2015-03-27", ["03-27 00:00+02:00", "03-28 01:00+03:00"]),
        ("America/Sao_Paulo", "2018-11-03", ["11-03 00:00-03:00", "11-04 01:00-02:00"]),
        ("Pacific/Apia", "2011-12-29", ["12-29 00:00-10:00", "12-31 00:00+14:00"]),
    ],
)
def test_periods_of_days_without_or_with_two_midnights(
    zone: str, day: str, expected: list[str]
) -> None:
    """A day begins when the clock changes, or with its first midnight."""
    assert starts(zone, day, 1.2, "D")[:2] == expected
    frame = (
        example()
        .iloc[:3]
        .assign(
            timestamp=pd.date_range(pd.Timestamp(day, tz=zone), periods=3, freq="19h", unit="us")
        )
    )
    for freq in ("D", "W-MON", "MS", "6h"):
        analysis.tool_counts(frame, freq=freq)
        analysis.concurrency(frame, freq)


@pytest.mark.parametrize(
    ("zone", "first", "hours", "freq", "expected"),
    [
        # The hour from 01:00 comes twice, and each has its own period.
        (
            *("America/New_York", "2024-11-03T00:00", 3.5, "1h"),
            ["11-03 00:00-04:00", "11-03 01:00-04:00", "11-03 01:00-05:00", "11-03 02:00-05:00"],
        ),
        (
            *("Europe/Dublin", "2024-10-27T00:00", 2.5, "1h"),
            ["10-27 00:00+01:00", "10-27 01:00+01:00", "10-27 01:00+00:00"],
        ),
        # A longer period contains both hours.
        (
            *("America/New_York", "2024-11-03T00:00", 13.5, "6h"),
            ["11-03 00:00-04:00", "11-03 06:00-05:00", "11-03 12:00-05:00"],
        ),
        (
            *("America/Havana", "2024-11-02T22:00", 5.5, "2h"),
            ["11-02 22:00-04:00", "11-03 00:00-04:00", "11-03 02:00-05:00"],
        ),
        # The hour from 02:00 does not exist.
        (
            *("America/New_York", "2024-03-10T00:00", 3.5, "1h"),
            ["03-10 00:00-05:00", "03-10 01:00-05:00", "03-10 03:00-04:00", "03-10 04:00-04:00"],
        ),
        # Half an hour is skipped, or repeated.
        (
            *("Australia/Lord_Howe", "2024-10-06T01:00", 2, "1h"),
            ["10-06 01:00+10:30", "10-06 02:30+11:00", "10-06 03:00+11:00"],
        ),
        (
            *("Australia/Lord_Howe", "2024-04-07T01:00", 2, "1h"),
            ["04-07 01:00+11:00", "04-07 02:00+10:30"],
        ),
        (
            *("Asia/Kathmandu", "2024-04-07T00:10", 1.9, "1h"),
            ["04-07 00:00+05:45", "04-07 01:00+05:45", "04-07 02:00+05:45"],
        ),
    ],
)
def test_periods_of_hours_when_clocks_change(
    zone: str, first: str, hours: float, freq: str, expected: list[str]
) -> None:
    """Periods follow the clock, and cover all of the time."""
    assert starts(zone, first, hours / 24, freq) == expected


@pytest.mark.parametrize(
    ("freq", "offset", "expected"),
    [
        ("W-THU", "17h", ["10-17 17:00+02:00", "10-24 17:00+02:00", "10-31 17:00+01:00"]),
        ("W", None, ["10-20 00:00+02:00", "10-27 00:00+02:00", "11-03 00:00+01:00"]),
        ("W-MON", timedelta(hours=-2), ["10-20 22:00+02:00", "10-27 22:00+01:00"]),
        ("D", np.timedelta64(4, "h"), ["10-21 04:00+02:00", "10-22 04:00+02:00"]),
        ("MS", "14d", ["10-15 00:00+02:00", "11-15 00:00+01:00"]),
        ("QS-FEB", None, ["08-01 00:00+02:00", "11-01 00:00+01:00"]),
        ("YS-JUL", None, ["07-01 00:00+02:00", "07-01 00:00+02:00"]),
        ("12h", pd.Timedelta("30min"), ["10-21 12:30+02:00", "10-22 00:30+02:00"]),
        ("15min", "5min", ["10-21 23:50+02:00", "10-22 00:05+02:00"]),
    ],
)
def test_periods_with_offset_begin_later(freq: str, offset: Any, expected: list[str]) -> None:
    """The offset counts on the clock, also across its changes."""
    found = starts("Europe/Paris", "2024-10-22", 400 if freq == "YS-JUL" else 40, freq, offset)
    assert found[: len(expected)] == expected


SAME = {"UTC", "Asia/Tokyo", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe"}


@settings(max_examples=60)
@given(
    st.sampled_from(
        ["1h", "5h", "7h", "2D", "5D", "2W-MON", "3MS", "90min", "7s", "1d12h", "45min"]
    ),
    st.sampled_from(sorted(SAME)),
    st.sampled_from([None, "17h", "-3d"]),
    st.integers(0, 400 * 24),
    st.lists(st.integers(0, 5 * 86_400), min_size=1, max_size=5),
)
def test_periods_are_the_same_in_every_slice(
    freq: str, zone: str, offset: str | None, hour: int, seconds: list[int]
) -> None:
    """The period of a time depends neither on the other times nor on the first one."""
    periods = parse_freq(freq, offset)
    base = pd.Timestamp("2024-01-01", tz="UTC").value // 1_000 + hour * HOUR
    micros = np.array([base + second * 1_000_000 for second in seconds])
    ids, labels = assign_periods(micros, periods, zone)
    for number, micro in zip(ids, micros, strict=True):
        alone = assign_periods(np.array([micro]), periods, zone)[1]
        assert len(alone) == 1
        assert alone[0] == labels[number]
        assert alone[0].value // 1_000 <= micro
    local = {starts(other, "2024-06-05T13:00", 0, freq, offset)[0][:11] for other in sorted(SAME)}
    assert len(local) == 1, "every zone has the same periods on its clock"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        *[("1d", "D"), ("7d", "7D"), ("w", "W-SUN"), ("2w", "2W"), ("90min", "1h30min")],
        *[(pd.Timedelta("2h"), "2h"), (pd.offsets.Week(weekday=3), "W-THU"), ("d", "D")],
        *[(pd.offsets.MonthBegin(), "MS"), (np.timedelta64(3, "h"), "3h"), (timedelta(1), "D")],
    ],
)
def test_parse_freq_accepts_what_people_type(text: Any, same: str) -> None:
    """Lower-case days and weeks, timedeltas and offsets of pandas, without a warning of pandas."""
    assert parse_freq(text) == parse_freq(same)


@pytest.mark.parametrize(
    "freq", ["soon", "0h", "-1h", "5ns", 7, "H", "1m", "B", "W-XXX", "", pd.DateOffset(months=1)]
)
def test_parse_freq_refuses_other_values(freq: Any) -> None:
    """The error shows the expected forms."""
    with pytest.raises(InvalidEvent, match="freq: expected the length of a period such as 15min"):
        parse_freq(freq)


@pytest.mark.parametrize(
    ("freq", "begin"),
    [("ME", "MS"), ("M", "MS"), ("QE-DEC", "QS"), ("YE", "YS"), (pd.offsets.MonthEnd(), "MS")],
)
def test_parse_freq_refuses_ends_of_periods(freq: Any, begin: str) -> None:
    """The last day of a month would count to the next one."""
    with pytest.raises(InvalidEvent, match=rf"names the end of a period.*: use {begin}$"):
        parse_freq(freq)


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        *[("D", 24 * HOUR), ("1d", 24 * HOUR), ("-17h", -17 * HOUR), ("1w", 168 * HOUR)],
        *[(timedelta(hours=1), HOUR), (np.timedelta64(1, "h"), HOUR)],
        (pd.offsets.Hour(2), 2 * HOUR),
    ],
)
def test_parse_length_accepts_lengths_with_a_unit(value: Any, micros: int) -> None:
    """Text, and the timedeltas of Python, numpy and pandas."""
    assert parse_length(value, "window") == micros


@pytest.mark.parametrize(
    "value", [3600, 1.5, "3600", "", None, True, "never", pd.NaT, "9" * 40 + "D"]
)
def test_parse_length_refuses_numbers_without_a_unit(value: Any) -> None:
    """pandas would take 3600 as nanoseconds."""
    with pytest.raises(InvalidEvent, match="window: expected a length of time such as 10min"):
        parse_length(value, "window")


def test_functions_cut_periods_in_the_zone_of_tz() -> None:
    """tz= gives the same as a converted frame; a zone can be a tzinfo."""
    frame = example()
    zone = "Asia/Kathmandu"
    local = frame.assign(timestamp=frame["timestamp"].dt.tz_convert(zone))
    calls: list[Any] = [
        lambda df, **more: analysis.tool_counts(df, freq="D", offset="20h", **more),
        lambda df, **more: analysis.tool_errors(df, freq="D", offset="20h", **more),
        lambda df, **more: analysis.token_costs(df, freq="D", offset="20h", **more),
        lambda df, **more: analysis.concurrency(df, "D", offset="20h", **more),
    ]
    for call in calls:
        expected = call(local)
        assert str(expected["timestamp"].dt.tz) == zone
        assert str(expected["timestamp"][0]) == "2026-01-14 20:00:00+05:45"
        pd.testing.assert_frame_equal(call(frame, tz=zone), expected)
        assert (call(frame, tz=ZoneInfo(zone))["timestamp"] == expected["timestamp"]).all()
        with pytest.raises(InvalidEvent, match="tz: expected a time zone"):
            call(frame, tz="Mars/Base")
    with pytest.raises(InvalidEvent, match="offset: it shifts the begin of periods"):
        analysis.tool_counts(frame, offset="20h")


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_concurrency_begins_with_the_first_event(zone: str) -> None:
    """In each zone, and not at midnight of the first day."""
    frame = example()
    frame = frame.assign(timestamp=frame["timestamp"].dt.tz_convert(zone))
    level = analysis.concurrency(frame, "1h")
    assert level["timestamp"].tolist() == [pd.Timestamp("2026-01-14T14:00Z")]


def test_concurrency_counts_the_last_period_up_to_the_newest_event() -> None:
    """An agent that is active all of the time counts as one, also in an unfinished hour."""
    times = pd.to_datetime(["2026-01-14T10:00Z", "2026-01-14T10:04Z", "2026-01-14T10:08Z"])
    frame = pd.DataFrame({"timestamp": times, "agent_id": "a", "event_type": "tool_start"})
    assert analysis.concurrency(frame, "5min")["active"].tolist() == [1.0, 1.0]
    assert analysis.concurrency(frame, "1h")["active"].tolist() == [1.0]
    # The last period begins with the newest event, and so has no length.
    at_edge = analysis.concurrency(frame, "4min")
    assert at_edge["active"].tolist() == [1.0, 1.0, 1.0]
    assert at_edge["peak"].tolist() == [1, 1, 1]
