"""Where the use of a usage window leads if it goes on at the same pace. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

EARLIEST_FRACTION = 0.05
"""Part of a window that must have passed: a pace of the first minutes says little."""


class QuotaForecast(NamedTuple):
    """What happens before the next reset at the average pace since the last one.

    Attributes:
        full_at: when 100 % were or will be used, UTC; None: not before the reset, or unknown.
        used_percent_at_reset: percentage at the reset, more than 100 if the limit were none; None:
            unknown.
    """

    full_at: datetime | None
    used_percent_at_reset: float | None


UNKNOWN = QuotaForecast(None, None)


def quota_forecast(
    used_percent: float,
    minutes: int | None,
    resets_at: datetime | None,
    reported_at: datetime,
    now: datetime,
) -> QuotaForecast:
    """Return the forecast of a usage window, from its last report.

    The window began ``minutes`` before ``resets_at``. The pace is that from its begin to the
    report.

    Args:
        used_percent: as reported; 0 or more.
        minutes: length of the window; None: unknown.
        resets_at: its end, UTC; None: unknown.
        reported_at: when the percentage was reported, UTC.
        now: the current time, UTC.

    Returns:
        UNKNOWN if the length or the end is unknown, if the window is over, or if the report is from
        before the window or from its first 5 %.
    """
    if not minutes or resets_at is None or now >= resets_at:
        return UNKNOWN
    try:
        window = timedelta(minutes=minutes)
        elapsed = reported_at - (resets_at - window)
    except OverflowError:
        return UNKNOWN
    if elapsed < window * EARLIEST_FRACTION or reported_at > resets_at:
        return UNKNOWN
    at_reset = used_percent * (window / elapsed)
    full_at = None
    if used_percent >= 100:
        full_at = reported_at
    elif at_reset > 100:
        full_at = reported_at + elapsed * ((100 - used_percent) / used_percent)
    return QuotaForecast(full_at, round(at_reset, 1))
