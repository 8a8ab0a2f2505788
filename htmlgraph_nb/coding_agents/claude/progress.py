"""Subagents of Claude Code that only their parent's session file mentions.

A subagent has a file of its own. Some versions repeat its lines in ``agent_progress`` lines of the
parent, completions with the counts of their first line (seen in 2.1.38). If the subagent's file was
deleted, these are the only record of its work and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.model import Event
from ..fields import identifier, mapping

HasOwnFile = Callable[[str], bool]
"""Returns whether the subagent with this id has a session file."""
MAX_SUBAGENTS = 1_000
"""Maximum number of such subagents of a file; further subagents are ignored."""


class _RecordReader(Protocol):
    def read_record(self, record: Mapping[str, Any]) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


@dataclass(slots=True)
class Progress:
    """The progress lines of one file.

    Args:
        has_own_file: progress lines of a subagent for which it returns True are ignored.
        new_reader: returns a reader for a subagent's lines in the session with this id.
    """

    has_own_file: HasOwnFile
    new_reader: Callable[[str], _RecordReader]
    _subagents: dict[str, tuple[_RecordReader, list[Event]]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], session: str) -> None:
        """Add a progress line; lines that do not belong to a subagent are ignored."""
        data = mapping(record.get("data"))
        child, message = identifier(data.get("agentId")), mapping(data.get("message"))
        if data.get("type") != "agent_progress" or child is None:
            return
        if child not in self._subagents:
            if len(self._subagents) >= MAX_SUBAGENTS or self.has_own_file(child):
                return
            self._subagents[child] = self.new_reader(session), []
        reader, events = self._subagents[child]
        own = {"sessionId": session, "agentId": child, "isSidechain": True}
        shared = {name: record.get(name) for name in ("cwd", "version")}
        events += reader.read_record({**shared, **message, **own})

    def finish(self) -> list[Event]:
        """Return the events since the last call of all subagents without a file of their own."""
        result = []
        for child, (reader, events) in self._subagents.items():
            events.extend(reader.finish())
            if not self.has_own_file(child):
                result += events
            events.clear()
        return result
