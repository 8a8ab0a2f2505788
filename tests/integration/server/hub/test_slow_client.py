"""A real dashboard that does not read affects no other and converges once it reads."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import Cursor, decode
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

MAX_QUEUE_BYTES = 524_288
N_AGENTS = 60
BATCH = 200
N_BATCHES = 60


class RawReader:
    """A dashboard that reads on command, with a small receive buffer."""

    def __init__(self, server: Server, path: str = "/ws/broadcasts") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.socket.settimeout(15)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.mirror = Mirror()
        self.n_states = 0
        self.n_updates = 0
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.socket.recv(4_096)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()

    def _take(self, n_bytes: int) -> bytes:
        while len(self._buffer) < n_bytes:
            data = self.socket.recv(65_536)
            assert data, "the server closed the connection"
            self._buffer += data
        taken, self._buffer = self._buffer[:n_bytes], self._buffer[n_bytes:]
        return taken

    def read_message(self) -> None:
        """Read and apply one message."""
        first, size = self._take(2)
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        payload = self._take(size)
        if first == 0x81:
            message = decode(payload)
            self.n_states += message["type"] == "presence_state"
            self.n_updates += message["type"] == "presence_update"
            self.mirror.apply(message)

    def catch_up(self, seq: int) -> None:
        """Read up to this position."""
        while self.mirror.seq < seq:
            self.read_message()


@pytest.fixture
def reader(server: Server) -> Iterator[RawReader]:
    """A raw dashboard of the server."""
    raw = RawReader(server)
    yield raw
    raw.close()


def post(server: Server, number: int) -> int:
    """Report a batch and return the seq after it."""
    batch = [
        {
            "agent_id": f"agent-{(number + index) % N_AGENTS}",
            "event_type": "tool_execute",
            "tool_name": f"tool-{number}",
            "output_tokens": 1,
        }
        for index in range(BATCH)
    ]
    response = server.post("/api/events", batch)
    assert response.status == 200
    return Cursor.parse(response.json()["cursor"]).seq


def mirrored(mirror: Mirror) -> dict[str, dict[str, object]]:
    """Return a mirror's agents in wire format."""
    return {name: presence.to_dict() for name, presence in mirror.agents.items()}


class Follower(threading.Thread):
    """A dashboard that reads everything, up to a position that is set later."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._url = server.ws("/ws/broadcasts")
        self.mirror = Mirror()
        self.n_updates = 0
        self.ready = threading.Event()
        self.end = threading.Event()
        self.last_seq = 0

    def run(self) -> None:
        """Read and apply messages."""
        with connect(self._url, max_queue=None) as socket:
            self.mirror.apply(decode(socket.recv(15)))
            self.ready.set()
            while not (self.end.is_set() and self.mirror.seq >= self.last_seq):
                message = decode(socket.recv(30))
                self.n_updates += message["type"] == "presence_update"
                self.mirror.apply(message)


@pytest.mark.parametrize("server", [("--max-queue-bytes", str(MAX_QUEUE_BYTES))], indirect=True)
def test_slow_client_is_skipped_and_catches_up(server: Server, reader: RawReader) -> None:
    """The others get each change, memory stays at its limit, and the copy converges."""
    reader.read_message()
    followers = [Follower(server) for _ in range(3)]
    for follower in followers:
        follower.start()
        assert follower.ready.wait(15)
    seq = 0
    peak = 0
    for number in range(N_BATCHES):
        seq = post(server, number)
        peak = max(peak, server.get("/api/status").json()["queue"]["bytes"])
    status = server.get("/api/status").json()
    assert status["clients"]["lagging"] == 1
    # One tick may contain a whole batch, which each reader gets in one write.
    assert 0 < peak <= len(followers) * BATCH * 1_000 + MAX_QUEUE_BYTES
    assert 0 < status["queue"]["bytes"] <= MAX_QUEUE_BYTES + BATCH * 1_000
    for follower in followers:
        follower.last_seq = seq
        follower.end.set()
    # One more change wakes the readers that were up to date before their end was set.
    seq = post(server, N_BATCHES)
    for follower in followers:
        follower.join(30)
        assert not follower.is_alive()
        assert follower.n_updates >= N_BATCHES * BATCH
    reader.catch_up(seq)
    assert mirrored(reader.mirror) == server.presence()
    assert reader.n_states >= 2, "the client was never marked as slow"
    assert reader.n_updates < N_BATCHES * BATCH
    status = server.get("/api/status").json()
    assert (status["clients"]["lagging"], status["queue"]["bytes"]) == (0, 0)
    seq = post(server, 99)
    reader.catch_up(seq)
    assert mirrored(reader.mirror) == server.presence()


@pytest.mark.parametrize(
    "server",
    [("--max-queue-bytes", str(MAX_QUEUE_BYTES), "--stall-timeout", "4s")],
    indirect=True,
)
def test_stalled_client_is_dropped_after_timeout(server: Server, reader: RawReader) -> None:
    """Its memory is freed after stall_timeout, and it can resume."""
    reader.read_message()
    for number in range(200):
        seq = post(server, number)
        # Check after each read: on a loaded machine, all reads take longer than the timeout.
        if server.get("/api/status").json()["clients"]["lagging"] == 1:
            break
    else:
        pytest.fail("the client was never marked as slow")
    wait_until(
        lambda: server.get("/api/status").json()["clients"]["total"] == 0, "the reader's end"
    )
    assert server.get("/api/status").json()["queue"]["bytes"] == 0
    reader.close()
    again = RawReader(server, f"/ws/broadcasts?since={reader.mirror.cursor}")
    again.mirror = reader.mirror
    again.catch_up(seq)
    assert mirrored(again.mirror) == server.presence()
    again.close()
