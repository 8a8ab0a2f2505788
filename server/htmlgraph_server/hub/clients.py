"""Connected clients of the hub: transport, cursor and filter group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from htmlgraph_nb.core.protocol import Cursor, Filter


class Scheduler(Protocol):
    """The part of an event loop that the hub uses; asyncio's loops fit."""

    def call_later(self, delay: float, callback: Callable[[], Any]) -> Any:
        """Call back after ``delay`` seconds."""


class Transport(Protocol):
    """The connection to one client.

    An exception of any method means that the connection failed; the hub then removes the client.
    """

    def write(self, data: bytes) -> int:
        """Take whole frames without blocking; return the number of bytes that may be unsent."""

    def pending(self) -> int:
        """Return the number of bytes that may be unsent; 0 once the kernel has all of them."""

    def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket close code."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Client:
    """One connected dashboard or other client.

    Attributes:
        cursor: position of the last frame handed to the transport; None before the first.
        legacy_state: send states as presence_update messages.
        info_version: version of the last server_info message handed to the transport.
        alerts: whether it gets alerts.
        unsent: number of bytes that may have been unsent after the last write.
        slow_since: when the unsent bytes passed the limit, in monotonic seconds; None: they did
            not.
    """

    __slots__ = (
        "alerts",
        "cursor",
        "group",
        "info_version",
        "legacy_state",
        "session",
        "slow_since",
        "transport",
        "unsent",
    )

    def __init__(
        self,
        transport: Transport,
        session: str | None,
        cursor: Cursor | None,
        legacy_state: bool,
        alerts: bool = True,
    ) -> None:
        self.transport = transport
        self.session = session
        self.cursor = cursor
        self.legacy_state = legacy_state
        self.alerts = alerts
        self.info_version = 0
        self.unsent = 0
        self.slow_since: float | None = None
        self.group: FilterGroup | None = None


class FilterGroup:
    """Clients with equal filters, and the frames queued for the next flush.

    Attributes:
        clients: those that get every flush; a dict used as an ordered set.
        n_members: number of all clients, with those that wait for a state.
    """

    __slots__ = ("clients", "filter", "frames", "n_members")

    def __init__(self, filter_: Filter) -> None:
        self.filter = filter_
        self.clients: dict[Client, None] = {}
        self.n_members = 0
        self.frames: list[bytes] = []
