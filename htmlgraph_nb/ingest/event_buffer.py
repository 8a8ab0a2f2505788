"""Return each event of a session file once, in bounded memory.

A completion can be repeated further down in its file with more output tokens, and lines can be
slightly out of order. So the newest events are held back until enough others have followed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from ..core.dedup import supersedes
from ..core.ids import shorten_id
from ..core.model import Event
from ..core.timestamps import from_micros

HELD_EVENTS = 2_000
"""Events that are held back; the copies of a completion are a few lines apart."""
_MAX_NAMES = 10_000


class EventIds:
    """Assigns ids to the events of one file that have no id."""

    def __init__(self) -> None:
        # The names contain times, so a name seldom returns after many others.
        self._counts: OrderedDict[str, int] = OrderedDict()

    def with_id(self, event: Event) -> Event:
        """Return the event with an id that is the same each time the file is read."""
        if event.event_id is not None:
            return event
        name = f"{event.agent_id}:{event.event_type}:{event_time(event).isoformat()}"
        count = self._counts[name] = self._counts.pop(name, 0) + 1
        if len(self._counts) > _MAX_NAMES:
            self._counts.popitem(last=False)
        return replace(event, event_id=shorten_id(f"{name}:{count}"))


class EventBuffer:
    """The newest events of one file, each once, completions with their final counts.

    Args:
        ids: assigns ids to events without one; None: a new EventIds.
        held: number of events that ``ready`` holds back; at most twice as many are kept.
    """

    def __init__(self, ids: EventIds | None = None, held: int = HELD_EVENTS) -> None:
        self._ids = ids or EventIds()
        self._held = held
        # Event id → (number of the first copy, event): events of the same time stay in order.
        self._events: dict[str, tuple[int, Event]] = {}
        self._n_added = 0

    def add(self, event: Event) -> None:
        """Add an event, unless a copy of it with as many output tokens is held."""
        event = self._ids.with_id(event)
        key = str(event.event_id)
        existing = self._events.get(key)
        if existing is None:
            self._events[key] = (self._n_added, event)
            self._n_added += 1
        elif supersedes(event, existing[1]):
            self._events[key] = (existing[0], event)

    def ready(self) -> list[Event]:
        """Return and remove the oldest events, sorted by time, once there are enough of them."""
        n_ready = len(self._events) - self._held
        return self._remove(n_ready) if n_ready >= self._held else []

    def finish(self) -> list[Event]:
        """Return and remove all events, sorted by time."""
        return self._remove(len(self._events))

    def _remove(self, n_events: int) -> list[Event]:
        entries = sorted(self._events.values(), key=lambda entry: (event_time(entry[1]), entry[0]))
        self._events = {str(entry[1].event_id): entry for entry in entries[n_events:]}
        return [event for _, event in entries[:n_events]]


def final_events(events: Iterable[Event]) -> list[Event]:
    """Return each event of a file once, completions with their final counts, sorted by time.

    Events without an id get an id that is the same each time the file is read.
    """
    buffer = EventBuffer()
    for event in events:
        buffer.add(event)
    return buffer.finish()


def event_time(event: Event) -> datetime:
    """Return the event's timestamp; 1970 if it has none."""
    return event.timestamp or from_micros(0)
