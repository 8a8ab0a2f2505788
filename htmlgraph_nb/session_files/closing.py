"""What the clock of a server would have said of agents whose past is taken in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

from ..model import Event
from ..presence import PresenceManager
from ..roster import timer_event
from ..storage.store import open_reader, translated
from ..times import from_micros

_IN_STEP = 500


def closings(manager: PresenceManager, events: Iterable[Event], now: datetime) -> list[Event]:
    """Return what the clock would have said since about each agent of the events.

    It is stored in the same transaction as they, so that nobody sees the agent as it was then.

    Args:
        manager: of the database that takes the events in.
        now: the present time, UTC.
    """
    newest: dict[str, Event] = {}
    for event in events:
        known = newest.get(event.agent_id)
        if known is None or _at(event) >= _at(known):
            newest[event.agent_id] = event
    known_agents = manager.snapshot()
    found = []
    for agent_id, last in newest.items():
        presence = known_agents.get(agent_id)
        if presence is None or presence.last_activity <= _at(last):
            found.append(_closing(manager, last, now))
    return [event for event in found if event is not None]


def _closing(manager: PresenceManager, last: Event, now: datetime) -> Event | None:
    at = _at(last)
    silent_s = (now - at).total_seconds()
    limits = manager.limits
    for kind, after_s in (
        ("forget", limits.forget_after_s),
        ("offline", limits.offline_timeout_s),
        ("idle", limits.idle_timeout_s),
    ):
        if after_s and silent_s >= after_s:
            event = timer_event(last.agent_id, kind, at + timedelta(seconds=after_s), after_s)
            key = f"{last.agent_id[:160]}:{kind}:{at.isoformat()}"
            return replace(event, event_id=key)
    return None


def _at(event: Event) -> datetime:
    return event.timestamp or from_micros(0)


def stored_ids(path: str, events: Sequence[Event]) -> set[str | None]:
    """Return the ids of those of the events that are in the database."""
    ids = [event.event_id for event in events if event.event_id is not None]
    found: set[str | None] = set()
    with closing(open_reader(path)) as db, translated(path):
        for start in range(0, len(ids), _IN_STEP):
            part = ids[start : start + _IN_STEP]
            marks = ", ".join("?" * len(part))
            text = f"SELECT event_id FROM events WHERE event_id IN ({marks})"
            found.update(event_id for (event_id,) in db.execute(text, part))
    return found
