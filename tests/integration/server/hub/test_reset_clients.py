"""Dashboards that are reset, at any byte, do not affect the others and leave no trace."""

from __future__ import annotations

import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import Cursor, decode_json
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.helpers.websocket_frames import RawSocket, client_frame, handshake

N_AGENTS = 3_000
BATCH = 1_000
RESET, END = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""Values of SO_LINGER: closing resets the connection, or ends it in order."""
SUBSCRIBE = b'{"type":"subscribe","agents":["agent-1","agent-2"],"statuses":["active"]}'


def report(server: Server, number: int) -> int:
    """Report a batch, whose frames need several writes, and return the seq after it."""
    batch = [
        {"agent_id": f"agent-{(number * BATCH + index) % N_AGENTS}", "tool_name": f"tool-{number}"}
        for index in range(BATCH)
    ]
    response = server.post("/api/events", batch)
    assert response.status == 200
    return Cursor.parse(response.json()["cursor"]).seq


def reset_after(
    server: Server, sent: bytes, n_read: int, *, linger: bytes = RESET
) -> socket.socket:
    """Connect, send bytes, read up to this many bytes; the caller resets the connection."""
    connection = socket.socket()
    # A small buffer, so that the server soon has bytes that it cannot send.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(sent)
    while n_read > 0:
        data = connection.recv(min(n_read, 65_536))
        if not data:
            break
        n_read -= len(data)
    return connection


class Follower(RawSocket):
    """A dashboard that reads everything and resumes never: each change has to arrive."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, "/ws/broadcasts")
        self.mirror = Mirror()
        self.seqs: list[int] = []

    def follow(self, seq: int) -> None:
        """Read and apply messages up to a position."""
        while self.mirror.seq < seq:
            frame = self.next_frame()
            assert frame is not None, "the server closed the connection"
            if frame.opcode == 0x9:
                self.socket.sendall(client_frame(0xA, frame.payload))
                continue
            message: dict[str, Any] = decode_json(frame.payload)
            if message["type"] == "presence_update":
                self.seqs.append(message["seq"])
            self.mirror.apply(message)


@pytest.mark.parametrize("server", [("--tick-ms", "5")], indirect=True)
def test_reset_dashboards_do_not_affect_the_others(server: Server) -> None:
    """Connections are reset at any byte of handshake, state and changes, also while they lag."""
    start = report(server, 0)
    followers = [Follower(server) for _ in range(3)]
    for follower in followers:
        follower.follow(start)
    source = random.Random(7)
    opening = handshake(server.port)
    waiting: list[socket.socket] = []
    seq = start
    with ThreadPoolExecutor(1) as pool:
        for number in range(2, 14):
            for _ in range(8):
                request = opening + client_frame(0x1, SUBSCRIBE) * source.choice([0, 0, 1, 2])
                if source.random() < 0.3:
                    request = request[: source.randrange(len(request))]
                n_read = source.choice([0, 0, 1, 100, 70_000])
                complete = request.startswith(opening)
                waiting.append(reset_after(server, request, n_read if complete else 0))
            source.shuffle(waiting)
            posted = pool.submit(report, server, number)
            # Some are reset before the batch goes out, some while it does, others lag for a while.
            while len(waiting) > 4 and not (posted.done() and len(waiting) < 8):
                waiting.pop().close()
            seq = posted.result()
            for follower in followers:
                follower.follow(seq)
    for connection in waiting:
        connection.close()
    expected = server.presence()
    for follower in followers:
        assert follower.seqs == list(range(start + 1, seq + 1))
        assert {n: p.to_dict() for n, p in follower.mirror.agents.items()} == expected
        follower.close()

    def is_empty() -> bool:
        status = server.get("/api/status").json()
        counts = (status["clients"]["total"], status["clients"]["lagging"])
        return counts == (0, 0) and status["queue"]["bytes"] == 0

    wait_until(is_empty, "the server has forgotten all dashboards")


@pytest.mark.parametrize(
    "server",
    [("--max-clients", "3", "--max-clients-per-session", "2")],
    indirect=True,
)
def test_dashboards_that_leave_after_the_handshake_keep_no_slot(server: Server) -> None:
    """The state is larger than the socket's buffers when its reader is reset."""
    for number in range(3):
        report(server, number)
    opening = handshake(server.port, "/ws/broadcasts?session=s")
    for n_bytes in (len(opening), len(opening) - 1):
        for linger in (RESET, END):
            for _ in range(20):
                with suppress(OSError):
                    reset_after(server, opening[:n_bytes], 0, linger=linger).close()

    def is_free() -> bool:
        clients = server.get("/api/status").json()["clients"]
        return (clients["total"], clients["by_session"]) == (0, {})

    wait_until(is_free, "all slots are free")
    follower = RawSocket(server, "/ws/broadcasts?session=s")
    frame = follower.next_frame()
    assert frame is not None
    assert decode_json(frame.payload)["type"] == "presence_state"
    follower.close()
