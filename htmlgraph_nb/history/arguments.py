"""Arguments of the functions that load history: times, names, filters and progress bars."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from operator import index
from typing import Any, SupportsIndex

import pandas as pd

from ..core.validation import format_value, shorten
from ..errors import InvalidEvent
from ..storage.query import HistoryQuery
from ..storage.schema import HISTORY_COLUMNS

NameFilter = str | Sequence[str] | None
TimeLike = str | datetime | pd.Timestamp | pd.Timedelta | None

_PROGRESS_DELAY_S = 1.0


def as_list(value: NameFilter) -> list[str] | None:
    """Return one or several names as a list; None: all."""
    if value is None:
        return None
    return [value] if isinstance(value, str) else [str(name) for name in value]


def resolve_time(value: TimeLike, name: str) -> datetime | None:
    """Return a datetime, an ISO string or a time ago (``"2h"``, ``"yesterday"``) as UTC.

    Args:
        value: naive times are local; None: no bound.
        name: name of the parameter, for the error message.

    Raises:
        InvalidEvent: the string is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _parse_time_string(value, name)
    if isinstance(value, pd.Timedelta):
        value = datetime.now(UTC) - value.to_pytimedelta()
    plain = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
    return plain.astimezone(UTC)


def _parse_time_string(text: str, name: str) -> datetime | pd.Timedelta:
    if text in ("today", "yesterday"):
        day = date.today() - timedelta(days=1 if text == "yesterday" else 0)
        # Local midnight, also if the UTC offset changed in between.
        return datetime(day.year, day.month, day.day).astimezone()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        # pandas deprecates lower-case units for days and weeks.
        ago: Any = pd.Timedelta(
            re.sub(r"(?<=[\d ])[dw](?![a-z])", lambda unit: unit[0].upper(), text)
        )
    except ValueError:
        ago = pd.NaT
    if isinstance(ago, pd.Timedelta):
        return ago
    raise InvalidEvent(
        f"{name}: expected an ISO time such as 2025-01-14T14:50, a time ago such as 2h or 3d, "
        f"today or yesterday, got {shorten(text)}",
        name,
    )


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
    agents: NameFilter,
    sessions: NameFilter,
    tools: NameFilter,
    features: NameFilter,
    event_types: NameFilter,
    columns: NameFilter,
    limit: int | None,
) -> HistoryQuery:
    """Return the query of the arguments of ``load_history``.

    Raises:
        InvalidEvent: a time, a column or the limit is invalid.
    """
    names = as_list(columns)
    return HistoryQuery(
        since=resolve_time(since, "since"),
        until=resolve_time(until, "until"),
        agents=as_list(agents),
        sessions=as_list(sessions),
        tools=as_list(tools),
        features=as_list(features),
        event_types=as_list(event_types),
        # One column at least, so that rows can be counted.
        columns=HISTORY_COLUMNS if names is None else tuple(dict.fromkeys(names)) or ("seq",),
        limit=to_integer(limit, "limit", 0),
    )


def select_columns(frame: pd.DataFrame, columns: NameFilter) -> pd.DataFrame:
    """Return the columns of the argument ``columns``, in its order and with its duplicates."""
    names = [*HISTORY_COLUMNS] if columns is None else as_list(columns) or []
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
