"""Feeds the simulated agents of ``htmlgraph-nb demo`` to a server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import HtmlgraphError, StoreClosed
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.simulation.demo_agents import simulated_events
from htmlgraph_nb.simulation.scripted_agent import timestamp_of

logger = logging.getLogger(__name__)

_WARM_UP_S = 1_500.0
"""Maximum number of simulated seconds that are in the past when the demo starts."""
_WARM_UP_AGENTS = 9
"""Up to so many agents have the whole past; more have less, so that the start is as fast."""
_MAX_BATCH = 500


def demo_events(count: int, seed: int, speed: float, now: datetime) -> Iterator[Event]:
    """Yield the events of the demo: some minutes of the past, and then without an end.

    Args:
        count, seed: as for ``simulated_events``.
        speed: simulated seconds in a second after ``now``.
        now: the start of the demo.
    """

    def time_of(seconds: float) -> datetime:
        return now + timedelta(seconds=seconds if seconds < 0 else seconds / speed)

    warm_up_s = _WARM_UP_S * min(1.0, _WARM_UP_AGENTS / count)
    return simulated_events(count, seed, time_of, warm_up_s)


class DemoThread:
    """A thread that stores events at their time, in batches.

    Args:
        manager: where the events are stored.
        events: in time order; without an end.
        clock: returns the current time, UTC.
    """

    def __init__(
        self,
        manager: PresenceManager,
        events: Iterator[Event],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._manager, self._events, self._clock = manager, events, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="htmlgraph-demo", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for its end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        batch: list[Event] = []
        for event in self._events:
            wait_s = self._seconds_until(event)
            if batch and (wait_s > 0 or len(batch) >= _MAX_BATCH):
                if not self._store(batch):
                    return
                batch = []
                wait_s = self._seconds_until(event)
            if self._stop.wait(max(wait_s, 0.0)):
                return
            batch.append(event)

    def _seconds_until(self, event: Event) -> float:
        return (timestamp_of(event) - self._clock()).total_seconds()

    def _store(self, batch: list[Event]) -> bool:
        """Store a batch and return whether the database is still open."""
        try:
            self._manager.ingest(batch)
        except StoreClosed:
            return False
        except HtmlgraphError as error:
            logger.warning("the demo lost %d events: %s", len(batch), error)
        return True
