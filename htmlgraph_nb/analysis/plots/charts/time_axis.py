"""Ticks, periods and times in words, in any time zone and across its changes of the clock."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...columns import FloatArray, IntArray, timestamp_micros, to_datetimes
from ...periods import from_clock, on_clock

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
_SECOND = 1_000_000
_STEPS = (
    *(count * _SECOND for count in (1, 2, 5, 10, 15, 30)),
    *(count * MINUTE_US for count in (1, 2, 5, 10, 15, 30)),
    *(count * HOUR_US for count in (1, 2, 3, 6, 12)),
)
_DAY_STEPS = (1, 2, 7, 14)
_MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120)
_MAX_TICKS = 9
_COARSE_DURATIONS = (1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 864_000_000)
_DURATIONS = sorted(
    {
        *_COARSE_DURATIONS,
        *(n * scale for n in (2, 5) for scale in (1, 10, 100, 1_000)),
        *(n * 1_000 for n in (20, 30)),
        *(n * 60_000 for n in (2, 5, 20, 30)),
        *(n * 3_600_000 for n in (2, 5, 24, 48, 120)),
    }
)
_MAX_DURATION_TICKS = 9
WEEKDAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class TimeTick(NamedTuple):
    """A tick of a time axis.

    Attributes:
        at: microseconds since 1970 UTC.
        text: the time, or the day if ticks are days apart.
        context: what the time belongs to (day or year), at the first tick and where it changes, and
            the zone's abbreviation where the clocks change; "" elsewhere.
    """

    at: int
    text: str
    context: str


def time_ticks(low: float, high: float, zone: Any, most: int = _MAX_TICKS) -> list[TimeTick]:
    """Return ticks at round local times between two times.

    In the hour that a change of the clocks repeats, each tick occurs twice.

    Args:
        low, high: microseconds since 1970 UTC.
        most: maximum number of ticks.
    """
    span = max(high - low, _SECOND)
    step = next((step for step in _STEPS if span / step <= most), 0)
    if step:
        moments = _ticks_within_days(low, high, step, zone)
    else:
        moments = _ticks_of_days(low, high, span, most, zone)
    return _label_ticks(moments, zone, step, days_shown=bool(step) or span < 400 * DAY_US)


def _ticks_within_days(low: float, high: float, step: int, zone: Any) -> IntArray:
    # Offsets of time zones are multiples of a quarter of an hour since 1972.
    grid = min(step, 15 * MINUTE_US)
    first = -int(-low // grid) * grid
    moments = np.arange(first, high + 1, grid, dtype=np.float64).astype(np.int64)
    shown: IntArray = moments[on_clock(moments, zone) % step == 0]
    return shown


def _ticks_of_days(low: float, high: float, span: float, most: int, zone: Any) -> IntArray:
    first, last = (to_datetimes(np.array([int(value)]), zone)[0] for value in (low, high))
    days = next((days for days in _DAY_STEPS if span / (days * DAY_US) <= most), 0)
    if days:
        dates = pd.date_range(_naive_day(first), _naive_day(last), freq="D")
        if days >= 7:
            mondays = dates[dates.day_of_week == 0]
            dates = mondays[:: days // 7]
        else:
            dates = dates[dates.day_of_year % days == 0] if days > 1 else dates
    else:
        months = next((step for step in _MONTH_STEPS if span / (step * 30.4 * DAY_US) <= most), 120)
        dates = pd.date_range(_naive_day(first).replace(day=1), _naive_day(last), freq="MS")
        dates = dates[(dates.year * 12 + dates.month - 1) % months == 0]
    # Midnight may not exist or be twice.
    moments = from_clock(dates.to_numpy(dtype="datetime64[us]").view(np.int64), zone)[0]
    shown: IntArray = moments[(moments >= low) & (moments <= high)]
    return shown


def _naive_day(time: pd.Timestamp) -> pd.Timestamp:
    return time.tz_localize(None).normalize()


def index_micros(times: pd.DatetimeIndex | pd.Series | list[pd.Timestamp]) -> IntArray:
    """Return aware times as microseconds since 1970 UTC."""
    utc = pd.DatetimeIndex(times).tz_convert("UTC").tz_localize(None)
    return utc.to_numpy(dtype="datetime64[us]").view(np.int64)


def clocks_change(low: float, high: float, zone: Any) -> bool:
    """Return whether the clocks of a zone change between two instants."""
    moments = np.arange(int(low), int(high) + 15 * DAY_US, 15 * DAY_US)
    moments[-1] = int(high)
    return len(np.unique(on_clock(moments, zone) - moments)) > 1


def _label_ticks(moments: IntArray, zone: Any, step: int, *, days_shown: bool) -> list[TimeTick]:
    ticks = []
    last_context = last_offset = None
    times, offsets = to_datetimes(moments, zone), on_clock(moments, zone) - moments
    for at, time, offset in zip(moments.tolist(), times, offsets.tolist(), strict=True):
        if step:
            text = f"{time:%H:%M:%S}" if step < MINUTE_US else f"{time:%H:%M}"
            context = date_text(time)
        else:
            text = f"{time.day} {_MONTHS[time.month - 1]}" if days_shown else month_text(time)
            context = str(time.year) if days_shown else ""
        parts = [context] if context != last_context else []
        if step and last_offset is not None and offset != last_offset:
            parts.append(f"{time:%Z}")
        ticks.append(TimeTick(at, text, " ".join(parts)))
        last_context, last_offset = context, offset
    return ticks


def date_text(time: pd.Timestamp, *, with_year: bool = False) -> str:
    """Return a date such as "29 Oct"."""
    text = f"{time.day} {_MONTHS[time.month - 1]}"
    return f"{text} {time.year}" if with_year else text


def month_text(time: pd.Timestamp) -> str:
    """Return a month such as "Oct 2026"."""
    return f"{_MONTHS[time.month - 1]} {time.year}"


def hover_times(moments: Any, zone: Any) -> list[str]:
    """Return times to the second, with date and zone, for hover texts."""
    return list(to_datetimes(np.asarray(moments, np.int64), zone).strftime("%Y-%m-%d %H:%M:%S %Z"))


def range_text(low: int, high: int, zone: Any) -> str:
    """Return from when to when, such as "29 Oct 2026, 22:00-23:30"."""
    first, last = to_datetimes(np.array([low, high]), zone)
    if high - low >= 7 * DAY_US:
        start = date_text(first, with_year=first.year != last.year)
        return f"{start} – {date_text(last, with_year=True)}"
    if first.date() == last.date():
        return f"{date_text(first, with_year=True)}, {first:%H:%M}–{last:%H:%M}"
    start = date_text(first, with_year=first.year != last.year)
    return f"{start} {first:%H:%M} – {date_text(last, with_year=True)} {last:%H:%M}"


def facts_of_period(df: pd.DataFrame, zone: Any) -> list[str]:
    """Return period and time zone of a frame, for the line below a title."""
    if not len(df):
        return ["no events", str(zone)]
    micros = timestamp_micros(df)
    return [range_text(int(micros.min()), int(micros.max()), zone), str(zone)]


def duration_text(micros: float) -> str:
    """Return a length of time such as "14 min 3 s"."""
    seconds = micros / 1e6
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    parts = [
        (whole // 86_400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown)


def duration_ticks(low: float, high: float) -> list[float]:
    """Return round durations between two durations, in milliseconds, for a logarithmic axis."""
    ticks = [float(tick) for tick in _DURATIONS if low <= tick <= high]
    if len(ticks) <= _MAX_DURATION_TICKS:
        return ticks
    return [tick for tick in ticks if tick in _COARSE_DURATIONS]


def time_range(*parts: FloatArray) -> tuple[float, float]:
    """Return the earliest and the latest of times; they differ by a second at least."""
    low = min((float(part.min()) for part in parts if len(part)), default=0.0)
    high = max((float(part.max()) for part in parts if len(part)), default=0.0)
    return low, max(high, low + _SECOND)
