"""Poll several sources together, so that their events share a transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from ...core.model import Event
from ...errors import HtmlgraphError
from ..poller import PolledSource

logger = logging.getLogger(__name__)

SOURCE_PAUSE_S = 1.0
"""Seconds until a source that failed is polled again."""


class JoinedSources:
    """Several sources as one PolledSource; one that fails does not keep the others from their work.

    All are polled whenever one of them is due, which must cost little where nothing changed.

    Args:
        sources: name for the log → source, in the order of their events.
        monotonic: the clock; returns seconds.
    """

    def __init__(
        self,
        sources: Mapping[str, PolledSource],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = dict(sources)
        self._monotonic = monotonic
        # Name of a source that failed → when it is polled again.
        self._retry_at: dict[str, float] = {}

    @property
    def interval_s(self) -> float:
        """Seconds until the next poll."""
        working = [
            source.interval_s
            for name, source in self._sources.items()
            if name not in self._retry_at
        ]
        return min(working, default=SOURCE_PAUSE_S)

    def poll(self, now: datetime) -> list[Event]:
        """Return the events of all sources since the last call."""
        events: list[Event] = []
        monotonic_s = self._monotonic()
        for name, source in self._sources.items():
            retry_at = self._retry_at.get(name)
            if retry_at is not None and monotonic_s < retry_at:
                continue
            try:
                events += source.poll(now)
            except (HtmlgraphError, OSError) as error:
                if retry_at is None:
                    logger.warning("%s: %s", name, error)
                self._retry_at[name] = monotonic_s + SOURCE_PAUSE_S
            except Exception:
                # What the other sources returned would be lost.
                if retry_at is None:
                    logger.exception("%s: unexpected error", name)
                self._retry_at[name] = monotonic_s + SOURCE_PAUSE_S
            else:
                self._retry_at.pop(name, None)
        return events
