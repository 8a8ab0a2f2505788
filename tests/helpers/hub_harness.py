"""A hub on a bench: a clock that is turned by hand, and dashboards that read when they are told."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.protocol import Cursor, Filter, decode
from htmlgraph_nb.core.roster import Change, Roster
from htmlgraph_server.config import HubLimits
from htmlgraph_server.hub.clients import Client
from htmlgraph_server.hub.hub import Hub
from htmlgraph_server.hub.published_state import PublishedState
from tests.helpers.strategies import T0

EPOCH = "0123456789abcdef"


class FakeLoop:
    """The clock and the event loop of a hub."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._calls: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()

    @property
    def n_calls(self) -> int:
        """How many calls are due some time."""
        return len(self._calls)

    def call_later(self, delay: float, callback: Callable[[], Any]) -> None:
        """Call back once ``advance`` has come that far."""
        heapq.heappush(self._calls, (self.now + delay, next(self._order), callback))

    def advance(self, seconds: float) -> None:
        """Let the time pass and make the calls that fall due, each at its time."""
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            due, _, callback = heapq.heappop(self._calls)
            self.now = max(self.now, due)
            callback()
        self.now = end


class FakeDashboard:
    """A transport, and at its far end a client that folds what it reads into a Mirror.

    Attributes:
        reading: it reads everything at once; else what is written stays unsent.
        writes: each bytes object that the hub handed over.
        messages: the messages that were read, in order.
        peak: most bytes that were ever unsent.
    """

    def __init__(self, reading: bool = True) -> None:
        self.reading = reading
        self.writes: list[bytes] = []
        self.unsent = bytearray()
        self.peak = 0
        self.messages: list[dict[str, Any]] = []
        self.mirror = Mirror()
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.on_write: Callable[[], Any] | None = None
        self._received = bytearray()

    def write(self, data: bytes) -> int:
        """See clients.Transport."""
        self.writes.append(data)
        self.unsent += data
        if self.reading:
            self.read()
        self.peak = max(self.peak, len(self.unsent))
        if self.on_write is not None:
            self.on_write()
        return len(self.unsent)

    def pending(self) -> int:
        """See clients.Transport."""
        return len(self.unsent)

    def close(self, code: int, reason: str) -> None:
        """See clients.Transport."""
        self.closed = (code, reason)

    def abort(self) -> None:
        """See clients.Transport."""
        self.aborted = True
        self.unsent.clear()

    def read(self, n_bytes: int | None = None) -> None:
        """Read so many bytes (None: all), and fold the frames that are complete by then."""
        n_bytes = len(self.unsent) if n_bytes is None else n_bytes
        self._received += self.unsent[:n_bytes]
        del self.unsent[:n_bytes]
        while (frame := _take_frame(self._received)) is not None:
            message = decode(frame)
            self.messages.append(message)
            self.mirror.apply(message)

    def types(self) -> list[str]:
        """Return the types of the messages that were read."""
        return [message["type"] for message in self.messages]


def _take_frame(received: bytearray) -> str | None:
    """Cut the first unmasked text frame off (RFC 6455 section 5.2); None: it is not complete."""
    if len(received) < 2:
        return None
    assert received[0] == 0x81
    head = {126: 4, 127: 10}.get(received[1], 2)
    if len(received) < head:
        return None
    size = received[1] if head == 2 else int.from_bytes(received[2:head], "big")
    if len(received) < head + size:
        return None
    text = received[head : head + size].decode()
    del received[: head + size]
    return text


class HubHarness:
    """A hub, the roster whose changes it publishes, and the clock of both.

    Args:
        limits: fields of HubLimits.
        start: agents that are known before the hub begins.
    """

    def __init__(self, start: Sequence[str] = (), **limits: Any) -> None:
        self.timer = FakeLoop()
        self.limits = HubLimits(**limits)
        self.roster = Roster()
        self.seq = 0
        for agent_id in start:
            self.stage(Event(agent_id=agent_id, event_type="prompt"))
        self.roster.commit()
        self.hub = self.new_hub()

    @property
    def now(self) -> Any:
        """The present time, UTC."""
        return T0 + timedelta(seconds=self.timer.now)

    @property
    def presences(self) -> dict[str, AgentPresence]:
        """What a dashboard without filter must end with."""
        return {agent_id: state.presence for agent_id, state in self.roster.agents.items()}

    def wanted(self, wish: Filter) -> dict[str, AgentPresence]:
        """Return what a dashboard with this filter must end with."""
        return {name: one for name, one in self.presences.items() if wish.matches(one)}

    def new_hub(self, forgotten_seq: int = 0) -> Hub:
        """Return a hub that begins with the roster as it is."""
        board = PublishedState(Cursor(EPOCH, self.seq), self.presences.values(), forgotten_seq)
        monotonic, now = (lambda: self.timer.now), (lambda: self.now)
        return Hub(board, self.limits, self.timer, monotonic=monotonic, now=now)

    def stage(self, event: Event) -> Change:
        """Number and apply one event."""
        self.seq += 1
        return self.roster.apply(event, self.seq, self.now)

    def publish(self, *events: Event) -> None:
        """Make one transaction of these events and hand it to the hub."""
        changes = [self.stage(event) for event in events]
        self.roster.commit()
        self.hub.publish(ChangeBatch(changes, self.timer.now))

    def report(self, *agent_ids: str, event_type: str = "tool_execute", **fields: Any) -> None:
        """Let each of these agents report one event, all in one transaction."""
        self.publish(*(Event(agent_id=name, event_type=event_type, **fields) for name in agent_ids))

    def join(
        self, dashboard: FakeDashboard | None = None, **how: Any
    ) -> tuple[FakeDashboard, Client]:
        """Connect a dashboard (None: a new one that reads) and return it with its client."""
        dashboard = dashboard or FakeDashboard()
        return dashboard, self.hub.join(dashboard, **how)
