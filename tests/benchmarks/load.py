"""Many dashboards in one process: raw sockets, one poll loop, every byte checked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks.stream import BrokenStream, Stream, Tape, frame_end
from tests.benchmarks.table import quantile

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SAMPLED = 20
_BATCH = 100


class Dashboard:
    """A connection.

    Attributes:
        tape: its position in the common stream; None while it receives other bytes.
        buffer: incomplete frame outside of the common stream.
        n_private: updates received outside of the common stream.
        n_states: messages outside of the common stream that are not updates.
        arrivals: (wall-clock seconds, offset) of each chunk; None unless it is sampled.
        messages: called with each message outside of the common stream.
    """

    def __init__(self, connection: socket.socket, stream: Stream) -> None:
        self.socket = connection
        self.stream = stream
        self.tape: Tape | None = None
        self.buffer = b""
        self.open = True
        self.n_private = 0
        self.n_states = 0
        self.arrivals: list[tuple[float, int]] | None = None
        self.messages: Callable[[dict[str, Any]], object] | None = None

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one short masked frame."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.socket.send(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked)

    def take(self, chunk: memoryview) -> None:
        """Process received bytes."""
        if self.tape is None:
            self._private(chunk.tobytes())
            return
        rest = self.tape.feed(chunk)
        if self.tape.control_frames:
            for opcode, payload in self.tape.control_frames:
                self._control(opcode, payload)
            self.tape.control_frames.clear()
        if rest is not None:
            self.n_private += self.stream.count(self.tape.offset)
            self.tape = None
            self._private(rest)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.send(10, payload)
        elif opcode == 8:
            self.open = False

    def _private(self, data: bytes) -> None:
        data = self.buffer + data
        at = 0
        while (bounds := frame_end(data, at)) is not None and bounds[1] <= len(data):
            start, end = bounds
            opcode, at = data[at] & 15, end
            if opcode != 1:
                self._control(opcode, data[start:end])
            elif self._message(data[start:end]):
                self.buffer = b""
                self.take(memoryview(data[at:]))
                return
        self.buffer = data[at:]

    def _message(self, payload: bytes) -> bool:
        """Process a message; return whether the common stream continues after it."""
        message = json.loads(payload)
        update = message["type"] == "presence_update"
        self.n_private += update
        self.n_states += not update
        if self.messages is not None:
            self.messages(message)
            return False
        if message.get("part") == message.get("parts"):
            self.tape = Tape.after(self.stream, message["seq"])
        if self.tape is None:
            return False
        self.n_private -= self.stream.count(self.tape.offset)
        return True

    @property
    def n_frames(self) -> int:
        """Updates received so far."""
        if self.tape is None:
            return self.n_private
        return self.n_private + self.stream.count(self.tape.offset)


class Poller:
    """epoll if available, else poll; both level-triggered."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._poll = None if self._epoll else select.poll()

    def add(self, fd: int) -> None:
        """Watch a file descriptor for bytes to read."""
        if self._epoll:
            self._epoll.register(fd, select.EPOLLIN)
        elif self._poll:
            self._poll.register(fd, select.POLLIN)

    def remove(self, fd: int) -> None:
        """Stop watching a file descriptor."""
        (self._epoll or self._poll).unregister(fd)  # type: ignore[union-attr]

    def ready(self, timeout_s: float) -> Sequence[tuple[int, int]]:
        """Return (descriptor, events) of each readable file descriptor."""
        if self._epoll:
            return self._epoll.poll(timeout_s)
        return [] if self._poll is None else self._poll.poll(timeout_s * 1_000)


class Load:
    """The dashboards of one run.

    Args:
        address: address of the server.
        path: path of its WebSocket route; "" connects without a handshake, for a server that sends
            frames at once.
        has_state: whether the server sends a presence_state first.
        token: bearer token; "" for none.
    """

    def __init__(
        self, address: tuple[str, int], path: str, has_state: bool, token: str = ""
    ) -> None:
        self.stream = Stream()
        self.dashboards: list[Dashboard] = []
        self._by_fd: dict[int, Dashboard] = {}
        self._address, self._path, self._has_state = address, path, has_state
        self._access = f"Authorization: Bearer {token}\r\n" if token else ""
        self._poller = Poller()
        self._view = memoryview(bytearray(1 << 20))

    def connect(self, n: int, deadline_s: float = 30.0) -> list[Dashboard]:
        """Connect ``n`` dashboards and wait until each has the current state.

        The server must not publish changes meanwhile: the common stream starts after the state.
        """
        added: list[Dashboard] = []
        while len(added) < n:
            batch = [self._connect_one() for _ in range(min(_BATCH, n - len(added)))]
            for dashboard in batch:
                self._await_start(dashboard, time.monotonic() + deadline_s)
                self.watch(dashboard)
            added.extend(batch)
        self.dashboards.extend(added)
        for dashboard in self.dashboards[:: max(1, len(self.dashboards) // _SAMPLED)]:
            dashboard.arrivals = dashboard.arrivals or []
        return added

    def connect_apart(
        self, messages: Callable[[dict[str, Any]], object], receive_bytes: int
    ) -> Dashboard:
        """Connect a dashboard that does not read until ``watch``.

        Args:
            messages: called with every message that it receives then.
            receive_bytes: size of the kernel's receive buffer.
        """
        dashboard = self._connect_one(receive_bytes)
        self._await_handshake(dashboard, time.monotonic() + 30)
        dashboard.socket.setblocking(False)
        dashboard.messages = messages
        return dashboard

    def _connect_one(self, receive_bytes: int = 0) -> Dashboard:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(self._address)
        dashboard = Dashboard(connection, self.stream)
        if self._path:
            dashboard.socket.sendall(
                f"GET {self._path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"{self._access}Sec-WebSocket-Key: {_KEY}\r\n\r\n".encode()
            )
        return dashboard

    def _await_handshake(self, dashboard: Dashboard, deadline: float) -> None:
        dashboard.socket.settimeout(deadline - time.monotonic())
        data = b""
        while self._path and b"\r\n\r\n" not in data:
            data += _receive(dashboard)
        head, _, dashboard.buffer = data.partition(b"\r\n\r\n")
        if self._path and (b" 101 " not in head or _ACCEPT not in head):
            raise BrokenStream(f"handshake: expected status 101, got {head[:200]!r}")

    def _await_start(self, dashboard: Dashboard, deadline: float) -> None:
        self._await_handshake(dashboard, deadline)
        complete = not self._has_state

        def on_state(message: dict[str, Any]) -> None:
            nonlocal complete
            if message["type"] != "presence_state":
                raise BrokenStream(f"first message: expected presence_state, got {message['type']}")
            complete = message["part"] == message["parts"]

        dashboard.messages = on_state
        dashboard.take(memoryview(b""))
        while not complete:
            dashboard.take(memoryview(_receive(dashboard)))
        if dashboard.buffer:
            raise BrokenStream("the server published changes while the dashboards connected")
        dashboard.messages = None
        dashboard.n_states = 0
        dashboard.tape = Tape(self.stream)
        dashboard.tape.offset = len(self.stream.data)
        dashboard.socket.setblocking(False)

    def watch(self, dashboard: Dashboard) -> None:
        """Start to read from a dashboard."""
        self._by_fd[dashboard.socket.fileno()] = dashboard
        self._poller.add(dashboard.socket.fileno())

    def unwatch(self, dashboard: Dashboard) -> None:
        """Stop reading from a dashboard; the connection stays open."""
        del self._by_fd[dashboard.socket.fileno()]
        self._poller.remove(dashboard.socket.fileno())

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Read until the monotonic time ``until``, or until ``done()`` (checked every 50 ms).

        Raises:
            BrokenStream: a dashboard received other bytes than the others, or was closed.
        """
        by_fd, view, ready, wall = self._by_fd, self._view, self._poller.ready, time.time
        checked_at = 0.0
        while (now := time.monotonic()) < until:
            if now - checked_at > 0.05:
                checked_at = now
                if done():
                    return
            for fd, _ in ready(min(0.05, until - now)):
                dashboard = by_fd[fd]
                size = dashboard.socket.recv_into(view)
                arrived = wall()
                if not size:
                    raise BrokenStream("the server closed a connection")
                dashboard.take(view[:size])
                if dashboard.arrivals is not None and dashboard.tape is not None:
                    dashboard.arrivals.append((arrived, dashboard.tape.offset))

    @property
    def n_frames(self) -> int:
        """Updates received so far by all dashboards."""
        return sum(dashboard.n_frames for dashboard in self.dashboards)

    def latencies_ms(self, since: float, until: float) -> tuple[float | None, float | None]:
        """Return p50 and p99 over every frame of the sampled dashboards.

        Args:
            since, until: wall-clock seconds; only frames of events in this interval count.
        """
        latencies: list[float] = []
        stamps = self.stream.stamps
        for dashboard in self.dashboards:
            first = 0
            for arrived, offset in dashboard.arrivals or ():
                last = self.stream.count(offset)
                latencies += [
                    1_000 * (arrived - at) for at in stamps[first:last] if since <= at < until
                ]
                first = last
        latencies.sort()
        return quantile(latencies, 0.5), quantile(latencies, 0.99)

    def close(self) -> None:
        """Close all connections."""
        for dashboard in self.dashboards:
            with contextlib.suppress(OSError):
                dashboard.socket.close()


_KEY = base64.b64encode(b"sixteen bytes it").decode()
_ACCEPT = base64.b64encode(hashlib.sha1(_KEY.encode() + _GUID).digest())


def _receive(dashboard: Dashboard) -> bytes:
    data = dashboard.socket.recv(65_536)
    if not data:
        raise BrokenStream("the server closed a connection during its handshake")
    return data
