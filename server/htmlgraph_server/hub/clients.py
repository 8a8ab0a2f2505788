"""Dashboards as the hub sees them: the way to each, how far it is, and whose wishes it shares."""

from __future__ import annotations

from typing import Protocol

from htmlgraph_nb.core.protocol import CloseCode, Cursor, Filter


class Transport(Protocol):
    """The way to one dashboard."""

    def write(self, data: bytes) -> int:
        """Take whole frames without blocking; return how many bytes may still be unsent."""

    def pending(self) -> int:
        """Return how many bytes may still be unsent; 0 only when all are with the kernel."""

    def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket close code."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Refused(Exception):
    """A dashboard may not connect; ``code`` and the text go into its close frame."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Client:
    """One connected dashboard.

    Attributes:
        cursor: the last position up to which frames were handed over; None: nothing was.
        replay: it is given states as presence_update messages.
        unsent: how many bytes were perhaps unsent after the last write.
        lagging_since: monotonic seconds since which its unsent bytes are over the bound.
    """

    __slots__ = ("cursor", "group", "lagging_since", "replay", "session", "transport", "unsent")

    def __init__(
        self, transport: Transport, session: str | None, cursor: Cursor | None, replay: bool
    ) -> None:
        self.transport = transport
        self.session = session
        self.cursor = cursor
        self.replay = replay
        self.unsent = 0
        self.lagging_since: float | None = None
        self.group: FilterGroup | None = None


class FilterGroup:
    """Clients with equal filters, and the frames that wait for the next flush."""

    __slots__ = ("clients", "frames", "wish")

    def __init__(self, wish: Filter) -> None:
        self.wish = wish
        # Clients that get each tick; a dict keeps the order of their arrival.
        self.clients: dict[Client, None] = {}
        self.frames: list[bytes] = []
