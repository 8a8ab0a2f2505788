"""Cut time into periods: hours, days, weeks and months of a time zone.

Periods follow the clock on the wall. They are counted from 1970-01-01 00:00 of the zone, so that
a period begins at the same time in every slice of a history: 6 hours at 00, 06, 12 and 18 o'clock
also after the clocks have changed, 5 hours or 2 days wherever that multiple falls. The start of a
period is the first moment at which the clock shows its time or, if the clock skips that time, the
moment of the change. Where the clock repeats an hour, periods up to that length are repeated, too.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from ..core.validation import format_value
from ..errors import InvalidEvent
from .columns import IntArray, to_datetimes

Length = str | timedelta | np.timedelta64 | pd.Timedelta
"""A length of time: ``"90min"``, ``"17h"`` or a timedelta of Python, numpy or pandas."""

_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000_000
_QUARTER_HOUR = 900_000_000
_MAX_PERIODS = 1 << 22
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_WEEKDAYS = "THU FRI SAT SUN MON TUE WED".split()
"""In the order of the days from 1970-01-01 on, which was a Thursday."""
_FORM = re.compile(r"(\d+)?\s*([A-Za-z]+)(?:-([A-Za-z]{3}))?")
_CLOCK_FORM = re.compile(r"(?:(?:\d+(?:\.\d+)?)?\s*(?:us|ms|min|s|h|d|D)\s*)+")
_END_UNITS = {"M", "Q", "Y", "A", "ME", "QE", "YE", "BM", "BME", "BQE", "BYE", "SM", "SME"}


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods of the same length on the clock or in the calendar.

    Attributes:
        step_us: length in microseconds; 0: it is ``months``.
        months: length in months.
        anchor: start of one of the periods, as microseconds or months since 1970-01-01 00:00.
        offset_us: what is added to the start of each period, in microseconds.
    """

    step_us: int
    months: int = 0
    anchor: int = 0
    offset_us: int = 0

    def starts(self, first: int, last: int) -> IntArray:
        """Return the starts of all periods from that of ``first`` to that of ``last``.

        All are microseconds since 1970-01-01 00:00 on the clock.
        """
        first, last = first - self.offset_us, last - self.offset_us
        if self.months:
            ends = np.array([first, last]).view("datetime64[us]").astype("datetime64[M]")
            low, high = ends.astype(np.int64).tolist()
            months = np.arange(_floor(low, self.months, self.anchor), high + 1, self.months)
            starts = months.view("datetime64[M]").astype("datetime64[us]").view(np.int64)
        else:
            self._check_number(first, last)
            starts = np.arange(_floor(first, self.step_us, self.anchor), last + 1, self.step_us)
        return starts + self.offset_us

    def _check_number(self, first: int, last: int) -> None:
        number = (last - first) // self.step_us
        if number > _MAX_PERIODS:
            raise InvalidEvent(
                f"freq: expected at most {_MAX_PERIODS} periods, got {number} of "
                f"{timedelta(microseconds=self.step_us)}; use longer ones",
                "freq",
            )


def parse_freq(freq: object, offset: Length | None = None) -> Periods:
    """Return periods of the length of ``freq``; ``offset`` shifts where they begin.

    Raises:
        InvalidEvent: ``freq`` or ``offset`` is invalid, or ``freq`` names the end of periods.
    """
    offset_us = 0 if offset is None else parse_length(offset, "offset")
    if isinstance(freq, pd.offsets.BaseOffset):
        freq = freq.freqstr
    if isinstance(freq, str):
        return _parse_text(freq, offset_us)
    if isinstance(freq, timedelta | np.timedelta64):
        step_us = parse_length(freq, "freq")
        if step_us > 0:
            return Periods(step_us, offset_us=offset_us)
    raise _invalid_freq(freq)


def parse_length(value: object, name: str) -> int:
    """Return a length of time in microseconds; it may be negative.

    Args:
        value: text as ``"30min"``, ``"1h"``, ``"7d"`` or ``"D"``, or a timedelta of Python, numpy
            or pandas. A number has no unit and is refused.
        name: name of the parameter, for the error message.

    Raises:
        InvalidEvent: another type, or text without a length.
    """
    length: Any = pd.NaT
    if isinstance(value, str):
        # pandas deprecates lower-case units for days and weeks, and needs a number.
        text = re.sub(r"(?<![A-Za-z])[dw](?![A-Za-z])", lambda unit: unit[0].upper(), value.strip())
        is_number = re.fullmatch(r"[-+\d. ]*", text)
        with contextlib.suppress(ValueError, OverflowError):
            length = pd.NaT if is_number else pd.Timedelta(f"1{text}" if text.isalpha() else text)
    elif isinstance(value, pd.offsets.Tick):
        length = pd.Timedelta(value.nanos, unit="ns")
    elif isinstance(value, timedelta | np.timedelta64):
        with contextlib.suppress(ValueError, OverflowError):
            length = pd.Timedelta(value)
    if length is pd.NaT:
        raise _invalid_length(value, name)
    return int(length // _MICROSECOND)


def positive_length(value: object, name: str) -> int:
    """Return a length of time in microseconds, as ``parse_length`` does, but at least one."""
    micros = parse_length(value, name)
    if micros < 1:
        raise _invalid_length(value, name)
    return micros


def _invalid_length(value: object, name: str) -> InvalidEvent:
    return InvalidEvent(
        f"{name}: expected a length of time such as 10min, 5h or 7d, or a timedelta, "
        f"got {format_value(value)}",
        name,
    )


def assign_periods(
    micros: IntArray, periods: Periods, zone: Any = "UTC"
) -> tuple[IntArray, pd.DatetimeIndex]:
    """Return the period index of each timestamp, and the start of each period.

    Periods without a timestamp are included, unless they are short and there are too many.

    Args:
        micros: microseconds since 1970 UTC.
    """
    if not len(micros):
        return np.empty(0, np.int64), to_datetimes(np.empty(0, np.int64), zone)
    if not _is_uniform(periods, zone):
        edges = _edges(int(micros.min()), int(micros.max()), periods, zone)
        return np.searchsorted(edges, micros, side="right") - 1, to_datetimes(edges, zone)
    step, shift = periods.step_us, periods.anchor + periods.offset_us
    numbers = (micros - shift) // step
    first, last = int(numbers.min()), int(numbers.max())
    if last - first < max(1 << 16, len(micros)):
        occupied = np.arange(first, last + 1)
        numbers = numbers - first
    else:
        numbers, occupied = pd.factorize(numbers, sort=True)
    starts = np.asarray(occupied) * step + shift
    return numbers.astype(np.int64, copy=False), to_datetimes(starts, zone)


def period_starts(first: int, last: int, periods: Periods, zone: Any = "UTC") -> IntArray:
    """Return the start of every period from that of ``first`` to that of ``last``.

    Args:
        first, last: microseconds since 1970 UTC.

    Raises:
        InvalidEvent: there are millions of periods.
    """
    if _is_uniform(periods, zone):
        return periods.starts(first, last)
    return _edges(first, last, periods, zone)


def _is_uniform(periods: Periods, zone: Any) -> bool:
    """Return whether periods begin at multiples of the same length in UTC.

    Since 1972 all zones differ from UTC by multiples of 15 minutes.
    """
    return bool(periods.step_us) and (str(zone) == "UTC" or _QUARTER_HOUR % periods.step_us == 0)


def _edges(first: int, last: int, periods: Periods, zone: Any) -> IntArray:
    """Return the starts of periods in UTC, of which one or none is before ``first``."""
    low, high = on_clock(np.array([first, last]), zone).tolist()
    # Around a change of the clocks the first period can begin before its time on the clock.
    starts = periods.starts(low - 2 * _DAY, high + 2 * _DAY)
    moments, repeated = from_clock(starts, zone)
    if periods.step_us:
        moments = np.append(moments, repeated[repeated - moments >= periods.step_us])
    moments = np.unique(moments)
    begin = max(int(np.searchsorted(moments, first, side="right")) - 1, 0)
    return moments[begin : np.searchsorted(moments, last, side="right")]


def on_clock(micros: IntArray, zone: Any) -> IntArray:
    """Return what the clock of a zone shows, as microseconds since 1970-01-01 00:00."""
    local = to_datetimes(micros, zone).tz_localize(None)
    return local.to_numpy(dtype="datetime64[us]").view(np.int64)


def from_clock(clock: IntArray, zone: Any) -> tuple[IntArray, IntArray]:
    """Return the first and the last moment at which the clock of a zone shows these times.

    If the clock skips a time, both are the moment of the change. tz_localize() of pandas finds
    another one where the clock skips half an hour or a whole day.
    """
    before, after = (
        clock - (on_clock(clock + shift, zone) - (clock + shift)) for shift in (-_DAY, _DAY)
    )
    shown_before, shown_after = (on_clock(moments, zone) == clock for moments in (before, after))
    first = np.where(shown_before, before, after)
    last = np.where(shown_after, after, before)
    skipped = np.flatnonzero(~shown_before & ~shown_after)
    if len(skipped):
        first[skipped] = last[skipped] = _change(
            clock[skipped], after[skipped], before[skipped], zone
        )
    return first, last


def _change(clock: IntArray, low: IntArray, high: IntArray, zone: Any) -> IntArray:
    """Return the first moments at which the clock of a zone shows a later time.

    Args:
        low, high: a moment before that, and that or one after it.
    """
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_later = on_clock(middle, zone) > clock
        low, high = np.where(is_later, low, middle), np.where(is_later, middle, high)
    return high


def _floor(value: int, step: int, anchor: int) -> int:
    return (value - anchor) // step * step + anchor


def _parse_text(freq: str, offset_us: int) -> Periods:
    text = freq.strip()
    if _CLOCK_FORM.fullmatch(text):
        step_us = parse_length(text, "freq")
        if step_us < 1:
            raise _invalid_freq(freq)
        return Periods(step_us, offset_us=offset_us)
    form = _FORM.fullmatch(text)
    if form is None:
        raise _invalid_freq(freq)
    number, unit, start = int(form[1] or 1), form[2], (form[3] or "").upper()
    if unit in _END_UNITS:
        begin = {"M": "MS", "Q": "QS", "Y": "YS", "A": "YS"}[unit.lstrip("BS")[:1]]
        raise InvalidEvent(
            f"freq: {format_value(freq)} names the end of a period, and periods are named by their "
            f"begin: use {begin}",
            "freq",
        )
    if unit in ("W", "w") and number and start in ("", *_WEEKDAYS):
        anchor = _WEEKDAYS.index(start or "SUN") * _DAY
        return Periods(7 * number * _DAY, anchor=anchor, offset_us=offset_us)
    months = {"MS": 1, "QS": 3, "YS": 12}.get(unit, 0) * number
    if not months or start not in ("", *_MONTHS) or (unit == "MS" and start):
        raise _invalid_freq(freq)
    return Periods(0, months, _MONTHS.index(start or "JAN"), offset_us)


def _invalid_freq(freq: object) -> InvalidEvent:
    return InvalidEvent(
        "freq: expected the length of a period such as 15min, 1h, D, W, W-MON, MS, QS or YS, "
        f"got {format_value(freq)}",
        "freq",
    )
