"""StreamTransport over a real socket: direct writes, buffered writes and its unsent bytes."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from tornado.iostream import IOStream
from tornado.websocket import WebSocketHandler

from htmlgraph_server.connections.byte_budget import ByteBudget
from htmlgraph_server.hub.transport import SEND_BUFFER_BYTES, StreamTransport

DATA = bytes(range(256)) * 8_192  # 2 MiB: more than any kernel buffer here


async def read_some(reader: socket.socket, n_bytes: int) -> bytes:
    """Read exactly this number of bytes."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < n_bytes:
        data += await loop.sock_recv(reader, n_bytes - len(data))
    return data


def transport_to(writer: socket.socket) -> tuple[StreamTransport, IOStream]:
    """Return a transport over one end of a socket pair."""
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    stream = IOStream(writer)
    account = ByteBudget(1 << 30).open(stream.close)
    return StreamTransport(cast(WebSocketHandler, None), stream, account), stream


def test_pending_decreases_as_a_slow_client_reads() -> None:
    """It reaches 0 at the end, and every byte arrives in order."""

    async def scenario() -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        transport, stream = transport_to(writer)
        unsent = transport.write(DATA)
        assert 0 < unsent < len(DATA)
        assert transport.write(b"after") == unsent + 5
        received, seen = b"", [transport.pending()]
        while len(received) < len(DATA) + 5:
            received += await read_some(reader, min(262_144, len(DATA) + 5 - len(received)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(transport.pending())
        assert received == DATA + b"after"
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) > 4
        while transport.pending():
            await asyncio.sleep(0)
        assert transport.write(b"next") == 0
        assert await read_some(reader, 4) == b"next"
        stream.close()
        reader.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_write_to_closed_connection_keeps_nothing() -> None:
    """A closed stream or peer neither raises nor keeps bytes."""

    async def scenario() -> None:
        reader, writer = socket.socketpair()
        transport, stream = transport_to(writer)
        assert transport.write(DATA) > 0
        reader.close()
        while not stream.closed():
            transport.write(b"more")
            await asyncio.sleep(0)
        assert transport.write(b"late") == 0
        assert transport.pending() == 0

    asyncio.run(asyncio.wait_for(scenario(), 30))
