"""Deletes old history, and no more of it than a wrong clock could make look old."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from htmlgraph_nb.core.timestamps import EPOCH, from_micros, to_rfc3339, utc_now
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

logger = logging.getLogger(__name__)

RETENTION_STEP_S = 0.05
"""Seconds between two steps while there is more to delete."""
HOLD_S = 3600.0
"""Seconds for which a changed clock has to be kept until it decides what is deleted."""
CLOCK_STEP_S = 60.0
"""Difference between clock and elapsed time from which the clock was set."""
_GAP_S = 86_400.0
"""Longest time between the newest event and a start for which the clock is not in doubt."""
_NEWEST = "SELECT max(ts) FROM (SELECT ts FROM events ORDER BY id DESC LIMIT 1000) newest"


class RetentionLimit:
    """Decides up to when history is deleted. Pure: callers pass the times.

    While the server runs, what is due moves on with the elapsed time. If the clock was set, or is
    far from the newest event at the start, nothing else is due until the clock was kept for HOLD_S.

    Args:
        retain_s: age in seconds at which history is deleted.
        newest_s: time of the newest event, seconds since 1970; None: there is none.
    """

    def __init__(self, retain_s: float, newest_s: float | None) -> None:
        self._retain_s = retain_s
        self._newest_s = newest_s
        # The last call: clock, monotonic time, and what was due.
        self._last: tuple[float, float, float] | None = None
        self._held_until = float("-inf")

    def before(self, now_s: float, monotonic_s: float) -> float:
        """Return the time, in seconds since 1970, before which events are due for deletion."""
        due = now_s - self._retain_s
        if self._last is None:
            newest_s = now_s if self._newest_s is None else self._newest_s
            elapsed_s, allowed = 0.0, newest_s - self._retain_s
            is_doubtful = now_s - newest_s > _GAP_S
        else:
            last_s, last_monotonic_s, allowed = self._last
            elapsed_s = monotonic_s - last_monotonic_s
            is_doubtful = abs(now_s - last_s - elapsed_s) > CLOCK_STEP_S
        if is_doubtful:
            self._held_until = monotonic_s + HOLD_S
        if monotonic_s < self._held_until:
            due = min(due, allowed + elapsed_s)
        self._last = now_s, monotonic_s, due
        return due

    def is_held(self, monotonic_s: float) -> bool:
        """Return whether only the elapsed time counts."""
        return monotonic_s < self._held_until


class Retention:
    """The retention task.

    Args:
        manager: the open database.
        retain_s: age in seconds at which history is deleted.
        clock: returns seconds since 1970.
        monotonic: returns monotonic seconds.
    """

    def __init__(
        self,
        manager: PresenceManager,
        retain_s: float,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._retain_s = retain_s
        self._clock = clock or (lambda: utc_now().timestamp())
        self._monotonic = monotonic
        self._limit: RetentionLimit | None = None
        self._was_held = False

    def run(self) -> float | None:
        """Delete one step of old history; return RETENTION_STEP_S while there is more, else None.

        Other tasks run between two steps.
        """
        if self._limit is None:
            self._limit = RetentionLimit(self._retain_s, self._newest_s())
        now_s, monotonic_s = self._clock(), self._monotonic()
        before_s = self._limit.before(now_s, monotonic_s)
        self._report_hold(self._limit.is_held(monotonic_s), before_s)
        n_deleted = self._manager.delete_history(timedelta(seconds=now_s - before_s))
        return RETENTION_STEP_S if n_deleted else None

    def _report_hold(self, is_held: bool, before_s: float) -> None:
        if is_held and not self._was_held:
            logger.warning(
                "the clock was set or is far from the newest event: for %d minutes only events "
                "before %s are deleted",
                HOLD_S // 60,
                to_rfc3339(EPOCH + timedelta(seconds=before_s)),
            )
        self._was_held = is_held

    def _newest_s(self) -> float | None:
        path = self._manager.db_path
        with closing(open_reader(path)) as db, sqlite_errors(path):
            (micros,) = db.execute(_NEWEST).fetchone()
        return None if micros is None else from_micros(micros).timestamp()
