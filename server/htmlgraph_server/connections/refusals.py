"""Refused requests in the log: a line for the first of a kind, then a count each minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

SUMMARY_S = 60.0
_MAX_KINDS = 100


class Refusals:
    """Counts refused requests by status and code.

    Args:
        monotonic: returns monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # Kind → number since its last line, and when that was.
        self._counts: dict[tuple[int, str], tuple[int, float]] = {}

    def add(self, status: int, code: str) -> None:
        """Count a refused request, and log its kind if the last line is a minute old."""
        kind, now = (status, code), self._monotonic()
        if kind not in self._counts and len(self._counts) >= _MAX_KINDS:
            return
        n, logged_at = self._counts.get(kind, (0, -SUMMARY_S))
        n += 1
        if now - logged_at >= SUMMARY_S:
            logger.info("refused: status=%d code=%s count=%d", status, code, n)
            n, logged_at = 0, now
        self._counts[kind] = n, logged_at
