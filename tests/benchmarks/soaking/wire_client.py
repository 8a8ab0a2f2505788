"""Connections to the server that can also be left in bad ways."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_RESET = struct.pack("ii", 1, 0)


class Http:
    """A connection that stays open for several requests.

    Args:
        port: of a server on this machine.
        token: sent with each request.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """Send one request; return status and body.

        Args:
            headers: ``Content_Type`` is the header Content-Type.

        Raises:
            OSError, EOFError, ValueError: the connection ended or broke; the next request opens
                another one.
        """
        try:
            if self._writer is None:
                self._reader, self._writer = await open_stream(self._port)
            lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
            lines.append(f"Authorization: Bearer {self._token}")
            sent = {"Content-Type": "application/json"} if body else {}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            lines += [f"{name}: {value}" for name, value in sent.items()]
            lines.append(f"Content-Length: {len(body)}")
            self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await self._writer.drain()
            return await asyncio.wait_for(self._response(), 60)
        except BaseException:
            self.close()
            raise

    async def _response(self) -> tuple[int, bytes]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        status = int(first.split()[1])
        if headers.get("transfer-encoding") == "chunked":
            return status, await self._chunks()
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return status, body

    async def _chunks(self) -> bytes:
        assert self._reader is not None
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, bytes]:
        """Send JSON."""
        return await self.request("POST", path, json.dumps(body).encode(), **headers)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def open_stream(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a server on this machine."""
    return await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)


def reset(connection: asyncio.StreamWriter | ClientConnection) -> None:
    """End a connection by a reset (RST) instead of a close."""
    transport = connection.transport
    plain: socket.socket | None = transport.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def dashboard(port: int, token: str, query: str = "", path: str = "/ws/broadcasts") -> connect:
    """Return a WebSocket to be opened with ``async with`` or ``await``."""
    return connect(
        f"ws://127.0.0.1:{port}{path}?{query}",
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        max_size=None,
        max_queue=64,
        ping_interval=None,
        close_timeout=2,
    )
