"""Polled sources of events, and the loop step that stores their events.

One thread polls each source again and again. Events that the store did not accept are kept and
retried before the source is polled again, so nothing is lost while a disk is full.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ..core.model import Event, PresenceStatus
from ..core.roster import Limits, timers_of
from ..errors import CapacityError
from ..presence import PresenceManager
from .event_buffer import event_time
from .session_end import timer_due_since

logger = logging.getLogger(__name__)

MAX_BATCH_EVENTS = 20_000
"""Most events of one transaction; few sessions have more."""
_BATCH_EVENTS = 1_000


class PolledSource(Protocol):
    """A source that returns new events when it is polled.

    Attributes:
        interval_s: seconds until the next poll; read after each ``poll``.
    """

    @property
    def interval_s(self) -> float: ...

    def poll(self, now: datetime) -> list[Event]:
        """Return the events since the last call, in order, within about 20 ms.

        The events pass ``Event.checked``. Their ids make duplicates harmless, so a restarted source
        may return all of its events again.

        Args:
            now: the current time, UTC.

        Raises:
            OSError, HtmlgraphError: the source is not available now; it is polled again later.
        """


class PollingIngester:
    """Stores the events of one source.

    Args:
        manager: the open database.
        source: the source to poll.
    """

    def __init__(self, manager: PresenceManager, source: PolledSource) -> None:
        self._manager = manager
        self._source = source
        self._pending: list[list[Event]] = []

    def run(self, now: datetime) -> float:
        """Poll once, store the new events and return the seconds until the next poll.

        Raises:
            StoreError: the events were not stored; they are retried by the next call.
            OSError, HtmlgraphError: raised by the source.
        """
        if not self._pending:
            events = self._source.poll(now)
            self._pending = list(split_batches(events, now, self._manager.limits)) if events else []
        while self._pending:
            batch = self._pending[0]
            events = [*batch, *timers_due_since(self._manager, batch, now)]
            try:
                # Store from this thread: handing over to the writer thread takes longer.
                self._manager.ingest(events)
            except CapacityError as error:
                # Retrying cannot succeed and would block the other events of the source.
                logger.warning("dropped %d events: %s", len(batch), error)
            del self._pending[0]
        return self._source.interval_s


def split_batches(events: Sequence[Event], now: datetime, limits: Limits) -> Iterator[list[Event]]:
    """Yield the events in short transactions, so that other writers get their turn.

    Old events stay together: between two transactions a timer could forget an agent whose newest
    event so far is long past, and with the agent its totals.
    """
    old = timedelta(seconds=limits.forget_after_s / 2)
    start = 0
    while start < len(events):
        end = min(start + _BATCH_EVENTS, len(events))
        if limits.forget_after_s and now - event_time(events[end - 1]) >= old:
            end = min(start + MAX_BATCH_EVENTS, len(events))
        yield list(events[start:end])
        start = end


def timers_due_since(
    manager: PresenceManager, events: Iterable[Event], now: datetime
) -> list[Event]:
    """Return the timer events that a running server would have created after these events.

    Store them in the same transaction, so that an agent of the past is never shown as active.
    Unlike ``Roster.timers_due_before``, they are dated from the newest of these events, and they
    ignore open work.
    """
    newest: dict[str, Event] = {}
    for event in events:
        previous = newest.get(event.agent_id)
        if previous is None or event_time(event) >= event_time(previous):
            newest[event.agent_id] = event
    timers = timers_of(PresenceStatus.ACTIVE, False, manager.limits)
    shortest_s = min((after_s for _, after_s in timers), default=0.0)
    inactive = [
        event
        for event in newest.values()
        if shortest_s and (now - event_time(event)).total_seconds() >= shortest_s
    ]
    if not inactive:
        return []
    presences = manager.snapshot()
    due: list[Event] = []
    for last in inactive:
        presence = presences.get(last.agent_id)
        if presence is None or presence.last_activity <= event_time(last):
            due += timer_due_since(last.agent_id, event_time(last), timers, now)
    return due
