"""The clock of the database, which all its servers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ...core.timestamps import utc_now


class DatabaseClock:
    """The time of the database as of the last transaction, and what has elapsed since.

    A transaction reads it while it has the lock. So the times of two transactions are in their
    order, whatever the clocks of their servers say.

    Args:
        monotonic: returns monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None

    def set(self, now: datetime) -> None:
        """Set the time, just after the database has returned it."""
        self._known = now, self._monotonic()

    def __call__(self) -> datetime:
        """Return the time, UTC; before the first transaction that of this machine."""
        if self._known is None:
            return utc_now()
        at, read = self._known
        return at + timedelta(seconds=self._monotonic() - read)
