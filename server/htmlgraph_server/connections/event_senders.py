"""The open WebSockets that send events, and how they end with the server."""

from __future__ import annotations

from typing import Protocol


class EventSocket(Protocol):
    """One WebSocket that sends events."""

    def go_away(self) -> None:
        """Close it with code 1001, after the response to the message that is being handled."""


class EventSockets:
    """All of them."""

    def __init__(self) -> None:
        self._open: set[EventSocket] = set()
        self._is_closed = False

    def add(self, sender: EventSocket) -> None:
        """Add one that was opened; at the end of the server it is closed at once."""
        self._open.add(sender)
        if self._is_closed:
            sender.go_away()

    def remove(self, sender: EventSocket) -> None:
        """Remove one that has ended."""
        self._open.discard(sender)

    def close(self) -> None:
        """Close all with code 1001."""
        self._is_closed = True
        for sender in list(self._open):
            sender.go_away()
