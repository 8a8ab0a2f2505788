"""Dashboards that are reset, at any byte, do not affect the others and leave no trace."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import Cursor, decode_json
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.helpers.websocket_frames import RawSocket, client_frame, handshake

N_AGENTS = 1_000
BATCH = 500
RESET = struct.pack("ii", 1, 0)
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


def reset_after(server: Server, sent: bytes, n_read: int) -> socket.socket:
    """Connect, send bytes, read up to this many bytes; the caller resets the connection."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
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
            message: dict[str, Any] = decode_json(frame.payload)
            if message["type"] == "presence_update":
                self.seqs.append(message["seq"])
            self.mirror.apply(message)


@pytest.mark.parametrize("server", [("--tick-ms", "5")], indirect=True)
def test_reset_dashboards_do_not_affect_the_others(server: Server) -> None:
    """Connections are reset at any byte of handshake, state and changes, also while they lag."""
    report(server, 0)
    start = report(server, 1)
    followers = [Follower(server) for _ in range(4)]
    for follower in followers:
        follower.follow(start)
    source = random.Random(7)
    opening = handshake(server.port)
    waiting: list[socket.socket] = []
    seq = start
    for number in range(2, 32):
        for _ in range(6):
            request = opening + client_frame(0x1, SUBSCRIBE) * source.randrange(3)
            request = request[: source.choice([len(request), source.randrange(len(request))])]
            complete = request.startswith(opening)
            n_read = source.choice([0, 0, 1, 100, 200, 70_000, 300_000]) if complete else 0
            waiting.append(reset_after(server, request, n_read))
        # Some end before the batch goes out and others while it does.
        for connection in waiting[: len(waiting) // 2]:
            connection.close()
        del waiting[: len(waiting) // 2]
        seq = report(server, number)
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
    for number in range(2):
        report(server, number)
    opening = handshake(server.port, "/ws/broadcasts?session=s")
    for n_bytes in (len(opening), len(opening), len(opening) - 1):
        for _ in range(20):
            with suppress(OSError):
                reset_after(server, opening[:n_bytes], 0).close()

    def is_free() -> bool:
        clients = server.get("/api/status").json()["clients"]
        return (clients["total"], clients["by_session"]) == (0, {})

    wait_until(is_free, "all slots are free")
    follower = RawSocket(server, "/ws/broadcasts?session=s")
    frame = follower.next_frame()
    assert frame is not None
    assert decode_json(frame.payload)["type"] == "presence_state"
    follower.close()
