"""The periods of a plot: their edges, their length in words, and where the frame cuts one off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..columns import BoolArray, FloatArray, IntArray, time_zone, timestamp_micros
from ..periods import Length, Periods, on_clock, parse_freq, period_starts
from .charts.chart import as_floats
from .charts.time_axis import DAY_US, HOUR_US, MINUTE_US, WEEKDAY_NAMES, index_micros

_FREQS = {
    **{f"{count}s": count * 1_000_000 for count in (1, 5, 15)},
    **{f"{count}min": count * MINUTE_US for count in (1, 5, 15)},
    **{f"{count}h": count * HOUR_US for count in (1, 3, 6)},
    "D": DAY_US,
    "W-MON": 7 * DAY_US,
}
_MAX_PERIODS = 60
_MONDAY = 4
"""Days from 1970-01-01, a Thursday, to the first Monday."""
_UNITS = (
    (7 * DAY_US, "week"),
    (DAY_US, "day"),
    (HOUR_US, "hour"),
    (MINUTE_US, "minute"),
    (1_000_000, "second"),
)
_MONTH_UNITS = ((12, "year"), (3, "quarter"), (1, "month"))


@dataclass(frozen=True, slots=True)
class PlottedPeriods:
    """The periods of a table.

    Attributes:
        start, end: microseconds since 1970 UTC.
        cut_off: the frame ends within the period.
        whole_days: all periods begin at midnight.
        text: the length in words, as "15 minutes" or "week from Mon".
        cut_off_fact: until when the last period lasts; "" if it is complete.
    """

    start: IntArray
    end: IntArray
    cut_off: BoolArray
    whole_days: bool
    text: str
    cut_off_fact: str

    @property
    def width(self) -> FloatArray:
        """Length of each period."""
        return as_floats(self.end - self.start)


def plotted_periods(
    df: pd.DataFrame, starts: pd.Series, freq: str, offset: Length | None = None
) -> PlottedPeriods:
    """Return the periods that begin at these times.

    Args:
        df: the frame, whose newest timestamp cuts off a period.
        starts: begins of periods, in order.
        freq, offset: as for ``tool_counts``.
    """
    periods, zone = parse_freq(freq, offset), time_zone(df)
    text = freq_text(periods)
    start = index_micros(starts)
    if not len(start):
        return PlottedPeriods(start, start, np.zeros(0, bool), False, text, "")
    longest = periods.step_us + 2 * DAY_US + 32 * DAY_US * periods.months
    edges = period_starts(int(start[0]), int(start[-1]) + longest, periods, zone)
    end = edges[np.searchsorted(edges, start, side="right")]
    newest = int(timestamp_micros(df).max())
    days = bool((on_clock(start, zone) % DAY_US == 0).all() and (end - start > DAY_US // 2).all())
    # A frame of whole days ends a moment before midnight.
    cut_off = (start <= newest) & (newest < end - (end - start) // 100)
    fact = ""
    if cut_off.any():
        at = df["timestamp"].max()
        until = f"{at:%a %H:%M}" if end[-1] - start[-1] > 26 * HOUR_US else f"{at:%H:%M}"
        fact = f"last {text.partition(' from ')[0]} until {until}"
    return PlottedPeriods(start, end, cut_off, days, text, fact)


def choose_freq(df: pd.DataFrame) -> str:
    """Return a period length of which the frame has some dozens."""
    if not len(df):
        return "1h"
    micros = timestamp_micros(df)
    duration = int(micros.max()) - int(micros.min())
    fitting = (freq for freq, length in _FREQS.items() if duration <= _MAX_PERIODS * length)
    return next(fitting, "MS")


def freq_text(periods: Periods) -> str:
    """Return the length of a period in words: "hour", "15 minutes", "week from Mon"."""
    if periods.months:
        number, unit = next(
            (periods.months // months, word)
            for months, word in _MONTH_UNITS
            if periods.months % months == 0
        )
    else:
        number, unit = next(
            (
                (periods.step_us // length, word)
                for length, word in _UNITS
                if periods.step_us % length == 0
            ),
            (0, ""),
        )
    if not number:
        return f"{periods.step_us / 1e6:g} seconds"
    text = unit if number == 1 else f"{number} {unit}s"
    begin = (periods.anchor + periods.offset_us) if periods.step_us else periods.offset_us
    parts = []
    if unit == "week":
        parts.append(WEEKDAY_NAMES[(begin // DAY_US - _MONDAY) % 7])
    if periods.offset_us and unit in ("week", "day", *(word for _, word in _MONTH_UNITS)):
        minutes = begin // MINUTE_US % (24 * 60)
        parts += [f"{minutes // 60:02}:{minutes % 60:02}"] if minutes else []
    return f"{text} from {' '.join(parts)}" if parts else text
