"""Writes which agents wait for a person to a file that ``htmlgraph-statusline`` reads."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.paths import write_private_json
from htmlgraph_nb.presence import PresenceManager

MAX_WAITING = 100
"""Most agents in the file."""


class WaitingFile:
    """The file with the waiting agents, those that wait longest first.

    It holds ``{"pid": …, "agents": [{"agent_id", "session_id", "title"}, …]}``. Readers ignore it
    if no process has that id.

    Args:
        manager: the open database.
        path: the file.
    """

    def __init__(self, manager: PresenceManager, path: str) -> None:
        self._manager = manager
        self._path = path
        self._seq = -1
        self._written: list[dict[str, Any]] | None = None

    def update(self) -> None:
        """Write the file if the set of waiting agents has changed.

        Raises:
            OSError: the file cannot be written; the next call tries again.
        """
        seq = self._manager.cursor.seq
        if seq == self._seq:
            return
        agents = [_entry(presence) for presence in self._waiting()]
        if agents != self._written:
            # Titles may come from a conversation, so only this user may read them.
            write_private_json(self._path, {"pid": os.getpid(), "agents": agents})
        self._seq, self._written = seq, agents

    def remove(self) -> None:
        """Remove the file if this process wrote it."""
        if self._written is not None:
            self._seq, self._written = -1, None
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _waiting(self) -> list[AgentPresence]:
        waiting = [each for each in self._manager.snapshot().values() if each.attention]
        waiting.sort(key=lambda each: (each.since or each.last_activity, each.agent_id))
        return waiting[:MAX_WAITING]


def _entry(presence: AgentPresence) -> dict[str, Any]:
    entry = {
        "agent_id": presence.agent_id,
        "session_id": presence.session_id,
        "title": presence.title,
    }
    return {name: value for name, value in entry.items() if value}
