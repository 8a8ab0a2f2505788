"""A receiver of webhooks that behaves well or badly, and an outbox in memory.

    with alert_receiver("fail:503", "ok") as receiver:
        ...
        request = receiver.wait_for(1)[0]

Each request gets the next behavior; the last one is used for all further requests:

- ``ok``: 200; ``status:NNN``: that status; ``retry:S``: 503 with ``Retry-After: S``
- ``hang``: reads the request and never answers; ``reset``: closes the connection with a reset
- ``drip-head``, ``drip-body``: endless header lines, or an endless body, byte by byte
- ``large``: 200 with an endless body as fast as possible; ``junk``: not HTTP
- ``redirect:PATH``: 307 to a path of the same server; ``moved:URL``: 307 to another;
  ``found:PATH``: 302
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from htmlgraph_nb.alerts.fired_alert import Delivery, FiredAlert
from tests.helpers.wait import wait_until

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_ENDED_S = 20.0


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it was received; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class AlertReceiver:
    """A server with one thread for each connection.

    Attributes:
        url: address of its root.
        requests: what was received, in order.
    """

    def __init__(self, behaviors: Sequence[str]) -> None:
        self._behaviors = list(behaviors)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.requests: list[ReceivedRequest] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for(self, n: int) -> list[ReceivedRequest]:
        """Wait for a number of requests and return them."""
        wait_until(lambda: len(self.requests) >= n, f"{n} requests", 30)
        return self.requests

    def close(self) -> None:
        """Close all connections."""
        self._closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The sender may close the connection at any time.
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_ENDED_S)
            reader = connection.makefile("rb")
            path = reader.readline().split()[1].decode()
            headers = {}
            while line := reader.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", 0)))
            with self._lock:
                self.requests.append(ReceivedRequest(path, headers, body))
                behavior = self._behaviors[0]
                if len(self._behaviors) > 1:
                    self._behaviors.pop(0)
            self._answer(connection, behavior)

    def _answer(self, connection: socket.socket, behavior: str) -> None:
        kind, _, value = behavior.partition(":")
        if kind == "ok":
            connection.sendall(_response(200))
        elif kind == "status":
            connection.sendall(_response(int(value)))
        elif kind == "retry":
            connection.sendall(_response(503, f"Retry-After: {value}"))
        elif kind in ("redirect", "moved"):
            connection.sendall(_response(307, f"Location: {value}"))
        elif kind == "found":
            connection.sendall(_response(302, f"Location: {value}"))
        elif kind == "junk":
            connection.sendall(b"220 smtp.example.org ESMTP\r\n\r\n")
        elif kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif kind == "hang":
            self._closing.wait(_ENDED_S)
        elif kind == "large":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not self._closing.is_set():
                connection.sendall(b"2000\r\n" + b"x" * 8_192 + b"\r\n")
        elif kind == "drip-head":
            self._drip(connection, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")
        elif kind == "drip-body":
            self._drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b"x")
        else:
            raise ValueError(behavior)

    def _drip(self, connection: socket.socket, start: bytes, piece: bytes) -> None:
        connection.sendall(start)
        while not self._closing.wait(0.02):
            connection.sendall(piece)


def _response(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, "Content-Length: 2", "Connection: close", "", "{}"]
    return "\r\n".join(lines).encode()


@contextlib.contextmanager
def alert_receiver(*behaviors: str) -> Iterator[AlertReceiver]:
    """Run a receiver; see the module."""
    receiver = AlertReceiver(behaviors or ("ok",))
    try:
        yield receiver
    finally:
        receiver.close()


def fired_alert(**values: Any) -> FiredAlert:
    """Return an alert about a waiting agent."""
    fields: dict[str, Any] = {
        "alert_id": "a1",
        "rule": "waits",
        "kind": "waits",
        "severity": "warning",
        "state": "firing",
        "subject": "claude-1",
        "since": NOW,
        "fired_at": NOW,
        "message": "api waits for you since 30 s.",
        "label": "api",
        "agent_id": "claude-1",
        "agent_kind": "claude",
        "project": "shop",
        "branch": "main",
        "host": "box",
        "url_path": "/#agent=claude-1",
    }
    return FiredAlert(**(fields | values))


@dataclass
class MemoryOutbox:
    """An outbox in memory.

    Attributes:
        waiting: pending deliveries by id.
        done: ids that were sent, in order.
        errors: errors of failed attempts with the time of the next one.
        broken: raised by each method, if set.
    """

    waiting: dict[int, Delivery] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    errors: list[tuple[int, str, datetime | None]] = field(default_factory=list)
    broken: Exception | None = None
    reads: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, channel: str, **values: Any) -> int:
        """Add a delivery and return its id."""
        number = next(self._numbers)
        alert = fired_alert(**values)
        self.waiting[number] = Delivery(number, alert, channel, 0, alert.fired_at)
        return number

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def pending(self, channel: str, now: datetime, limit: int) -> list[Delivery]:
        """See Outbox."""
        self.reads += 1
        self._check()
        due = [d for d in list(self.waiting.values()) if d.channel == channel and d.next_at <= now]
        return sorted(due, key=lambda delivery: delivery.next_at)[:limit]

    def sent(self, delivery_id: int) -> None:
        """See Outbox."""
        self._check()
        del self.waiting[delivery_id]
        self.done.append(delivery_id)

    def failed(self, delivery_id: int, error: str, next_at: datetime | None) -> None:
        """See Outbox."""
        self._check()
        self.errors.append((delivery_id, error, next_at))
        old = self.waiting.pop(delivery_id)
        if next_at is not None:
            self.waiting[delivery_id] = Delivery(
                delivery_id, old.alert, old.channel, old.attempts + 1, next_at
            )


class RunningClock:
    """A clock that runs faster than the real one, from NOW.

    Args:
        factor: seconds that it shows for each real second.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._start = datetime.now(UTC)
        self._factor = factor

    def __call__(self) -> datetime:
        """Return the time."""
        elapsed = (datetime.now(UTC) - self._start).total_seconds()
        return NOW + timedelta(seconds=elapsed * self._factor)
