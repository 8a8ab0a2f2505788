"""Sends events to a server as agents do, from a separate process, and prints one JSON object.

    python -m tests.benchmarks.poster --url http://127.0.0.1:8765 --rate 1000 --batch 10

Each keep-alive connection carries its own agents, so that an agent's events stay in order. With a
rate, requests are due at fixed times, whether or not the previous ones are answered, and the
timestamp of an event is the time at which its request was due, so that waiting in this process
counts as latency. Without a rate, each connection sends as soon as it has its response.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.stream import frame_end
from tests.benchmarks.table import quantile

TOOLS = ("Read", "Edit", "Bash", "Grep", "Write", "WebFetch")


def event_of(agent: int, n: int, at: float) -> dict[str, Any]:
    """Return the ``n``-th event of an agent, as a hook reports it."""
    return {
        "agent_id": f"agent-{agent:04d}",
        "session_id": f"session-{agent:04d}",
        "event_type": "tool_execute",
        "tool_name": TOOLS[n % len(TOOLS)],
        "feature_id": f"feature-{agent % 37:03d}",
        "model": "claude-sonnet-4-5",
        "project": "benchmarks",
        "event_id": f"{agent}:{n}:{at:.6f}",
        "input_tokens": 100 + n % 50,
        "output_tokens": 20 + n % 30,
        "duration_ms": 5 + n % 90,
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
    }


@dataclass
class Connection:
    """A keep-alive connection with at most one pending request."""

    socket: socket.socket
    agents: list[int]
    websocket: bool
    base: bytes
    access: bytes
    sent: int = 0
    sent_at: float = 0.0
    waiting: bool = False
    buffer: bytes = b""
    due: deque[float] = field(default_factory=deque)

    def send(self, batch: int, at: float) -> None:
        """Send the next request, with events of the wall-clock time ``at``."""
        events: list[dict[str, Any]] = []
        for _ in range(batch):
            agent = self.agents[self.sent % len(self.agents)]
            events.append(event_of(agent, self.sent, at + 1e-6 * len(events)))
            self.sent += 1
        body = json.dumps(events).encode()
        head = (
            _frame_head(len(body))
            if self.websocket
            else b"POST %b/api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n%b"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (self.base, self.access, len(body))
        )
        self.transmit(head + body)

    def transmit(self, request: bytes) -> None:
        """Send the bytes of a request."""
        self.sent_at = time.monotonic()
        self.waiting = True
        # A masking key of zeros (RFC 6455 5.3) leaves the payload of a frame unchanged.
        self.socket.sendall(request)

    def receive(self) -> dict[str, Any] | None:
        """Read from the socket; return the counts of the response once it is complete."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("the server closed the poster's connection")
        self.buffer += data
        body = self._frame() if self.websocket else self._response()
        if body is None:
            return None
        self.waiting = False
        return self.outcome(body)

    def outcome(self, body: bytes) -> dict[str, Any]:
        """Return the counts of ``accepted`` and ``duplicates`` in a response."""
        counts: dict[str, Any] = json.loads(body)
        if "accepted" not in counts:
            raise ValueError(f"response: expected the number accepted, got {counts}")
        return counts

    def _frame(self) -> bytes | None:
        while (bounds := frame_end(self.buffer, 0)) is not None and bounds[1] <= len(self.buffer):
            start, end = bounds
            opcode, payload = self.buffer[0] & 15, self.buffer[start:end]
            self.buffer = self.buffer[end:]
            if opcode == 1:
                return payload
            if opcode == 9:
                self.socket.sendall(bytes((0x8A, 0x80 | len(payload))) + bytes(4) + payload)
        return None

    def _response(self) -> bytes | None:
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        if b" 200 " not in head[:20]:
            raise ValueError(f"response: expected status 200, got {head!r} {rest[:500]!r}")
        return rest[:length]


def _frame_head(size: int) -> bytes:
    if size < 126:
        return bytes((0x81, 0x80 | size)) + bytes(4)
    if size < 65_536:
        return b"\x81\xfe" + size.to_bytes(2, "big") + bytes(4)
    return b"\x81\xff" + size.to_bytes(8, "big") + bytes(4)


def connect(url: str, agents: list[int], websocket: bool) -> Connection:
    """Connect to the server over HTTP, or with ``websocket`` to /ws/events."""
    parts = urlsplit(url)
    token = os.environ.get("HTMLGRAPH_TOKEN", "")
    access = f"Authorization: Bearer {token}\r\n" if token else ""
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if websocket:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET {parts.path}/ws/events HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"{access}\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        if b" 101 " not in head:
            raise ConnectionError(f"handshake: expected status 101, got {head[:200]!r}")
    head = {"base": parts.path.encode(), "access": access.encode()}
    return Connection(connection, agents, websocket, **head)


class Poster:
    """Sends for some seconds and counts the answers."""

    def __init__(self, connections: list[Connection], rate: float, batch: int) -> None:
        self.connections = connections
        self.by_fd = {c.socket.fileno(): c for c in connections}
        self.interval = batch / rate if rate else 0.0
        self.batch = batch
        self.latencies_ms: list[float] = []
        self.accepted = 0
        self.duplicates = 0

    def run(self, seconds: float) -> None:
        """Send for ``seconds``, then wait for the pending responses."""
        poll = select.poll()
        for fd in self.by_fd:
            poll.register(fd, select.POLLIN)
        start, clock = time.monotonic(), time.time() - time.monotonic()
        end, n_due = start + seconds, 0
        while True:
            now = time.monotonic()
            n_due = self._make_due(start, min(now, end), n_due)
            for connection in self.connections:
                if not connection.waiting and (connection.due or (not self.interval and now < end)):
                    at = connection.due.popleft() if connection.due else now
                    connection.send(self.batch, clock + at)
            busy = any(c.waiting or c.due for c in self.connections)
            if now >= end and not busy:
                return
            if now >= end + 30:
                raise TimeoutError("the server did not respond within 30 s")
            next_due = start + n_due * self.interval if self.interval and now < end else now + 0.05
            for fd, _ in poll.poll(max(0.0, next_due - time.monotonic()) * 1_000):
                self._receive(self.by_fd[fd])

    def _make_due(self, start: float, now: float, n_due: int) -> int:
        while self.interval and start + n_due * self.interval < now:
            connection = self.connections[n_due % len(self.connections)]
            connection.due.append(start + n_due * self.interval)
            n_due += 1
        return n_due

    def _receive(self, connection: Connection) -> None:
        counts = connection.receive()
        if counts is None:
            return
        self.latencies_ms.append(1_000 * (time.monotonic() - connection.sent_at))
        self.accepted += counts["accepted"]
        self.duplicates += counts["duplicates"]


def main() -> None:
    """Send and print the counts and latencies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=1_000, help="events a second; 0: closed loop")
    parser.add_argument("--batch", type=int, default=10, help="events in one request")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--websocket", action="store_true", help="send to /ws/events")
    options = parser.parse_args()
    agents = shared(options.agents, options.connections)
    connections = [connect(options.url, numbers, options.websocket) for numbers in agents]
    print(json.dumps(figures_of(connections, options.rate, options.batch, options.seconds)))


def shared(agents: int, connections: int) -> list[list[int]]:
    """Return the numbers of the agents of each connection."""
    return [list(range(number, agents, connections)) for number in range(min(connections, agents))]


def figures_of(
    connections: list[Connection], rate: float, batch: int, seconds: float
) -> dict[str, float | None]:
    """Send for ``seconds`` and return the counts and latencies."""
    poster = Poster(connections, rate, batch)
    started = time.monotonic()
    poster.run(seconds)
    elapsed_s = time.monotonic() - started
    ordered = sorted(poster.latencies_ms)
    return {
        "accepted": poster.accepted,
        "duplicates": poster.duplicates,
        "requests": len(ordered),
        "events_per_s": poster.accepted / elapsed_s,
        "answer_p50_ms": quantile(ordered, 0.5),
        "answer_p99_ms": quantile(ordered, 0.99),
    }


if __name__ == "__main__":
    main()
