"""Live sources: what tells of agents when it is asked, and the way of what it tells into the store.

A source is asked again and again by one thread. What it told and the store could not take is kept
and offered again before anything more is asked of it, so nothing is lost while a disk is full.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from ..core.model import Event
from ..core.roster import Limits, timer_event
from ..core.timestamps import from_micros
from ..errors import CapacityError
from ..presence import PresenceManager

logger = logging.getLogger("htmlgraph.sources")

MAX_BATCH_EVENTS = 20_000
"""Most events of one transaction; a session has seldom more."""
_STEP_EVENTS = 1_000


class PolledSource(Protocol):
    """Something that can be asked what is new.

    Attributes:
        pause_s: seconds until it should be asked again; read after each ``poll``.
    """

    @property
    def interval_s(self) -> float: ...

    def poll(self, now: datetime) -> list[Event]:
        """Return what is new since the last call, in order; it takes some 20 ms at most.

        The events pass ``Event.checked``, and their ids make a repetition harmless: a source that
        begins anew may tell all again.

        Args:
            now: the present time, UTC.

        Raises:
            OSError, HtmlgraphError: it cannot be asked now; it is asked again later.
        """


class PollingIngester:
    """Brings what one source tells into a database.

    Args:
        manager: the open database.
        source: what is asked.
    """

    def __init__(self, manager: PresenceManager, source: PolledSource) -> None:
        self._manager = manager
        self._source = source
        self._kept: list[list[Event]] = []

    def run(self, now: datetime) -> float:
        """Ask once, store what is new, and return the seconds until the next time.

        Raises:
            StoreError: it could not be stored; it is kept for the next call.
            OSError, HtmlgraphError: of the source.
        """
        if not self._kept:
            events = self._source.poll(now)
            self._kept = list(split_batches(events, now, self._manager.limits)) if events else []
        while self._kept:
            part = self._kept[0]
            events = [*part, *overdue_timers(self._manager, part, now)]
            try:
                # In this thread: a hand-over to the writer's takes longer than what there is to do.
                self._manager.ingest(events)
            except CapacityError as error:
                # They would be refused for ever; the others of the source shall not wait for it.
                logger.warning("%d events are left out: %s", len(part), error)
            del self._kept[0]
        return self._source.interval_s


def split_batches(events: Sequence[Event], now: datetime, limits: Limits) -> Iterator[list[Event]]:
    """Yield the events in transactions that are short, where nobody is forgotten in between.

    An agent whose newest event so far is long past could be forgotten by the clock, and its totals
    with it, before the rest of its events is there.
    """
    old = timedelta(seconds=limits.forget_after_s / 2)
    start = 0
    while start < len(events):
        end = min(start + _STEP_EVENTS, len(events))
        if limits.forget_after_s and now - event_time(events[end - 1]) >= old:
            end = min(start + MAX_BATCH_EVENTS, len(events))
        yield list(events[start:end])
        start = end


def overdue_timers(manager: PresenceManager, events: Iterable[Event], now: datetime) -> list[Event]:
    """Return what the clock of a server would have said since about each agent of the events.

    It belongs into the same transaction, so that nobody sees an agent of the past as it was then.
    """
    newest: dict[str, Event] = {}
    for event in events:
        known = newest.get(event.agent_id)
        if known is None or event_time(event) >= event_time(known):
            newest[event.agent_id] = event
    shortest_s = min(filter(None, (after_s for _, after_s in _timers(manager.limits))), default=0.0)
    silent = [
        event
        for event in newest.values()
        if shortest_s and (now - event_time(event)).total_seconds() >= shortest_s
    ]
    if not silent:
        return []
    presences = manager.snapshot()
    found = []
    for last in silent:
        presence = presences.get(last.agent_id)
        if presence is None or presence.last_activity <= event_time(last):
            found += _closing(last, manager.limits, now)
    return found


def _timers(limits: Limits) -> tuple[tuple[str, float], ...]:
    return (
        ("forget", limits.forget_after_s),
        ("offline", limits.offline_timeout_s),
        ("idle", limits.idle_timeout_s),
    )


def _closing(last: Event, limits: Limits, now: datetime) -> list[Event]:
    at = event_time(last)
    silent_s = (now - at).total_seconds()
    for kind, after_s in _timers(limits):
        if after_s and silent_s >= after_s:
            event = timer_event(last.agent_id, kind, at + timedelta(seconds=after_s), after_s)
            key = f"{last.agent_id[:160]}:{kind}:{at.isoformat()}"
            return [replace(event, event_id=key)]
    return []


def event_time(event: Event) -> datetime:
    """Return when the event happened; 1970 where it does not tell."""
    return event.timestamp or from_micros(0)
