"""Whose event ids are the same: an id counts for its sender, not for every event of the database.

Each sender chooses the ids of its own events. If an id were unique in the database, an id
that another sender uses first would make an agent's real event a duplicate. So two events with one
id are reports of one event only if they can come from the same sender:

- Hooks, session files, telemetry and chat report the same sessions, and derive the same ids for the
  same calls and answers. Their events are the same within a session. Session files also repeat
  events under another session, as forks and resumed sessions do.
- All other senders choose ids of their own, which count for one agent.

An event that is another's gets an id of its own, so no other rule about ids depends on senders.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...core.dedup import METRIC_ID_PREFIX, DedupRules
from ...core.ids import shorten_id
from ...core.model import Event
from .string_ids import MAX_NAMES

_SDK_SOURCE = "claude-agent-sdk"
"""The Claude Agent SDK, whose events have the ids of the session files."""
_MAX_TRIES = 8
_COPIES = frozenset({"file", "older"})


class KnownEvent(NamedTuple):
    """A stored event.

    Attributes:
        lacks_hash: whether it has no ``input_hash``.
        ts: its time, microseconds since 1970.
        sender: its agent, session and source, as texts or as their numbers in ``names``.
    """

    lacks_hash: bool
    ts: int
    sender: tuple[str | int | None, ...] = (None, None, None)


class Sender(NamedTuple):
    """Who sent a stored event: its agent, session and source; None: it has none."""

    agent_id: str | None
    session_id: str | None
    source: str | None


def can_be_same(event: Event, stored: Sender, rules: DedupRules) -> bool:
    """Return whether an event can be the stored one with the same id."""
    if stored.agent_id == event.agent_id and stored.source == event.source:
        return True
    kind, stored_kind = _kind(event.source, rules), _kind(stored.source, rules)
    if kind is None or stored_kind is None:
        return kind is stored_kind and stored.agent_id == event.agent_id
    if stored.agent_id == event.agent_id or None in (event.session_id, stored.session_id):
        return True
    return stored.session_id == event.session_id or not _COPIES.isdisjoint((kind, stored_kind))


def _kind(source: str | None, rules: DedupRules) -> str | None:
    """Return the kind of a source of agents; None: any other sender."""
    return "sdk" if source == _SDK_SOURCE else rules.source_kind(source)


def own_id(event: Event) -> str:
    """Return the id of an event whose id is that of another sender's event."""
    event_id = str(event.event_id)
    prefix = METRIC_ID_PREFIX if event_id.startswith(METRIC_ID_PREFIX) else ""
    return shorten_id(f"{prefix}{event.agent_id}~{event_id.removeprefix(prefix)}")


class EventScopes:
    """Gives events ids of their own, inside of a transaction.

    Args:
        db: the connection.
        rules: the kinds of sources.
        known_ids: returns the stored events with these ids.
        texts: cache of the texts of numbers in ``names``.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        rules: DedupRules,
        known_ids: Callable[[Sequence[str]], dict[str, KnownEvent]],
        texts: dict[int, str | None],
    ) -> None:
        self._db = db
        self._rules = rules
        self._known_ids = known_ids
        # Senders of stored events, and agent, session and source of events that can be the same.
        self._same: set[tuple[tuple[str | int | None, ...], str, str | None, str | None]] = set()
        self._texts = texts

    def apply(self, events: Sequence[Event], seen: dict[str, KnownEvent]) -> list[Event]:
        """Return the events; those whose id is that of another sender's event with their own.

        Args:
            seen: the stored events with these ids; those with the new ids are added.
        """
        batch: dict[str, Event] = {}
        result = []
        for event in events:
            key = event.event_id
            if key is None:
                result.append(event)
                continue
            known = seen.get(key)
            if known is None:
                is_same = batch.setdefault(key, event) is event
            else:
                is_same = (
                    known.sender,
                    event.agent_id,
                    event.session_id,
                    event.source,
                ) in self._same
            result.append(event if is_same else self._own(event, seen, batch))
        return result

    def _own(self, event: Event, seen: dict[str, KnownEvent], batch: dict[str, Event]) -> Event:
        for _ in range(_MAX_TRIES):
            key = str(event.event_id)
            known = seen.get(key)
            if known is None:
                first = batch.setdefault(key, event)
                sender = Sender(first.agent_id, first.session_id, first.source)
            else:
                sender = Sender(*map(self._text_of, known.sender))
            if can_be_same(event, sender, self._rules):
                if known is not None:
                    found = known.sender, event.agent_id, event.session_id, event.source
                    self._same.add(found)
                return event
            event = replace(event, event_id=own_id(event))
            if event.event_id not in seen:
                seen.update(self._known_ids([str(event.event_id)]))
        # Somebody has used all of these ids: rather stored twice than never.
        return replace(event, event_id=None)

    def _text_of(self, name: str | int | None) -> str | None:
        if not isinstance(name, int):
            return name
        if name not in self._texts:
            if len(self._texts) > MAX_NAMES:
                self._texts.clear()
            row = self._db.execute("SELECT name FROM names WHERE id = ?", (name,)).fetchone()
            self._texts[name] = None if row is None else row[0]
        return self._texts[name]
