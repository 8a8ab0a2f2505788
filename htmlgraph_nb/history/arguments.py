"""Arguments of the functions that load history: times, names, filters and progress bars."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from operator import index
from typing import Any, ParamSpec, SupportsIndex, TypeVar

import numpy as np
import pandas as pd

from ..core.validation import format_value
from ..errors import InvalidEvent
from ..local_zone import Zone, resolve_zone
from ..storage.query import NAME_FILTERS, HistoryQuery
from ..storage.schema import HISTORY_COLUMNS
from .frame_builder import SOURCE_NAME

_P = ParamSpec("_P")
_R = TypeVar("_R")

NameFilter = str | Sequence[str] | None
TimeLike = (
    str | datetime | date | timedelta | pd.Timestamp | pd.Timedelta | np.datetime64 | np.timedelta64
) | None

_PROGRESS_DELAY_S = 1.0


def suggest_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the function with a TypeError for unknown arguments that names the nearest one."""
    known = [*signature(function).parameters]
    plurals = {
        name: plural for key, (plural, column) in NAME_FILTERS.items() for name in (key, column)
    }

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for name in kwargs.keys() - {*known}:
            near = [plurals[name]] if plurals.get(name) in known else get_close_matches(name, known)
            hint = f"did you mean {near[0]}=?" if near else f"expected some of {', '.join(known)}"
            raise TypeError(f"{function.__name__}() has no argument {name!r}; {hint}")
        return function(*args, **kwargs)

    return checked


def as_list(value: NameFilter) -> list[str] | None:
    """Return one or several names as a list; None: all."""
    if value is None:
        return None
    return [value] if isinstance(value, str) else [str(name) for name in value]


def resolve_time(value: TimeLike, name: str, tz: Zone = None) -> datetime | None:
    """Return a point in time, or a time ago such as ``"2h"`` or a timedelta, as UTC.

    Args:
        value: a datetime, Timestamp, datetime64, date (its midnight), timedelta, Timedelta or
            timedelta64 (that long ago), or a string. None: no bound.
        name: name of the parameter, for the error message.
        tz: time zone of times and dates without one. None: that of this machine.

    Raises:
        InvalidEvent: the value is none of these, NaT, or out of range, or there is no such zone.
    """
    if value is None:
        return None
    zone = None if tz is None else resolve_zone(tz)
    try:
        point = _parse_time_string(value, zone) if isinstance(value, str) else _plain_time(value)
        if isinstance(point, timedelta):
            return datetime.now(UTC) - point
        if point is not None and point.tzinfo is None and zone is not None:
            # The first of two such times, and the change of the clock for one that it skips.
            moment = pd.Timestamp(point).tz_localize(zone, True, "shift_forward")
            return moment.to_pydatetime(warn=False).astimezone(UTC)
        if point is not None:
            # Local midnight of a date, also if the UTC offset changed in between.
            return point.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidEvent(
        f"{name}: expected an ISO time such as 2025-01-14T14:50, a time ago such as 2h or 3d, "
        f"today, yesterday, a date, datetime or timedelta, got {format_value(value)}",
        name,
    )


def _plain_time(value: Any) -> datetime | timedelta | None:
    """Return a point in time or a time ago as a type of the standard library; None: neither."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, np.timedelta64):
        value = pd.Timedelta(value)
    if value is pd.NaT:
        return None
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value if isinstance(value, datetime | timedelta) else None


def _parse_time_string(text: str, zone: str | tzinfo | None) -> datetime | timedelta | None:
    if text in ("today", "yesterday"):
        today = date.today() if zone is None else pd.Timestamp.now(zone).date()
        day = today - timedelta(days=1 if text == "yesterday" else 0)
        return datetime(day.year, day.month, day.day)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # pandas reads a number as nanoseconds.
        if text.strip().lstrip("+-").replace(".", "", 1).isdecimal():
            return None
    try:
        # pandas deprecates lower-case units for days and weeks.
        ago: Any = pd.Timedelta(
            re.sub(r"(?<=[\d ])[dw](?![a-z])", lambda unit: unit[0].upper(), text)
        )
    except ValueError:
        return None
    return _plain_time(ago)


def to_integer(value: Any, name: str, minimum: int) -> int | None:
    """Return an integer of any integer type, or None for None.

    Raises:
        InvalidEvent: another type, or an integer below ``minimum``.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or index(value) < minimum:
        raise InvalidEvent(
            f"{name}: expected an integer >= {minimum}, got {format_value(value)}", name
        )
    return index(value)


def build_query(
    since: TimeLike,
    until: TimeLike,
    columns: NameFilter,
    limit: int | None,
    **names: NameFilter,
) -> HistoryQuery:
    """Return the query of the arguments of ``load_history``; ``names`` are its filters by name.

    Raises:
        InvalidEvent: a time, a column or the limit is invalid.
    """
    selected = as_list(columns)
    filters: dict[str, Any] = {name: as_list(values) for name, values in names.items()}
    return HistoryQuery(
        since=resolve_time(since, "since"),
        until=resolve_time(until, "until"),
        # One column at least, so that rows can be counted.
        columns=HISTORY_COLUMNS if selected is None else tuple(dict.fromkeys(selected)) or ("seq",),
        limit=to_integer(limit, "limit", 0),
        **filters,
    )


def select_columns(frame: pd.DataFrame, columns: NameFilter) -> pd.DataFrame:
    """Return the columns of the argument ``columns``, in its order and with its duplicates.

    SOURCE_NAME follows them if the frame has it.
    """
    names = [*HISTORY_COLUMNS] if columns is None else as_list(columns) or []
    names += [SOURCE_NAME] if SOURCE_NAME in frame.columns else []
    return frame if list(frame.columns) == names else frame[names]


class LoadingBar:
    """A progress bar of tqdm that is created only when it is shown; a context manager.

    Most loads are faster than the delay. They neither import tqdm, nor create the widget that is
    the bar in a notebook.

    Args:
        progress: True: show it at once and leave it on the screen. None: show it after one second.
            False: never show it.
        unit: unit of ``total``, as ``" rows"`` or ``"B"``.
        total: the value at the end; None: unknown.
        description: text before the bar.
    """

    def __init__(
        self, progress: bool | None, unit: str, total: int | None, description: str
    ) -> None:
        self._progress = progress
        self._options = {"unit": unit, "total": total, "desc": description}
        self._started = time.monotonic()
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> LoadingBar:
        if self._progress:
            self._show()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, n: int) -> None:
        """Add ``n`` units to the value."""
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        elif self._progress is None and time.monotonic() - self._started >= _PROGRESS_DELAY_S:
            self._show()

    def _show(self) -> None:
        from tqdm.auto import tqdm

        leave = bool(self._progress)
        self._bar = tqdm(initial=self._done, unit_scale=True, leave=leave, **self._options)
