"""The way to one dashboard over a Tornado connection."""

from __future__ import annotations

import socket
import ssl
from asyncio import Future
from functools import partial

from tornado.iostream import IOStream, SSLIOStream
from tornado.websocket import WebSocketHandler

SEND_BUFFER_BYTES = 131_072
"""What the kernel may hold for one dashboard; more would hide a reader that has stopped."""
PROGRESS_BYTES = 65_536
"""In parts of this size the bytes that wait for one dashboard are counted down."""


class StreamTransport:
    """Writes whole frames to a Tornado connection, past its buffer while that is empty.

    Args:
        handler: an open WebSocketHandler.
    """

    __slots__ = ("_handler", "_plain", "_socket", "_stream", "_unsent")

    def __init__(self, handler: WebSocketHandler, stream: IOStream) -> None:
        self._handler = handler
        self._stream = stream
        self._plain = not isinstance(stream, SSLIOStream)
        self._socket: socket.socket | ssl.SSLSocket = stream.socket
        # Bytes that the stream was given and has not reported as sent.
        self._unsent = 0

    def write(self, data: bytes) -> int:
        """See clients.Transport."""
        stream = self._stream
        sent = 0
        if self._plain and not stream.writing():
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The reading side notices the same and ends the connection.
                return 0
            if sent == len(data):
                return 0
        if stream.closed():
            return 0
        self._give(memoryview(data)[sent:])
        return self._unsent

    def _give(self, rest: memoryview) -> None:
        # In parts, so that a reader who takes long for a large state is seen to go on.
        for start in range(0, len(rest), PROGRESS_BYTES):
            part = rest[start : start + PROGRESS_BYTES]
            self._unsent += len(part)
            self._stream.write(part).add_done_callback(partial(self._sent, len(part)))

    def _sent(self, n_bytes: int, _done: Future[None]) -> None:
        self._unsent -= n_bytes

    def pending(self) -> int:
        """See clients.Transport."""
        return self._unsent if self._stream.writing() else 0

    def close(self, code: int, reason: str) -> None:
        """See clients.Transport."""
        self._handler.close(code, reason)

    def abort(self) -> None:
        """See clients.Transport."""
        self._stream.close()
