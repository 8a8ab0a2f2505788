"""period_bounds: hours, days, weeks and months, also when the clock is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.alerts.alert_rule import PERIODS
from htmlgraph_nb.alerts.evaluation.periods_of_time import period_bounds

PARIS = ZoneInfo("Europe/Paris")
ZONES = ("Europe/Paris", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("hour", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("day", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("week", "2026-10-18T22:00", "2026-10-25T23:00"),
        ("month", "2026-09-30T22:00", "2026-10-31T23:00"),
    ],
)
def test_period_bounds_on_the_day_that_has_25_hours(period: str, start: str, end: str) -> None:
    """Local midnights bound days, weeks and months."""
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    bounds = period_bounds(period, now, PARIS)
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in bounds] == [start, end]


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(PERIODS),
    st.sampled_from(ZONES),
)
def test_period_bounds_contain_their_time_and_follow_each_other(
    at: datetime, period: str, zone: str
) -> None:
    """Periods have no gap and do not overlap."""
    now = at.replace(tzinfo=UTC)
    start, end = period_bounds(period, now, ZoneInfo(zone))
    assert start <= now < end
    assert period_bounds(period, end, ZoneInfo(zone))[0] == end
    assert period_bounds(period, end - timedelta(microseconds=1), ZoneInfo(zone)) == (start, end)
