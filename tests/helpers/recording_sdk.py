"""An SDK handle that keeps what it is told, for tests of what reports through one."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.sdk import SDK


class RecordingSDK(SDK):
    """Keeps its events; the test fails where one is no event."""

    def __init__(self) -> None:
        super().__init__("own")
        self.events: list[Event] = []

    def report(self, event_type: str, **fields: Any) -> None:
        """Keep one event."""
        queued = self._queued_event({"event_type": event_type, **fields})
        assert queued is not None, fields
        self.events.append(queued.event)

    def kinds(self, agent_id: str | None = None) -> list[str]:
        """Return the types of the events, in order, of one agent or of all."""
        return [one.event_type for one in self.events if agent_id in (None, one.agent_id)]

    def of(self, *event_types: str) -> list[Event]:
        """Return the events of these types."""
        return [one for one in self.events if one.event_type in event_types]

    def tokens(self) -> int:
        """Return the tokens of all events, each event_id once."""
        once = {one.event_id: one for one in self.events}
        return sum(one.total_tokens for one in once.values())
