"""WebSocket frames byte by byte (RFC 6455 section 5.2), for tests of what no library would send."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MASK = b"\x37\xfa\x21\x3d"
"""The mask of the example in RFC 6455 section 5.7."""


@dataclass(frozen=True)
class Frame:
    """A frame from the server."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """The opcode, without FIN and the reserved bits."""
        return self.first & 0x0F


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """Return a payload with a mask applied."""
    n_masks = len(payload) // 4 + 1
    value = int.from_bytes(payload, "big") ^ int.from_bytes((mask * n_masks)[: len(payload)], "big")
    return value.to_bytes(len(payload), "big")


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0) -> bytes:
    """Return a masked frame.

    Args:
        fin: whether it is the last one of its message.
        bits: the reserved bits of the first byte, such as 0x40.
    """
    first = bytes((opcode | bits | (0x80 if fin else 0),))
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return first + length + MASK + masked(payload)


def handshake(port: int, path: str = "/ws/broadcasts") -> bytes:
    """Return the request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class RawSocket:
    """An open WebSocket whose bytes the test sends itself.

    Args:
        server: has the attribute ``port`` and the method ``ws``.
        path: path and query of the route.

    Attributes:
        was_reset: whether the server reset the connection instead of closing it.
    """

    def __init__(self, server: Any, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        url = urlsplit(server.ws(path))
        self.socket.sendall(handshake(server.port, f"{url.path}?{url.query}"))
        self.was_reset = False
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.socket.recv(4_096)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head

    def _take(self, n_bytes: int) -> bytes | None:
        while len(self._buffer) < n_bytes:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                self.was_reset = True
                return None
            if not data:
                return None
            self._buffer += data
        taken, self._buffer = self._buffer[:n_bytes], self._buffer[n_bytes:]
        return taken

    def next_frame(self) -> Frame | None:
        """Return the next frame; None: the server ended the connection."""
        head = self._take(2)
        if head is None:
            return None
        size = head[1]
        if size > 125:
            length = self._take(2 if size == 126 else 8)
            if length is None:
                return None
            size = int.from_bytes(length, "big")
        payload = self._take(size)
        return None if payload is None else Frame(head[0], payload)

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()
