"""A hub with a manual clock, and dashboards that read on command."""

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
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.core.status_rules import Change
from htmlgraph_server.connections.hub_limits import HubLimits
from htmlgraph_server.hub.clients import Client
from htmlgraph_server.hub.hub import Hub
from htmlgraph_server.hub.published_state import PublishedState
from tests.helpers.strategies import T0

EPOCH = "0123456789abcdef"


class FakeLoop:
    """The clock and the event loop of a hub."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self._calls: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()

    @property
    def n_calls(self) -> int:
        """Number of scheduled calls."""
        return len(self._calls)

    def call_later(self, delay: float, callback: Callable[[], Any]) -> None:
        """Schedule a call for ``advance``."""
        heapq.heappush(self._calls, (self.now + delay, next(self._order), callback))

    def advance(self, seconds: float) -> None:
        """Advance the clock and run the calls that become due, each at its time."""
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            due, _, callback = heapq.heappop(self._calls)
            self.now = max(self.now, due)
            callback()
        self.now = end


class FakeDashboard:
    """A transport whose other end applies what it reads to a Mirror.

    Attributes:
        reading: whether it reads everything at once; otherwise written bytes stay unsent.
        mirror: the client's copy; pass one to continue from an earlier connection.
        writes: each bytes object that the hub wrote.
        messages: the messages read, in order.
        peak: maximum number of unsent bytes.
        calls_until_reset: number of calls of the hub after which the connection is reset, and each
            further call fails; None: it is not.
        in_part: whether the call that finds the reset has sent a part of its bytes.
    """

    def __init__(self, reading: bool = True, mirror: Mirror | None = None) -> None:
        self.reading = reading
        self.mirror = mirror or Mirror()
        self.writes: list[bytes] = []
        self.unsent = bytearray()
        self.peak = 0
        self.messages: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.on_write: Callable[[], Any] | None = None
        self.calls_until_reset: int | None = None
        self.in_part = False
        self._received = bytearray()

    @property
    def is_reset(self) -> bool:
        """Whether the connection was reset."""
        return self.calls_until_reset is not None and self.calls_until_reset < 0

    def _count_call(self) -> None:
        if self.calls_until_reset is None:
            return
        self.calls_until_reset -= 1
        if self.calls_until_reset < 0:
            raise ConnectionResetError("reset by the peer")

    def write(self, data: bytes) -> int:
        """See clients.Transport."""
        try:
            self._count_call()
        except ConnectionResetError:
            if self.in_part:
                self._received += self.unsent + data[: len(data) // 2]
                self._apply()
                self.unsent.clear()
            raise
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
        self._count_call()
        return len(self.unsent)

    def close(self, code: int, reason: str) -> None:
        """See clients.Transport."""
        self._count_call()
        self.closed = (code, reason)

    def abort(self) -> None:
        """See clients.Transport."""
        self.aborted = True
        self.unsent.clear()
        self._count_call()

    def read(self, n_bytes: int | None = None) -> None:
        """Read some bytes (None: all) and apply the frames that are complete by then."""
        n_bytes = len(self.unsent) if n_bytes is None else n_bytes
        self._received += self.unsent[:n_bytes]
        del self.unsent[:n_bytes]
        self._apply()

    def _apply(self) -> None:
        while (frame := _pop_frame(self._received)) is not None:
            message = decode(frame)
            self.messages.append(message)
            self.mirror.apply(message)

    def types(self) -> list[str]:
        """Return the types of the messages read."""
        return [message["type"] for message in self.messages]


def _pop_frame(received: bytearray) -> str | None:
    """Remove the first unmasked text frame (RFC 6455 section 5.2); None: it is incomplete."""
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
        start: agents that exist before the hub starts.
        epoch: the epoch of the store.
        roster_limits: limits of the roster.
        limits: fields of HubLimits.
    """

    def __init__(
        self,
        start: Sequence[str] = (),
        epoch: str = EPOCH,
        roster_limits: Limits | None = None,
        **limits: Any,
    ) -> None:
        self.loop = FakeLoop()
        self.limits = HubLimits(**limits)
        self.roster = Roster(roster_limits or Limits())
        self.epoch = epoch
        self.seq = 0
        self.forgotten_seq = 0
        for agent_id in start:
            self.stage(Event(agent_id=agent_id, event_type="prompt"))
        self.roster.commit()
        self.hub = self.new_hub()

    @property
    def now(self) -> Any:
        """The current time, UTC."""
        return T0 + timedelta(seconds=self.loop.now)

    @property
    def presences(self) -> dict[str, AgentPresence]:
        """The agents that a dashboard without a filter converges to."""
        return {agent_id: state.presence for agent_id, state in self.roster.agents.items()}

    def expected(self, filter_: Filter) -> dict[str, AgentPresence]:
        """Return the agents that a dashboard with this filter converges to."""
        return {
            agent_id: presence
            for agent_id, presence in self.presences.items()
            if filter_.matches(presence)
        }

    def new_hub(self, forgotten_seq: int | None = None) -> Hub:
        """Return a hub that starts with the current roster.

        Args:
            forgotten_seq: seq of the last removal; None: the harness's own.
        """
        published = PublishedState(
            Cursor(self.epoch, self.seq),
            self.presences.values(),
            self.forgotten_seq if forgotten_seq is None else forgotten_seq,
        )
        return Hub(
            published,
            self.limits,
            self.loop,
            monotonic=lambda: self.loop.now,
            now=lambda: self.now,
        )

    def restart_server(self) -> None:
        """Start a new hub on the same store; the old hub's timers never run."""
        self.loop = FakeLoop(self.loop.now)
        self.hub = self.new_hub()

    def stage(self, event: Event) -> Change:
        """Number one event and apply it to the roster."""
        self.seq += 1
        if event.event_type == "forget":
            self.forgotten_seq = self.seq
        return self.roster.apply(event, self.seq, self.now)

    def publish(self, *events: Event) -> None:
        """Commit these events as one transaction and pass it to the hub."""
        changes = [self.stage(event) for event in events]
        self.roster.commit()
        self.hub.publish(ChangeBatch(changes, self.loop.now))

    def report(self, *agent_ids: str, event_type: str = "tool_execute", **fields: Any) -> None:
        """Let each of these agents report one event, all in one transaction."""
        self.publish(*(Event(agent_id=name, event_type=event_type, **fields) for name in agent_ids))

    def join(
        self, dashboard: FakeDashboard | None = None, **options: Any
    ) -> tuple[FakeDashboard, Client]:
        """Connect a dashboard (None: a new one that reads) and return it with its client."""
        dashboard = dashboard or FakeDashboard()
        return dashboard, self.hub.join(dashboard, **options)
