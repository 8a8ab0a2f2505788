"""Reads and writes of one write transaction; the caller begins and commits it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from ..core.agent_state import AgentState, from_json, to_json
from ..core.model import (
    LABELS,
    NO_COUNTS,
    PRESENCE_COLUMNS,
    PRESENCE_FLAGS,
    PRESENCE_TIMES,
    AgentPresence,
    Event,
    PresenceStatus,
    labels_of,
    token_counts,
)
from ..core.protocol import encode_json
from ..core.status_rules import StatusDecision
from ..core.timestamps import from_micros, to_micros
from ..errors import CapacityError, InvalidEvent
from .commit.event_scope import EventScopes, KnownEvent
from .commit.string_ids import MAX_NAMES, StringIds, decision_id, decision_key
from .database import select_in
from .dedup_table import DEDUP_RULES, Deduplicator, TokenSourceCache
from .identity_table import Identities, related_ids
from .row_writer import RowWriter
from .schema import EVENT_COLUMNS, NAMED, PLAIN

_named_fields = attrgetter(*NAMED.values())
_FIRST_LABEL = [*NAMED.values()].index(LABELS[0])
_LABELS = slice(_FIRST_LABEL, _FIRST_LABEL + len(LABELS))
_plain_fields = attrgetter(*PLAIN)
_COST_TOKENS = PLAIN.index("cost_tokens")
_PRESENCE_ROW = (*PRESENCE_COLUMNS, "evidence")
_events = RowWriter("INSERT", "events", EVENT_COLUMNS)
_presences = RowWriter("INSERT OR REPLACE", "agent_presence", _PRESENCE_ROW)
_KNOWN_IDS = (
    "SELECT event_id, input_hash IS NULL, ts, agent, session, source FROM events "
    "WHERE event_id IN ({})"
)
_PUT_RESOURCE = (
    "INSERT INTO features VALUES (?, ?, ?, ?, ?) ON CONFLICT (resource_type, resource_id) "
    "DO UPDATE SET status = excluded.status, payload = excluded.payload, seq = excluded.seq"
)
_ADD_HASH = "UPDATE events SET input_hash = ? WHERE event_id = ? AND input_hash IS NULL"


MAX_RESOURCES = 10_000
"""Maximum number of features, tracks and spikes; the oldest that is done leaves for a new one."""
MAX_RESOURCE_BYTES = 65_536
"""Maximum size of the merged fields of a feature, track or spike, as JSON."""


class ExternalEvent(NamedTuple):
    """A row that another process added."""

    seq: int
    agent_id: str
    event_type: str
    extra: dict[str, Any] | None


class Transaction:
    """The tables, under the write lock.

    Args:
        db: the connection, inside a transaction.
        string_ids, token_sources: the caches of the store.
        seq: seq of the newest event in the file.
        seen_seq: newest seq that this process has seen; below ``seq`` if other processes wrote.
    """

    # Whether the database may lack what this process has seen.
    is_other_history = False

    def __init__(
        self,
        db: sqlite3.Connection,
        string_ids: StringIds,
        token_sources: TokenSourceCache,
        seq: int,
        seen_seq: int,
    ) -> None:
        self._db = db
        self._string_ids = string_ids
        self.seq = seq
        self.seen_seq = seen_seq
        self._rows: list[tuple[Any, ...]] = []
        self._deduplicator = Deduplicator(db, token_sources)
        self._identities = Identities(db)
        self._scopes = EventScopes(db, DEDUP_RULES, self._known_ids, string_ids.texts)
        # Events of this transaction that are not inserted yet.
        self._pending_ids: dict[str, KnownEvent] = {}
        # Hashes that duplicates add to events: hash and id of the event.
        self._late_hashes: list[tuple[int, str]] = []

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for the functions of tables that no method here writes."""
        return self._db

    def drop_string_ids(self) -> None:
        """Read the ids of strings again, because another process deleted some."""
        self._string_ids.clear()

    def _fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        # Close the cursor: an open statement, as in a traceback, keeps the file open.
        with closing(self._db.execute(query, parameters)) as cursor:
            return cursor.fetchall()

    def identify(self, events: Sequence[Event]) -> tuple[list[Event], list[Event]]:
        """Return the events with the ids under which they are stored, and those that are new.

        Senders may use each other's ids, see ``event_scope``, and ids of answers and calls may be
        repeated, see ``identity_table``.
        """
        ids = [event.event_id for event in events if event.event_id is not None]
        seen = self._known_ids(ids)
        if seen or len(set(ids)) < len(ids):
            events = self._scopes.apply(events, seen)
        if seen and (related := related_ids(events, seen)):
            seen.update(self._known_ids(related))
        named = self._identities.identify(events, seen)
        renamed = [
            str(new.event_id)
            for old, new in zip(events, named, strict=True)
            if new is not old and new.event_id not in seen
        ]
        seen.update(self._known_ids(renamed))
        return named, self._unknown(named, seen)

    def filter_known(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that are not stored yet, each ``event_id`` once."""
        ids = [event.event_id for event in events if event.event_id is not None]
        return self._unknown(events, self._known_ids(ids))

    def _unknown(self, events: Sequence[Event], seen: dict[str, KnownEvent]) -> list[Event]:
        fresh = []
        for event in events:
            key = event.event_id
            if key is not None:
                if (known := seen.get(key)) is not None:
                    if known.lacks_hash and event.input_hash is not None:
                        seen[key] = known._replace(lacks_hash=False)
                        self._late_hashes.append((event.input_hash, key))
                    continue
                seen[key] = KnownEvent(event.input_hash is None, 0)
            fresh.append(event)
        return fresh

    def _known_ids(self, event_ids: Sequence[str]) -> dict[str, KnownEvent]:
        """Return what is known of the events that are stored already, by id."""
        pending = self._pending_ids
        known = {event_id: pending[event_id] for event_id in event_ids if event_id in pending}
        for event_id, lacks_hash, ts, *sender in select_in(self._db, _KNOWN_IDS, event_ids):
            known[event_id] = KnownEvent(bool(lacks_hash), ts, tuple(sender))
        return known

    def add_event(
        self,
        event: Event,
        at: datetime,
        decision: StatusDecision | AgentPresence,
        root: str | None = None,
    ) -> int:
        """Append one event to the history and return its seq.

        Args:
            at: the time of an event without a timestamp.
            decision: the status of the agent after the event, or the presence that holds it; its
                labels are stored where the event has none.
            root: topmost ancestor of the agent; None: the event's parent, else the agent itself.
        """
        self.seq += 1
        if event.event_id is not None:
            ts = to_micros(event.timestamp or at)
            sender = event.agent_id, event.session_id, event.source
            self._pending_ids[event.event_id] = KnownEvent(event.input_hash is None, ts, sender)
        tokens = event.cost_tokens
        if tokens is None and token_counts(event) != NO_COUNTS:
            tokens = event.total_tokens
        ids = self._string_ids.ids
        names = [*_named_fields(event)]
        if isinstance(decision, AgentPresence) and event.session_id in (None, decision.session_id):
            names[_LABELS] = [
                own or known for own, known in zip(names[_LABELS], labels_of(decision), strict=True)
            ]
        named = [None if name is None else ids.get(name) or self._intern(name) for name in names]
        plain = [*_plain_fields(event)]
        plain[_COST_TOKENS] = tokens
        status = None if event.status is None else int(event.status == "error")
        extra = None if event.extra is None else encode_json(event.extra)
        ts = to_micros(event.timestamp or at)
        key = decision_key(decision)
        decision_ids = self._string_ids.decision_ids
        decided = decision_ids.get(key) or decision_id(self._db, decision_ids, key)
        if root is not None and root != (event.parent_agent_id or event.agent_id):
            root_id = ids.get(root) or self._intern(root)
        else:
            root_id = None
        self._rows.append((self.seq, ts, *named, *plain, status, extra, decided, root_id))
        return self.seq

    def _intern(self, name: str) -> int:
        ids = self._string_ids.ids
        if len(ids) > MAX_NAMES:
            ids.clear()
        self._db.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        row = self._db.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
        string_id = ids[name] = int(row[0])
        return string_id

    def flush(self) -> None:
        """Insert the added events, and add the hashes of their duplicates."""
        if self._rows:
            self._insert(_events, self._rows)
        if self._late_hashes:
            self._db.executemany(_ADD_HASH, self._late_hashes)
        self._deduplicator.add_hashes()

    def put_presence(self, states: Iterable[AgentState]) -> None:
        """Store the states of agents."""
        self._insert(_presences, map(_presence_row, states))

    def _insert(self, writer: RowWriter, rows: Iterable[Sequence[Any]]) -> None:
        writer.write(self._db, rows)

    def delete_presence(self, agent_ids: Sequence[str]) -> None:
        """Delete agents, and record that agents were deleted at this seq."""
        rows = [(agent_id,) for agent_id in agent_ids]
        self._db.executemany("DELETE FROM agent_presence WHERE agent_id = ?", rows)
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'forgotten_seq'", (self.seq,))

    def drop_duplicates(
        self, events: Sequence[Event], at: datetime, host: str | None = None
    ) -> list[Event]:
        """Record dedup keys and return the new events; see ``Deduplicator.drop_duplicates``."""
        return self._deduplicator.drop_duplicates(events, at, host)

    def forgotten_seq(self) -> int:
        """Return the seq at which an agent was last deleted; 0: never."""
        return int(self._fetch("SELECT value FROM meta WHERE key = 'forgotten_seq'")[0][0])

    def load_presence(self, agent_ids: Sequence[str] | None = None) -> dict[str, AgentState]:
        """Return the stored states of these agents (None: all) by agent_id."""
        query = f"SELECT {', '.join(_PRESENCE_ROW)} FROM agent_presence"
        if agent_ids is None:
            rows = self._fetch(query)
        else:
            rows = select_in(self._db, f"{query} WHERE agent_id IN ({{}})", agent_ids)
        return {row[0]: _state_from_row(row) for row in rows}

    def external_events(self) -> list[ExternalEvent]:
        """Return events that other processes added since the last transaction, in order of seq."""
        rows = self._fetch(
            "SELECT e.id, a.name, t.name, CASE WHEN e.extra LIKE '%\"resource_id\"%' "
            "OR e.extra LIKE '{\"renamed_to\"%' THEN e.extra END FROM events e "
            "JOIN names a ON a.id = e.agent "
            "JOIN names t ON t.id = e.type WHERE e.id > ? ORDER BY e.id",
            (self.seen_seq,),
        )
        return [
            ExternalEvent(seq, agent, kind, None if extra is None else _extra_of(extra, seq))
            for seq, agent, kind, extra in rows
        ]

    def merged_resource(
        self, resource_type: str, resource_id: str, payload: dict[str, Any]
    ) -> tuple[str | None, dict[str, Any]]:
        """Return the stored status of a feature, track or spike, and its fields after a merge.

        Args:
            payload: fields to merge into the stored ones; None removes a field.

        Raises:
            InvalidEvent: the merged fields exceed MAX_RESOURCE_BYTES.
            CapacityError: there are MAX_RESOURCES others, and none of them is done.
        """
        row = self._db.execute(
            "SELECT status, payload FROM features WHERE resource_type = ? AND resource_id = ?",
            (resource_type, resource_id),
        ).fetchone()
        status, stored = (None, {}) if row is None else (row[0], json.loads(row[1]))
        merged = {k: v for k, v in {**stored, **payload}.items() if v is not None}
        if row is None:
            self._make_room_for_resource()
        n_bytes = len(encode_json(merged).encode())
        if n_bytes > MAX_RESOURCE_BYTES:
            raise InvalidEvent(
                f"{resource_type}: at most {MAX_RESOURCE_BYTES} bytes allowed, merged fields have "
                f"{n_bytes}; send null to remove fields"
            )
        return status, merged

    def _make_room_for_resource(self) -> None:
        (n_stored,) = self._db.execute("SELECT count(*) FROM features").fetchone()
        if n_stored < MAX_RESOURCES:
            return
        deleted = self._db.execute(
            "DELETE FROM features WHERE (resource_type, resource_id) = (SELECT resource_type, "
            "resource_id FROM features WHERE status = 'done' ORDER BY seq LIMIT 1)"
        )
        if not deleted.rowcount:
            raise CapacityError(
                f"{n_stored} features, tracks and spikes are stored, and none is done; set the "
                "status of old features to done, or delete old history with --retain",
                "too_many_resources",
            )

    def put_resource(
        self, resource_type: str, resource_id: str, status: str | None, payload: dict[str, Any]
    ) -> None:
        """Store the status and payload of a feature, track or spike at the current seq."""
        self._db.execute(
            _PUT_RESOURCE,
            (resource_type, resource_id, status, json.dumps(payload), self.seq),
        )

    def delete_history(self, before: datetime, limit: int) -> int:
        """Delete events older than ``before`` among the ``limit`` oldest rows; return how many.

        The newest row is always kept: it holds the last seq.
        """
        self._deduplicator.delete(before, limit)
        self._db.execute(
            "DELETE FROM alerts WHERE resolved_at < ? "
            "AND revision < (SELECT max(revision) FROM alerts)",
            (to_micros(before),),
        )
        deleted = self._db.execute(
            "DELETE FROM events WHERE ts < ? AND id IN (SELECT id FROM events "
            "WHERE id < (SELECT max(id) FROM events) ORDER BY id LIMIT ?)",
            (to_micros(before), limit),
        )
        # A feature, track or spike leaves with the event that changed it last.
        self._db.execute("DELETE FROM features WHERE seq < (SELECT min(id) FROM events)")
        return deleted.rowcount

    def delete_agent(self, agent_id: str, limit: int) -> int:
        """Delete an agent's alerts, and up to ``limit`` events but the newest; return how many."""
        self._db.execute("DELETE FROM alerts WHERE agent_id = ?", (agent_id,))
        deleted = self._db.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM events "
            "WHERE agent = (SELECT id FROM names WHERE name = ?) "
            "AND id < (SELECT max(id) FROM events) LIMIT ?)",
            (agent_id, limit),
        )
        return deleted.rowcount


def _extra_of(text: str, seq: int) -> dict[str, Any]:
    try:
        extra = json.loads(text)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"extra of event {seq} unreadable: {error}") from error
    return extra if isinstance(extra, dict) else {}


_presence_values = attrgetter(*PRESENCE_COLUMNS)
_TIMES = [PRESENCE_COLUMNS.index(name) for name in PRESENCE_TIMES]
_STATUS = PRESENCE_COLUMNS.index("status")


def _presence_row(state: AgentState) -> tuple[Any, ...]:
    row = [*_presence_values(state.presence), to_json(state)]
    row[_STATUS] = state.presence.status._value_
    for index in _TIMES:
        if row[index] is not None:
            row[index] = to_micros(row[index])
    return tuple(row)


def _state_from_row(row: Sequence[Any]) -> AgentState:
    try:
        return from_json(presence_from_row(row), row[-1])
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # SQLite has no page checksums: a damaged page can look like valid rows.
        raise sqlite3.DatabaseError(f"presence of {row[0]!r} unreadable: {error}") from error


def presence_from_row(row: Sequence[Any]) -> AgentPresence:
    """Return the presence of a row of ``agent_presence`` (columns as PRESENCE_COLUMNS)."""
    values = dict(zip(PRESENCE_COLUMNS, row, strict=False))
    values["status"] = PresenceStatus(values["status"])
    for name in PRESENCE_TIMES:
        if values[name] is not None:
            values[name] = from_micros(values[name])
    for name in PRESENCE_FLAGS:
        if values[name] is not None:
            values[name] = bool(values[name])
    return AgentPresence(**values)
