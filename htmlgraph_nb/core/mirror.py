"""A client's copy of the presence: a snapshot, then numbered changes. No I/O.

A message whose seq is not above that of the copy is a duplicate and changes nothing, except for
presence_state, whose agents have a seq of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidEvent, WireError
from .model import AgentPresence
from .protocol import Cursor
from .validation import format_value


class Mirror:
    """The agents of one server.

    Attributes:
        agents: agent_id → presence.
        epoch: id of the store; None before the first presence_state.
        seq: seq of the last applied change; a state counts once it is complete.
    """

    def __init__(self) -> None:
        self.agents: dict[str, AgentPresence] = {}
        self.epoch: str | None = None
        self.seq = 0
        # Agents in the received parts of an incomplete full state.
        self._seen_in_snapshot: set[str] | None = None

    @property
    def cursor(self) -> Cursor | None:
        """Position from which to resume; None before the first presence_state."""
        return None if self.epoch is None else Cursor(self.epoch, self.seq)

    def apply(self, message: Mapping[str, Any]) -> set[str]:
        """Apply one message and return the ids of the changed agents.

        Messages of other types are ignored.

        Raises:
            WireError: a field of a presence message is missing or invalid.
        """
        message_type = message.get("type")
        try:
            if message_type == "presence_update":
                return self._update(message)
            if message_type == "presence_state":
                return self._state(message)
            if message_type == "presence_removed":
                return self._removed(message)
        except (KeyError, TypeError, AttributeError, InvalidEvent) as error:
            raise WireError(f"invalid {message_type} message: {error!r}") from error
        return set()

    def _advance(self, seq: int) -> bool:
        if self.epoch is not None and seq <= self.seq:
            return False
        self.seq = seq
        return True

    def _update(self, message: Mapping[str, Any]) -> set[str]:
        presence = AgentPresence.from_dict(message["presence"])
        seq = _seq(message) if "seq" in message else presence.seq
        if not self._advance(seq):
            return set()
        self.agents[presence.agent_id] = presence
        return {presence.agent_id}

    def _removed(self, message: Mapping[str, Any]) -> set[str]:
        agent_id, seq = message["agent_id"], _seq(message)
        existing = agent_id in self.agents
        if not self._advance(seq) or not existing:
            return set()
        del self.agents[agent_id]
        return {agent_id}

    def _state(self, message: Mapping[str, Any]) -> set[str]:
        # Parse everything first, so that an invalid message changes nothing.
        seq, full, epoch = _seq(message), bool(message["full"]), str(message["epoch"])
        presences = [AgentPresence.from_dict(row) for row in message["agents"]]
        removed_ids = set(message.get("removed", ()))
        part, parts = message.get("part", 1), message.get("parts", 1)
        changed: set[str] = set()
        if epoch != self.epoch:
            changed |= self._clear()
            self.epoch, self.seq = epoch, 0
        elif not full and seq <= self.seq:
            # A duplicate: the copy is ahead of it, and its removals may be outdated.
            return changed
        if part == 1:
            self._seen_in_snapshot = set() if full else None
        for presence in presences:
            existing = self.agents.get(presence.agent_id)
            if existing is None or existing.seq < presence.seq or (full and existing != presence):
                self.agents[presence.agent_id] = presence
                changed.add(presence.agent_id)
        if self._seen_in_snapshot is not None:
            self._seen_in_snapshot.update(presence.agent_id for presence in presences)
        if part == parts:
            changed |= self._complete(seq, removed_ids)
        return changed

    def _complete(self, seq: int, removed_ids: set[str]) -> set[str]:
        if self._seen_in_snapshot is not None:
            # A full state replaces everything, even if it is older than the copy: a store that lost
            # its last commits in a power failure continues from an earlier seq.
            removed_ids |= self.agents.keys() - self._seen_in_snapshot
        self._seen_in_snapshot = None
        self.seq = seq
        return {agent_id for agent_id in removed_ids if self.agents.pop(agent_id, None) is not None}

    def _clear(self) -> set[str]:
        removed_ids = set(self.agents)
        self.agents.clear()
        self._seen_in_snapshot = None
        return removed_ids


def _seq(message: Mapping[str, Any]) -> int:
    seq = message["seq"]
    if type(seq) is not int:
        raise TypeError(f"seq: expected an integer, got {format_value(seq)}")
    return seq
