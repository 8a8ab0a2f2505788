"""Servers to compare with in ``fanout``, each a process: python -m tests.benchmarks.peers NAME

``tornado``     Tornado, ``write_message`` to each client
``websockets``  ``websockets.broadcast``
``floor``       no WebSocket server: the joined frames of a tick, one ``socket.send`` per client
``hub``         this project's hub, fed in the same process: the limit of the fan-out alone

Each prints its address, reads the line ``go RATE SECONDS`` and then generates RATE updates a
second, each with the time at which it was due as its timestamp.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from websockets.asyncio import server as websockets_server

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import encode_json, presence_to_wire, presence_update
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.core.status_rules import Change
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.presence import PresenceManager, Publication
from htmlgraph_server.access.gate import Gate
from htmlgraph_server.access.spaces import Spaces
from htmlgraph_server.app import make_app
from htmlgraph_server.config import Config
from htmlgraph_server.connections.frames import encode_frame
from htmlgraph_server.connections.hub_limits import HubLimits
from htmlgraph_server.hub.published_state import PublishedState
from htmlgraph_server.server import open_space
from htmlgraph_server.service import make_service
from tests.benchmarks.machine import allow_open_files
from tests.benchmarks.poster import event_of
from tests.benchmarks.servers import MAX_CLIENTS

AGENTS = 200
TICK_S = 0.02
LATE_S = 1.0
"""Seconds after the end in which a slow peer still sends updates that were due."""


class Source:
    """Generates updates of working agents, numbered without gaps."""

    def __init__(self) -> None:
        self._roster = Roster()
        self._seq = 0

    def change(self, at: float) -> Change:
        """Return the next change, with the wall-clock time ``at``."""
        event = Event.from_dict(event_of(self._seq % AGENTS, self._seq, at))
        self._seq += 1
        change = self._roster.apply(event, self._seq, datetime.now(UTC))
        self._roster.commit()
        return change

    def text(self, at: float) -> str:
        """Return the next change as a presence_update message."""
        change = self.change(at)
        presence = change.presence
        if presence is None:
            raise ValueError("a working agent was removed")
        body = encode_json(presence_to_wire(presence))
        return presence_update(
            body, encode_json(change.agent_id), change.seq, to_rfc3339(change.at)
        )


async def commands() -> tuple[float, float]:
    """Wait for the line ``go RATE SECONDS``."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    _, rate, seconds = line.split()
    return float(rate), float(seconds)


async def due_times(rate: float, seconds: float) -> AsyncIterator[float]:
    """Yield the wall-clock time of each update when it is due; the loop runs in between."""
    start, clock = time.monotonic(), time.time() - time.monotonic()
    n, end = 0, start + seconds
    while (due := start + n / rate) < end and (now := time.monotonic()) < end + LATE_S:
        await asyncio.sleep(max(0.0, due - now))
        yield clock + due
        n += 1


def print_address(port: int) -> None:
    """Print the address."""
    print(f"http://127.0.0.1:{port}", flush=True)


async def tornado_peer(source: Source) -> None:
    """Serve with Tornado as its documentation shows it."""
    clients: set[websocket.WebSocketHandler] = set()

    class Handler(websocket.WebSocketHandler):
        def open(self, *args: str, **kwargs: str) -> None:
            self.set_nodelay(True)
            clients.add(self)

        def on_message(self, message: str | bytes) -> None:
            """Clients send nothing."""

        def on_close(self) -> None:
            clients.discard(self)

    listening = bind_sockets(0, "127.0.0.1")
    HTTPServer(web.Application([("/", Handler)])).add_sockets(listening)
    print_address(listening[0].getsockname()[1])
    async for at in due_times(*await commands()):
        text = source.text(at)
        for client in list(clients):
            client.write_message(text)
    await asyncio.sleep(30)


async def websockets_peer(source: Source) -> None:
    """Serve with the broadcast function of websockets, without compression."""

    async def hold(connection: websockets_server.ServerConnection) -> None:
        await connection.wait_closed()

    async with websockets_server.serve(hold, "127.0.0.1", 0, compression=None) as server:
        print_address(server.sockets[0].getsockname()[1])
        async for at in due_times(*await commands()):
            websockets_server.broadcast(server.connections, source.text(at))
        await asyncio.sleep(30)


async def floor_peer(source: Source) -> None:
    """Send with one system call per client and tick, the lower bound."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4_096)
    listening.setblocking(False)
    print_address(listening.getsockname()[1])
    clients: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    go = asyncio.create_task(commands())

    async def accept() -> None:
        while True:
            client, _ = await loop.sock_accept(listening)
            client.setblocking(False)
            clients.append(client)

    accepting = asyncio.create_task(accept())
    rate, seconds = await go
    accepting.cancel()
    unsent: dict[socket.socket, bytes] = {}
    n, start, clock = 0, time.monotonic(), time.time() - time.monotonic()
    tick = start
    while (now := time.monotonic()) < start + seconds + LATE_S:
        frames = []
        while (due := start + n / rate) < start + seconds and due <= now:
            frames.append(encode_frame(source.text(clock + due)))
            n += 1
        _send_all(clients, b"".join(frames), unsent)
        tick += TICK_S
        time.sleep(max(0.0, tick - time.monotonic()))


def _send_all(
    clients: list[socket.socket], data: bytes, unsent: dict[socket.socket, bytes]
) -> None:
    if unsent:
        for client, rest in list(unsent.items()):
            unsent[client] = rest + data
    for client in clients:
        if client in unsent:
            continue
        if not data:
            return
        try:
            sent = client.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            unsent[client] = data[sent:]
    for client, rest in list(unsent.items()):
        with contextlib.suppress(BlockingIOError):
            rest = rest[client.send(rest) :]
        if rest:
            unsent[client] = rest
        else:
            del unsent[client]


async def hub_peer(source: Source) -> None:
    """Serve the real application and feed its hub, without requests and storage."""
    with tempfile.TemporaryDirectory() as home:
        config = Config(db=f"{home}/hub.db", hub=HubLimits(max_clients=MAX_CLIENTS))
        with PresenceManager(config.db) as manager:
            service = make_service(config, manager, asyncio.get_running_loop())
            service.hub.published = PublishedState(manager.cursor, ())
            spaces = Spaces(service, partial(open_space, config, service), 1)
            listening = bind_sockets(0, "127.0.0.1")
            HTTPServer(make_app(spaces, Gate(config, lambda _: None))).add_sockets(listening)
            print_address(listening[0].getsockname()[1])
            rate, seconds = await commands()
            start, clock = time.monotonic(), time.time() - time.monotonic()
            n, end = 0, start + seconds
            while (now := time.monotonic()) < end + LATE_S:
                changes = []
                while (due := start + n / rate) < end and due <= now:
                    changes.append(source.change(clock + due))
                    n += 1
                if changes:
                    service.hub.publish(Publication(changes, now))
                await asyncio.sleep(0.005)
            await asyncio.sleep(30)


PEERS: dict[str, Callable[[Source], Coroutine[Any, Any, None]]] = {
    "tornado": tornado_peer,
    "websockets": websockets_peer,
    "floor": floor_peer,
    "hub": hub_peer,
}
PATHS = {"tornado": "/", "websockets": "/", "floor": "", "hub": "/ws/broadcasts"}


if __name__ == "__main__":
    allow_open_files(65_536)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(PEERS[sys.argv[1]](Source()))
