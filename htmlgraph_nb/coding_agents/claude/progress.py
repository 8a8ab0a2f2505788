"""Subagents of Claude Code of which only their parent's session file tells.

A subagent's lines stand in a file of its own; some versions repeat them, answers with the counts of
their beginning, in ``agent_progress`` lines of the parent (seen in 2.1.38). Where the own file is
gone, those are all that is known of what the subagent did and used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.model import Event
from ..fields import identifier, mapping

Record = Mapping[str, Any]
HasOwnFile = Callable[[str], bool]
"""Whether there is a file of the subagent of this id."""
MAX_SUBAGENTS = 1_000
"""Most subagents of one file that are read so."""


class _Reader(Protocol):
    def take(self, record: Record) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


@dataclass(slots=True)
class Progress:
    """What the lines of progress of one file tell, until it is asked for.

    Args:
        has_own_file: what is said of a subagent that has one is passed over.
        reader: makes the reader of a subagent's lines in the session of this id.
    """

    has_own_file: HasOwnFile
    reader: Callable[[str], _Reader]
    _told: dict[str, tuple[_Reader, list[Event]]] = field(default_factory=dict)

    def take(self, record: Record, session: str) -> None:
        """Take in a line of progress of whatever kind."""
        data = mapping(record.get("data"))
        child, said = identifier(data.get("agentId")), mapping(data.get("message"))
        if data.get("type") != "agent_progress" or child is None:
            return
        if child not in self._told:
            if len(self._told) >= MAX_SUBAGENTS or self.has_own_file(child):
                return
            self._told[child] = self.reader(session), []
        reader, events = self._told[child]
        about = {"sessionId": session, "agentId": child, "isSidechain": True}
        shared = {name: record.get(name) for name in ("cwd", "version")}
        events += reader.take({**shared, **said, **about})

    def tell(self) -> list[Event]:
        """Return what the subagents did that have no file of their own, each thing once."""
        found = []
        for child, (reader, events) in self._told.items():
            events.extend(reader.finish())
            if not self.has_own_file(child):
                found += events
            events.clear()
        return found
