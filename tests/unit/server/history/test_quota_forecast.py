"""The forecast follows the pace, knows the reset, and says nothing where it knows nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.history.quota_forecast import UNKNOWN, QuotaForecast, quota_forecast

RESET = datetime(2026, 11, 30, 15, tzinfo=UTC)
"""The window of 5 h began at 10:00."""


def at(hour: float) -> datetime:
    """Return a time of the day of the reset."""
    return datetime(2026, 11, 30, tzinfo=UTC) + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("used", "reported", "expected"),
    [
        (20.0, 12, QuotaForecast(None, 50.0)),
        (40.0, 12, QuotaForecast(None, 100.0)),
        (50.0, 12, QuotaForecast(at(14), 125.0)),
        (80.0, 12, QuotaForecast(at(12.5), 200.0)),
        (100.0, 12, QuotaForecast(at(12), 250.0)),
        (0.0, 12, QuotaForecast(None, 0.0)),
        (30.0, 10.2, UNKNOWN),
        (30.0, 9, UNKNOWN),
        (30.0, 15.5, UNKNOWN),
    ],
)
def test_quota_forecast_follows_the_pace(
    used: float, reported: float, expected: QuotaForecast
) -> None:
    """Too early, or reported in another window: unknown."""
    assert quota_forecast(used, 300, RESET, at(reported), at(12.1)) == expected


def test_quota_forecast_ends_with_its_window() -> None:
    """After the reset the percentage is that of a window that is over."""
    assert quota_forecast(50.0, 300, RESET, at(12), at(14.9)) != UNKNOWN
    assert quota_forecast(50.0, 300, RESET, at(12), RESET) == UNKNOWN


def test_quota_forecast_needs_length_and_reset() -> None:
    """Some agents report neither."""
    assert quota_forecast(50.0, None, RESET, at(12), at(12)) == UNKNOWN
    assert quota_forecast(50.0, 0, RESET, at(12), at(12)) == UNKNOWN
    assert quota_forecast(50.0, 300, None, at(12), at(12)) == UNKNOWN


@given(
    st.floats(0, 1_000),
    st.integers(0, 2**53 - 1),
    st.datetimes(datetime(2000, 1, 2), datetime(2199, 1, 1)),
    st.floats(-10, 10),
)
def test_quota_forecast_stays_in_its_window(
    used: float, minutes: int, reset: datetime, hours: float
) -> None:
    """Whatever is reported, the limit is reached between the report and the reset, or not."""
    resets_at = reset.replace(tzinfo=UTC)
    reported_at = resets_at - timedelta(hours=hours)
    full_at, at_reset = quota_forecast(used, minutes, resets_at, reported_at, reported_at)
    assert full_at is None or reported_at <= full_at <= resets_at
    assert at_reset is None or at_reset >= 0
    if full_at is not None and at_reset is not None:
        assert at_reset >= 99.9
