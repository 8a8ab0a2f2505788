"""Subagents of Claude Code of which only their parent's session file tells.

A subagent's lines stand in a file of its own; some versions repeat them, answers with the counts of
their beginning, in ``agent_progress`` lines of the parent (seen in 2.1.38). Where the own file is
gone, those are all that is known of what the subagent did and used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..model import Event
from .fields import identifier, mapping

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
        has_own_file: None: no line of progress is read.
        reader: makes the reader of a subagent's lines in the session of this id.
    """

    has_own_file: HasOwnFile | None
    reader: Callable[[str], _Reader]
    _readers: dict[str, _Reader] = field(default_factory=dict)
    _events: dict[str, list[Event]] = field(default_factory=dict)

    def take(self, record: Record, session: str) -> None:
        """Take in a line of progress of whatever kind."""
        data = mapping(record.get("data"))
        child, said = identifier(data.get("agentId")), mapping(data.get("message"))
        if self.has_own_file is None or data.get("type") != "agent_progress" or child is None:
            return
        if self.has_own_file(child):
            return
        reader = self._readers.get(child)
        if reader is None:
            if len(self._readers) >= MAX_SUBAGENTS:
                return
            reader = self._readers[child] = self.reader(session)
        about = {"sessionId": session, "agentId": child, "isSidechain": True}
        shared = {name: record.get(name) for name in ("cwd", "version")}
        self._events.setdefault(child, []).extend(reader.take({**shared, **said, **about}))

    def tell(self) -> list[Event]:
        """Return what the subagents did that have no file of their own, each thing once."""
        found = []
        for child, reader in self._readers.items():
            events = [*self._events.pop(child, ()), *reader.finish()]
            if self.has_own_file is not None and not self.has_own_file(child):
                found += events
        return found
