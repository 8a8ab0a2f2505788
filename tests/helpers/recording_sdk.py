"""An SDK handle that records the reported events instead of sending them."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.sdk import SDK


class RecordingSDK(SDK):
    """Records events; the test fails if one is invalid."""

    def __init__(self) -> None:
        super().__init__("own")
        self.events: list[Event] = []

    def report(self, event_type: str, **fields: Any) -> None:
        """Record one event."""
        queued = self._queued_event({"event_type": event_type, **fields})
        assert queued is not None, fields
        self.events.append(queued.event)

    def kinds(self, agent_id: str | None = None) -> list[str]:
        """Return the event types in order, of one agent or (None) of all."""
        return [event.event_type for event in self.events if agent_id in (None, event.agent_id)]

    def of(self, *event_types: str) -> list[Event]:
        """Return the events of these types."""
        return [event for event in self.events if event.event_type in event_types]

    def tokens(self) -> int:
        """Return the tokens of all events; each ``event_id`` counts once."""
        once = {event.event_id: event for event in self.events}
        return sum(event.total_tokens for event in once.values())
