"""Filter a history frame, and convert its rows to JSON objects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..core.timestamps import to_rfc3339, to_utc
from ..core.validation import format_value, unknown_field
from ..errors import InvalidEvent
from ..storage.query import NAME_FILTERS

When = str | datetime | pd.Timestamp | np.datetime64


def parse_when(when: When, name: str = "when") -> datetime:
    """Return a time as UTC; raise InvalidEvent if it is invalid."""
    try:
        if isinstance(when, np.datetime64):
            when = pd.Timestamp(when, tz="UTC")
        if isinstance(when, pd.Timestamp):
            return to_utc(when.to_pydatetime(warn=False))
        return to_utc(datetime.fromisoformat(when) if isinstance(when, str) else when)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidEvent(
            f"{name}: expected an ISO string such as 2025-01-14 14:50, a datetime or a Timestamp, "
            f"got {format_value(when)}",
            name,
        ) from None


_NAMED = dict(NAME_FILTERS.values())


def filter_frame(
    df: pd.DataFrame,
    *,
    since: When | None = None,
    until: When | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    **names: str | Sequence[str] | None,
) -> pd.DataFrame:
    """Return the rows and columns of a history that ``load_history`` would load.

    Args:
        **names: agents, sessions, tools, features, event_types, models, projects, hosts,
            branches: a name or several; None: all.

    Raises:
        InvalidEvent: an unknown argument or column, or an invalid time.
    """
    keep = pd.Series(True, index=df.index)
    for name, wanted in names.items():
        if name not in _NAMED:
            raise unknown_field(
                name, dict.fromkeys(("since", "until", "columns", "limit", *_NAMED))
            )
        if wanted is not None:
            keep &= df[_NAMED[name]].isin([wanted] if isinstance(wanted, str) else list(wanted))
    if since is not None:
        keep &= df["timestamp"] >= parse_when(since, "since")
    if until is not None:
        keep &= df["timestamp"] < parse_when(until, "until")
    rows = df[keep].head(limit) if limit is not None else df[keep]
    missing = next((name for name in columns or () if name not in df), None)
    if missing is not None:
        known = ", ".join(map(str, df))
        raise InvalidEvent(f"unknown column {missing!r}, expected some of {known}", "columns")
    return rows[list(columns)] if columns is not None else rows


def event_json(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row of a frame as the JSON object of an event, without missing values."""
    event: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, pd.Timestamp):
            event[str(name)] = to_rfc3339(value.to_pydatetime(warn=False))
        elif isinstance(value, np.generic):
            event[str(name)] = value.item()
        elif isinstance(value, dict | str | int | float):
            event[str(name)] = value
    return {name: value for name, value in event.items() if value == value}
