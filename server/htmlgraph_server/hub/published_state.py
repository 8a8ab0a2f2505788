"""The published state: what dashboards have been told, and what a resuming one must be told.

It is written by changes only, knows when each agent last changed, and keeps each presence as the
JSON text that goes out, so that a thousand dashboards that connect share one encoding. It knows no
socket and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from htmlgraph_nb.core.model import AgentPresence
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

MAX_REMOVED = 10_000
"""Most forgotten agents that are remembered for resuming dashboards."""


class Entry(NamedTuple):
    """One agent as published: its presence, that as JSON text, and its id as JSON text."""

    presence: AgentPresence
    text: str
    name: str


class PublishedState:
    """All agents as published.

    Args:
        cursor: the position at which the board starts.
        agents: the agents at that position.
        forgotten_seq: when an agent was last forgotten before; a cursor older than that gets the
            full state, because nobody knows any more who it was.
    """

    def __init__(
        self, cursor: Cursor, agents: Iterable[AgentPresence], forgotten_seq: int = 0
    ) -> None:
        self.cursor = cursor
        self.entries: dict[str, Entry] = {}
        # agent_id → seq at which it was forgotten, oldest first.
        self.removed: dict[str, int] = {}
        self._removed_floor = forgotten_seq
        self._full_text: tuple[int, list[str]] | None = None
        for presence in agents:
            self.put(presence)

    def put(self, presence: AgentPresence) -> Entry:
        """Take in an agent's new state and return its entry."""
        known = self.entries.get(presence.agent_id)
        name = known.name if known else encode_json(presence.agent_id)
        entry = Entry(presence, presence_json(presence), name)
        self.entries[presence.agent_id] = entry
        self.removed.pop(presence.agent_id, None)
        return entry

    def remove(self, agent_id: str, seq: int) -> Entry | None:
        """Forget an agent at ``seq`` and return the entry that it had."""
        self.removed.pop(agent_id, None)
        self.removed[agent_id] = seq
        while len(self.removed) > MAX_REMOVED:
            oldest = next(iter(self.removed))
            self._removed_floor = self.removed.pop(oldest)
        return self.entries.pop(agent_id, None)

    def advance(self, seq: int) -> None:
        """Move the position to ``seq``."""
        self.cursor = Cursor(self.cursor.epoch, seq)

    def state(self, since: Cursor | None, wish: Filter, at: datetime) -> list[str]:
        """Return the presence_state messages that bring a dashboard from ``since`` to now.

        Args:
            since: None, another epoch's or one that is not known here: the full state.
            wish: agents outside of it that changed are named as removed.
            at: time of the messages.
        """
        if since is None or not self._can_resume(since):
            return self._full(wish, at)
        agents, removed = [], [name for name, seq in self.removed.items() if seq > since.seq]
        for agent_id, entry in self.entries.items():
            if entry.presence.seq > since.seq:
                if wish.wants(entry.presence):
                    agents.append(entry.text)
                else:
                    removed.append(agent_id)
        return presence_state(self.cursor, agents, removed, full=False, at=at)

    def _can_resume(self, since: Cursor) -> bool:
        # A cursor ahead of the store: its last commits were lost with the machine.
        return (
            since.epoch == self.cursor.epoch and self._removed_floor <= since.seq <= self.cursor.seq
        )

    def _full(self, wish: Filter, at: datetime) -> list[str]:
        shared = wish == MATCH_ALL
        if shared and self._full_text is not None and self._full_text[0] == self.cursor.seq:
            return self._full_text[1]
        agents = [entry.text for entry in self.entries.values() if wish.wants(entry.presence)]
        texts = presence_state(self.cursor, agents, (), full=True, at=at)
        if shared:
            self._full_text = (self.cursor.seq, texts)
        return texts

    def updates(self, since: Cursor | None, wish: Filter, at: datetime) -> list[str]:
        """Return the same as ``state``, as presence_update messages in the order of their seq.

        Who was forgotten since is told by presence_removed, as far as that is known.
        """
        after = since.seq if since is not None and self._can_resume(since) else None
        written = to_rfc3339(at)
        texts = [
            (seq, presence_removed(agent_id, seq, at))
            for agent_id, seq in self.removed.items()
            if after is not None and seq > after
        ]
        for entry in self.entries.values():
            seq = entry.presence.seq
            if (after is None or seq > after) and wish.wants(entry.presence):
                texts.append((seq, presence_update(entry.text, entry.name, seq, written)))
        return [text for _, text in sorted(texts, key=itemgetter(0))]
