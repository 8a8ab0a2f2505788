"""The hub's transport over a Tornado WebSocket connection."""

from __future__ import annotations

import socket
import ssl
from asyncio import Future
from functools import partial

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from ..connections.byte_budget import ByteAccount

SEND_BUFFER_BYTES = 131_072
"""Kernel send buffer of one client; a larger one would hide a client that stopped reading."""
PROGRESS_BYTES = 65_536
"""Size of one write to the stream: the unsent bytes of a client decrease in such steps."""


class StreamTransport:
    """Writes whole frames to a Tornado connection, bypassing its buffer while that is empty.

    Args:
        handler: an open WebSocketHandler.
        stream: its stream.
        account: the account of the connection.
    """

    __slots__ = ("_account", "_handler", "_plain", "_socket", "_stream", "_unsent")

    def __init__(self, handler: WebSocketHandler, stream: IOStream, account: ByteAccount) -> None:
        self._account = account
        self._handler = handler
        self._stream = stream
        self._plain = not isinstance(stream, SSLIOStream)
        self._socket: socket.socket | ssl.SSLSocket = stream.socket
        # Bytes handed to the stream and not reported as sent yet.
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
            except OSError as error:
                self._end(error)
                return 0
            if sent == len(data):
                return 0
        try:
            self._write_buffered(data, sent)
        except StreamClosedError:
            # Closed before, or by the error of a piece.
            self._account.release(data)
            return 0
        return self._unsent

    def _end(self, error: OSError) -> None:
        # Closing wakes the reading side, which reports the end of the connection. The stream keeps
        # the error; a traceback would keep all that this tick sends.
        error.__traceback__ = None
        self._stream.close(exc_info=(type(error), error, None))

    def _write_buffered(self, data: bytes, sent: int) -> None:
        rest = memoryview(data)[sent:]
        self._account.hold(data)
        # In pieces, so that progress is visible while a large state is being sent.
        for start in range(0, len(rest), PROGRESS_BYTES):
            piece = rest[start : start + PROGRESS_BYTES]
            self._unsent += len(piece)
            done = self._stream.write(piece)
            done.add_done_callback(partial(self._on_sent, len(piece)))
        done.add_done_callback(partial(self._release, data))

    def _on_sent(self, n_bytes: int, _done: Future[None]) -> None:
        self._unsent -= n_bytes

    def _release(self, data: bytes, _done: Future[None]) -> None:
        self._account.release(data)

    def pending(self) -> int:
        """See clients.Transport."""
        return self._unsent if self._stream.writing() else 0

    def close(self, code: int, reason: str) -> None:
        """See clients.Transport."""
        self._handler.close(code, reason)

    def abort(self) -> None:
        """See clients.Transport."""
        self._stream.close()
