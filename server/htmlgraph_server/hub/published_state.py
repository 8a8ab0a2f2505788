"""All agents as last published, and the messages that bring a client up to date.

Only changes modify it. It keeps each presence as the JSON text that goes out, so that a thousand
clients that connect share one encoding. It uses neither sockets nor a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.protocol import (
    MATCH_ALL,
    Cursor,
    Filter,
    encode_json,
    presence_json,
    presence_removed,
    presence_state,
    presence_update,
)
from htmlgraph_nb.core.timestamps import to_rfc3339

MAX_TOMBSTONES = 10_000
"""Maximum number of removed agents kept for clients that resume."""


class PublishedAgent:
    """One agent as published: its presence, and presence and id as JSON text."""

    __slots__ = ("_all_fields_json", "id_json", "presence", "presence_json")

    def __init__(self, presence: AgentPresence, presence_json: str, id_json: str) -> None:
        self.presence = presence
        self.presence_json = presence_json
        self.id_json = id_json
        self._all_fields_json: str | None = None

    @property
    def all_fields_json(self) -> str:
        """The presence as JSON text with the fields that are null, as ``GET /api/presence`` has it.

        It is encoded once, when it is first asked for.
        """
        if self._all_fields_json is None:
            self._all_fields_json = encode_json(self.presence.to_dict())
        return self._all_fields_json


class PublishedState:
    """All agents as published.

    Args:
        cursor: the starting position.
        agents: the agents at that position.
        forgotten_seq: seq of the last removal before the start. An older cursor gets the full
            state, because the removals it missed are unknown.
    """

    def __init__(
        self, cursor: Cursor, agents: Iterable[AgentPresence], forgotten_seq: int = 0
    ) -> None:
        self.cursor = cursor
        self.agents: dict[str, PublishedAgent] = {}
        # Tombstones: agent_id → seq of its removal, oldest first.
        self.removed: dict[str, int] = {}
        self.by_status = Counter(dict.fromkeys(PresenceStatus, 0))
        self._oldest_resumable_seq = forgotten_seq
        self._full_state: tuple[int, list[str]] | None = None
        for presence in agents:
            self.put(presence)

    def put(self, presence: AgentPresence) -> PublishedAgent:
        """Store an agent's new presence and return its entry."""
        existing = self.agents.get(presence.agent_id)
        id_json = existing.id_json if existing else encode_json(presence.agent_id)
        if existing is None:
            self.by_status[presence.status] += 1
        elif existing.presence.status is not presence.status:
            self.by_status[existing.presence.status] -= 1
            self.by_status[presence.status] += 1
        entry = PublishedAgent(presence, presence_json(presence), id_json)
        self.agents[presence.agent_id] = entry
        self.removed.pop(presence.agent_id, None)
        return entry

    def remove(self, agent_id: str, seq: int) -> PublishedAgent | None:
        """Remove an agent at ``seq`` and return its last entry."""
        self.removed.pop(agent_id, None)
        self.removed[agent_id] = seq
        while len(self.removed) > MAX_TOMBSTONES:
            oldest = next(iter(self.removed))
            self._oldest_resumable_seq = self.removed.pop(oldest)
        entry = self.agents.pop(agent_id, None)
        if entry is not None:
            self.by_status[entry.presence.status] -= 1
        return entry

    def advance(self, seq: int) -> None:
        """Move the position to ``seq``."""
        self.cursor = Cursor(self.cursor.epoch, seq)

    def state_messages(self, since: Cursor | None, filter_: Filter, at: datetime) -> list[str]:
        """Return the presence_state messages that bring a client from ``since`` to now.

        Args:
            since: the client's position. None, another epoch or an unknown position: the full
                state.
            filter_: changed agents outside of it are listed as removed.
            at: timestamp of the messages.
        """
        if since is None or not self._can_resume(since):
            return self._full_messages(filter_, at)
        agents, removed = [], [name for name, seq in self.removed.items() if seq > since.seq]
        for agent_id, entry in self.agents.items():
            if entry.presence.seq > since.seq:
                if filter_.matches(entry.presence):
                    agents.append(entry.presence_json)
                else:
                    removed.append(agent_id)
        return presence_state(self.cursor, agents, removed, full=False, at=at)

    def _can_resume(self, since: Cursor) -> bool:
        # A cursor can be ahead of the store if a crash lost the last commits.
        return (
            since.epoch == self.cursor.epoch
            and self._oldest_resumable_seq <= since.seq <= self.cursor.seq
        )

    def _full_messages(self, filter_: Filter, at: datetime) -> list[str]:
        shared = filter_ == MATCH_ALL
        if shared and self._full_state is not None and self._full_state[0] == self.cursor.seq:
            return self._full_state[1]
        agents = [
            entry.presence_json
            for entry in self._candidates(filter_)
            if filter_.matches(entry.presence)
        ]
        messages = presence_state(self.cursor, agents, (), full=True, at=at)
        if shared:
            self._full_state = (self.cursor.seq, messages)
        return messages

    def _candidates(self, filter_: Filter) -> Iterable[PublishedAgent]:
        """Return all agents that a filter may select."""
        if not filter_.agents:
            return self.agents.values()
        found = (self.agents.get(agent_id) for agent_id in sorted(filter_.agents))
        return [entry for entry in found if entry is not None]

    def update_messages(self, since: Cursor | None, filter_: Filter, at: datetime) -> list[str]:
        """Return the same state as presence_update messages, ordered by seq.

        Agents removed since then follow as presence_removed messages, as far as they are known.
        """
        after = since.seq if since is not None and self._can_resume(since) else None
        timestamp = to_rfc3339(at)
        messages = [
            (seq, presence_removed(agent_id, seq, at))
            for agent_id, seq in self.removed.items()
            if after is not None and seq > after
        ]
        for entry in self.agents.values():
            seq = entry.presence.seq
            if (after is None or seq > after) and filter_.matches(entry.presence):
                update = presence_update(entry.presence_json, entry.id_json, seq, timestamp)
                messages.append((seq, update))
        return [message for _, message in sorted(messages, key=itemgetter(0))]
