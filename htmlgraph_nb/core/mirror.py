"""A client's copy of the presence: a snapshot, then numbered changes; it knows no socket.

The order of the stream is the server's: a message whose seq is not above the copy's own is a
repetition and changes nothing, except a presence_state, whose agents carry their own numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidEvent, WireError
from .model import AgentPresence
from .protocol import Cursor
from .validation import format_value


class Mirror:
    """Holds the agents as one server knows them.

    Attributes:
        agents: agent_id → presence.
        epoch: the store's id; None before the first presence_state.
        seq: the last change that is in the copy; it moves only when a state is complete.
    """

    def __init__(self) -> None:
        self.agents: dict[str, AgentPresence] = {}
        self.epoch: str | None = None
        self.seq = 0
        # Agents named so far by the parts of a full state whose last part is still to come.
        self._seen_in_snapshot: set[str] | None = None

    @property
    def cursor(self) -> Cursor | None:
        """Where to resume; None before the first presence_state."""
        return None if self.epoch is None else Cursor(self.epoch, self.seq)

    def apply(self, message: Mapping[str, Any]) -> set[str]:
        """Take in one message and return the ids of the agents that it changed.

        Messages of other types change nothing.

        Raises:
            WireError: a presence message whose fields are missing or of a wrong type.
        """
        kind = message.get("type")
        try:
            if kind == "presence_update":
                return self._update(message)
            if kind == "presence_state":
                return self._state(message)
            if kind == "presence_removed":
                return self._removed(message)
        except (KeyError, TypeError, AttributeError, InvalidEvent) as error:
            raise WireError(f"invalid {kind} message: {error!r}") from error
        return set()

    def _newer(self, seq: int) -> bool:
        if self.epoch is not None and seq <= self.seq:
            return False
        self.seq = seq
        return True

    def _update(self, message: Mapping[str, Any]) -> set[str]:
        presence = AgentPresence.from_dict(message["presence"])
        seq = _seq(message) if "seq" in message else presence.seq
        if not self._newer(seq):
            return set()
        self.agents[presence.agent_id] = presence
        return {presence.agent_id}

    def _removed(self, message: Mapping[str, Any]) -> set[str]:
        agent_id, seq = message["agent_id"], _seq(message)
        known = agent_id in self.agents
        if not self._newer(seq) or not known:
            return set()
        del self.agents[agent_id]
        return {agent_id}

    def _state(self, message: Mapping[str, Any]) -> set[str]:
        # All is read before anything changes: a message that cannot be read leaves no half.
        seq, full, epoch = _seq(message), bool(message["full"]), str(message["epoch"])
        rows = [AgentPresence.from_dict(row) for row in message["agents"]]
        gone = set(message.get("removed", ()))
        part, parts = message.get("part", 1), message.get("parts", 1)
        changed: set[str] = set()
        if epoch != self.epoch:
            changed |= self._forget_all()
            self.epoch, self.seq = epoch, 0
        elif not full and seq <= self.seq:
            # A repetition: the copy is past it, and its removals may no longer hold.
            return changed
        if part == 1:
            self._seen_in_snapshot = set() if full else None
        for presence in rows:
            known = self.agents.get(presence.agent_id)
            if known is None or known.seq < presence.seq or (full and known != presence):
                self.agents[presence.agent_id] = presence
                changed.add(presence.agent_id)
        if self._seen_in_snapshot is not None:
            self._seen_in_snapshot.update(presence.agent_id for presence in rows)
        if part == parts:
            changed |= self._complete(seq, gone)
        return changed

    def _complete(self, seq: int, gone: set[str]) -> set[str]:
        if self._seen_in_snapshot is not None:
            # A full state is the whole truth, also where it is older than the copy: a store that
            # lost its last commits with its machine goes on from an earlier seq.
            gone |= self.agents.keys() - self._seen_in_snapshot
        self._seen_in_snapshot = None
        self.seq = seq
        return {agent_id for agent_id in gone if self.agents.pop(agent_id, None) is not None}

    def _forget_all(self) -> set[str]:
        gone = set(self.agents)
        self.agents.clear()
        self._seen_in_snapshot = None
        return gone


def _seq(message: Mapping[str, Any]) -> int:
    seq = message["seq"]
    if type(seq) is not int:
        raise TypeError(f"seq: expected an integer, got {format_value(seq)}")
    return seq
