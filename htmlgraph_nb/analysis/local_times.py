"""Times in the form that people read and write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from ..core.timestamps import to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent
from ..local_zone import Zone, resolve_zone


def local(df: pd.DataFrame, tz: Zone = None) -> pd.DataFrame:
    """Return a copy with times in local time, and times and durations in whole seconds.

    It is meant for display: ``local(hg.summary(events)).T``. Other columns are unchanged.

    Args:
        df: any frame; time zone aware columns and a time zone aware index are converted.
        tz: name of a time zone, such as "Europe/Paris", or a tzinfo; None: the zone of this
            machine.

    Returns:
        A frame with the same columns; times keep their unit, and have ``tz`` as time zone.

    Raises:
        InvalidEvent: there is no such time zone.
    """
    zone = resolve_zone(tz)
    shown = df.copy(deep=False)
    for name in shown.columns:
        column = shown[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            shown[name] = column.dt.tz_convert("UTC").dt.floor("s").dt.tz_convert(zone)
        elif column.dtype.kind == "m":
            shown[name] = column.dt.round("s")
    if isinstance(shown.index, pd.DatetimeIndex) and shown.index.tz is not None:
        shown.index = shown.index.tz_convert(zone)
    return shown


def readable(df: pd.DataFrame, tz: Zone = None) -> pd.DataFrame:
    """Return a copy in which times, durations, dollars and counts are text for people.

    It is meant for display, ``readable(hg.sessions(events).head(20))``; compute with the frame
    itself, whose columns have their dtypes.

    Args:
        df: any frame, as of ``summary``, ``sessions``, ``token_costs`` or ``load_presence``.
        tz: time zone in which to show times; None: the zone of each column.

    Returns:
        A frame with the same columns and index: times to the minute with the abbreviation of their
        zone, durations as ``4 min`` or ``1 h 05 min``, columns named after dollars (``usd``,
        ``cost_usd``, …) as ``$1.85``, shares (``…_rate``, ``share``) as percentages, whole numbers
        with separators, missing values as "". Text and bool columns are unchanged otherwise.

    Raises:
        InvalidEvent: there is no such time zone.

    >>> readable(summary(example()))[["active", "waiting", "tokens", "usd"]]
      active waiting tokens    usd
    0  5 min   2 min  5,800  $0.01
    """
    shown = df.copy(deep=False)
    zone = None if tz is None else resolve_zone(tz)
    for name in shown.columns:
        column = shown[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            local_column = column if zone is None else column.dt.tz_convert(zone)
            shown[name] = _as_text(local_column, lambda time: f"{time:%Y-%m-%d %H:%M %Z}")
        elif column.dtype.kind == "m":
            shown[name] = _as_text(column, lambda span: _duration_text(span.total_seconds()))
        elif pd.api.types.is_bool_dtype(column.dtype):
            continue
        elif pd.api.types.is_numeric_dtype(column.dtype):
            shown[name] = _as_text(column, _number_format(str(name), column.dtype))
        else:
            shown[name] = column.astype(object).where(column.notna(), "")
    return shown


def _duration_text(seconds: float) -> str:
    """Return a duration in one or two units, as ``45 s``, ``1 h 05 min`` or ``2 d 3 h``."""
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 60:
        return f"{sign}{seconds:.0f} s" if seconds >= 1 or not seconds else f"{sign}{seconds:.2g} s"
    minutes = int(seconds // 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days} d {hours} h"
    return f"{sign}{hours} h {minutes:02} min" if hours else f"{sign}{minutes} min"


def _as_text(column: pd.Series, text_of: Callable[[Any], str]) -> pd.Series:
    texts = ["" if pd.isna(value) else text_of(value) for value in column]
    return pd.Series(texts, index=column.index, dtype=object)


def _number_format(name: str, dtype: Any) -> Callable[[Any], str]:
    words = name.split("_")
    if "usd" in words or name in ("budget", "spent", "remaining", "projected"):
        return lambda value: f"${value:,.2f}"
    if words[-1] in ("rate", "share"):
        return lambda value: f"{value:.0%}"
    if pd.api.types.is_integer_dtype(dtype):
        return lambda value: f"{value:,}"
    return lambda value: f"{value:,.4g}"


def parse_micros(value: object, name: str) -> int:
    """Return a point in time as microseconds since 1970; times and dates without zone are local.

    Args:
        value: an ISO string, a datetime, date or datetime64.

    Raises:
        InvalidEvent: another type, or a string that is not an ISO time.
    """
    try:
        timestamp: Any = datetime.fromisoformat(value) if isinstance(value, str) else value
        timestamp = pd.Timestamp(timestamp) if isinstance(timestamp, _TIMES) else pd.NaT
    except ValueError:
        timestamp = pd.NaT
    if timestamp is pd.NaT:
        raise InvalidEvent(
            f"{name}: expected an ISO time such as 2025-01-14T14:50 or a datetime, "
            f"got {shorten(str(value))}",
            name,
        )
    return to_micros(timestamp.to_pydatetime(warn=False).astimezone(UTC))


_TIMES = (date, np.datetime64)
