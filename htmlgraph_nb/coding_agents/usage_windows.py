"""Events of the type ``quota``: the usage windows of an account as its agent reports them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..core.timestamps import to_rfc3339
from .fields import amount, count, safe_keyword, timestamp_of_seconds

WEEK_MINUTES = 10_080
_NAMES = {300: "5h", WEEK_MINUTES: "weekly"}
_MAX_MINUTES = 1_000_000
_SAME_RESET = timedelta(minutes=2)
"""Reports of one window can disagree by a few seconds about its end."""


class UsageWindow(NamedTuple):
    """The use of one window.

    Attributes:
        minutes: its length.
        used_percent: 0 to 100, or more.
        resets_at: when it ends, UTC; None if unknown.
    """

    minutes: int
    used_percent: float
    resets_at: datetime | None

    @property
    def name(self) -> str:
        """Its name: "5h", "weekly", or its length such as "90m", "24h" or "30d"."""
        if self.minutes in _NAMES:
            return _NAMES[self.minutes]
        for unit, size in (("d", 1_440), ("h", 60)):
            if self.minutes > size and self.minutes % size == 0:
                return f"{self.minutes // size}{unit}"
        return f"{self.minutes}m"

    def is_like(self, other: UsageWindow) -> bool:
        """Return whether two reports of a window say the same."""
        if self[:2] != other[:2]:
            return False
        if self.resets_at is None or other.resets_at is None:
            return self.resets_at is other.resets_at
        return abs(self.resets_at - other.resets_at) < _SAME_RESET


def usage_window(minutes: object, used_percent: object, resets_at: object) -> UsageWindow | None:
    """Return a window; None if its length or its use is unknown.

    Args:
        resets_at: seconds since 1970; anything else counts as unknown.
    """
    length, used = count(minutes), amount(used_percent)
    if not length or length > _MAX_MINUTES or used is None:
        return None
    return UsageWindow(length, used, timestamp_of_seconds(resets_at))


def quota_extra(
    account: str, plan: object, windows: Iterable[UsageWindow], *, official: bool = True
) -> dict[str, Any]:
    """Return the ``extra`` of an event of the type ``quota``.

    Args:
        account: name of the account or of a separate limit of it.
        plan: name of the account's plan; anything but a keyword is left out.
        official: whether the provider reported the windows; False: they are an estimate.
    """
    records: list[dict[str, Any]] = []
    for window in windows:
        record: dict[str, Any] = {
            "window": window.name,
            "minutes": window.minutes,
            "used_percent": window.used_percent,
        }
        if window.resets_at is not None:
            record["resets_at"] = to_rfc3339(window.resets_at)
        records.append(record)
    extra: dict[str, Any] = {"account": account, "official": official, "windows": records}
    name = safe_keyword(plan)
    return extra if name is None else {**extra, "plan": name}
