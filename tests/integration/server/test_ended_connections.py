"""Connections that end are freed at once: garbage collections are rare, see ``server.tune_gc``."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tornado.http1connection import HTTP1ServerConnection
from tornado.web import RequestHandler

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.config import make_config
from htmlgraph_server.server import listen, run_server
from tests.helpers.websocket_frames import client_frame, handshake

N_CONNECTIONS = 8
EVENTS = json.dumps([{"agent_id": f"a-{n}"} for n in range(300)])


def post(port: int, path: str, body: str) -> bytes:
    """Return a request whose connection ends after the response."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


ACTIONS: dict[str, Callable[[int], list[bytes]]] = {
    "post": lambda port: [post(port, "/api/events", EVENTS)],
    "refused": lambda port: [post(port, "/api/events", "[{}]")],
    "dashboard": lambda port: [handshake(port), client_frame(8)],
    "dashboard that is reset": lambda port: [handshake(port)],
    "half a head": lambda port: [post(port, "/api/events", EVENTS)[:40]],
    "frame that is too large": lambda port: [handshake(port), b"\x81\xff\x7f" + b"\xff" * 11],
    "/ws/events": lambda port: [handshake(port, "/ws/events"), client_frame(1, b"[]")],
}
"""What connections send before they are reset."""


def connect_and_reset(port: int, parts: list[bytes]) -> None:
    """Send parts, each after something arrived, and reset the connection while changes are sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for part in parts:
            connection.sendall(part)
            if b"\r\n\r\n" in part:
                connection.recv(65_536)
    # The hub notices a reset when it sends the next changes.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
        other.sendall(post(port, "/api/events", EVENTS))
        while other.recv(65_536):
            pass


def alive() -> int:
    """Return the number of handlers and connections in memory, garbage included."""
    kinds = (RequestHandler, HTTP1ServerConnection)
    return sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.mark.parametrize("name", ACTIONS)
def test_run_server_frees_ended_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without any garbage collection none of their handlers stays."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path))
    config = make_config({"port": "0", "db": str(tmp_path / "a.db"), "watch": "off"}, {})

    async def scenario() -> None:
        sockets, stop, ready = listen(config), asyncio.Event(), asyncio.Event()
        port = sockets[0].getsockname()[1]
        manager = PresenceManager(str(config.db))
        serving = asyncio.ensure_future(
            run_server(config, sockets, manager, lambda *_: ready.set(), stop, None)
        )
        await ready.wait()
        connect = ACTIONS[name]
        await asyncio.to_thread(connect_and_reset, port, connect(port))
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for _ in range(N_CONNECTIONS):
                await asyncio.to_thread(connect_and_reset, port, connect(port))
            for _ in range(400):
                if alive() <= before:
                    break
                await asyncio.sleep(0.05)
            assert alive() <= before
        finally:
            gc.enable()
            stop.set()
            await serving

    asyncio.run(asyncio.wait_for(scenario(), 60))
