"""What a person types as a time or as names, read into what a query holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from ..core.validation import shorten
from ..errors import InvalidEvent

NameFilter = str | Sequence[str] | None
TimeLike = str | datetime | pd.Timestamp | pd.Timedelta | None


def as_list(value: NameFilter) -> list[str] | None:
    """Return one name or several as a list; None: all."""
    if value is None:
        return None
    return [value] if isinstance(value, str) else [str(name) for name in value]


def resolve_time(value: TimeLike, name: str) -> datetime | None:
    """Return the UTC datetime of an ISO text, a datetime, a time ago (``"2h"``) or ``"yesterday"``.

    Args:
        name: of the parameter, for the text of the error.

    Raises:
        InvalidEvent: the text is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _read(value, name)
    if isinstance(value, pd.Timedelta):
        value = datetime.now(UTC) - value.to_pytimedelta()
    moment = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
    return moment.astimezone(UTC)


def _read(text: str, name: str) -> datetime | pd.Timedelta:
    if text in ("today", "yesterday"):
        day = date.today() - timedelta(days=1 if text == "yesterday" else 0)
        # Midnight by the local clock, also where the clocks change in between.
        return datetime(day.year, day.month, day.day).astimezone()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        # pandas wants days and weeks as D and W, and warns of small letters.
        ago: Any = pd.Timedelta(
            re.sub(r"(?<=[\d ])[dw](?![a-z])", lambda unit: unit[0].upper(), text)
        )
    except ValueError:
        ago = pd.NaT
    if isinstance(ago, pd.Timedelta):
        return ago
    raise InvalidEvent(
        f"{name} is {shorten(text)}, expected an ISO time as 2025-01-14T14:50, "
        "how long ago as 2h or 3d, today or yesterday",
        name,
    )
