"""The receiving side of a WebSocket, by the rules of RFC 6455 and within limits.

Tornado's own accepts unmasked frames, ends the connection without a close code on most violations,
and buffers unfinished messages without a common limit.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from tornado.iostream import SSLIOStream, StreamClosedError
from tornado.util import _websocket_mask
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, _WebSocketParams

from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_nb.errors import ProtocolViolation

from .byte_budget import ByteBudget
from .frames import encode_frame
from .stream_errors import drop_traceback

CHUNK_BYTES = 65_536
"""Number of payload bytes to read at a time."""
MESSAGE_S = 300
"""How long receiving one message may take."""
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_BUSY = "the server holds too many unfinished messages; retry later"
_YIELD_BYTES = 262_144
_FRAME_COST_BYTES = 1_024


class _Head(NamedTuple):
    fin: bool
    opcode: int
    size: int
    mask: bytes


class BoundedWebSocket(WebSocketProtocol13):
    """Tornado's protocol with a strict receiving side.

    Args:
        handler: the handler of the route.
        params: as for Tornado's class; ``max_message_size`` is the limit of one message.
        budget: the budget of unfinished messages.
        stall_timeout_s: seconds after which a client that stopped sending within a message is
            closed, noticed when it answers the next ping; and after which one that does not read a
            response is.
        on_closing: called when the closing handshake begins: nothing may be sent any more.
    """

    def __init__(
        self,
        handler: WebSocketHandler,
        params: _WebSocketParams,
        budget: ByteBudget,
        stall_timeout_s: float,
        on_closing: Callable[[], object],
    ) -> None:
        super().__init__(handler, False, params)
        self.account = budget.open(self._give_up)
        self._stall_timeout_s = stall_timeout_s
        self._on_closing = on_closing
        self._is_given_up = False
        # The unfinished message.
        self._parts: list[bytes] = []
        self._n_bytes = 0
        self._opcode: int | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._started = self._continued = 0.0

    def _give_up(self) -> None:
        self._is_given_up = True
        self._parts.clear()
        if self.stream.writing():
            # A close frame would wait behind the bytes that the client does not read.
            self._abort()
        else:
            self.close(CloseCode.TRY_LATER, _BUSY)

    async def send_text(self, text: str) -> None:
        """Send one message and wait until the kernel has it; ignore a closed connection."""
        data = encode_frame(text)
        try:
            sent = None if self.is_closing() else self.stream.write(data)
        except StreamClosedError:
            sent = None
        if sent is None or sent.done():
            return
        self.account.add(len(data))
        done, _ = await asyncio.wait({sent}, timeout=self._stall_timeout_s)
        self.account.subtract(len(data))
        if not done:
            self._abort()

    async def _receive_frame_loop(self) -> None:
        """Read messages until either side ends the connection. Tornado calls it after ``open``."""
        try:
            await self._receive_messages()
        except ProtocolViolation as violation:
            self.close(violation.code, violation.reason)
            await self._linger()
        except StreamClosedError:
            self._abort()
        except asyncio.CancelledError:
            # The server is shutting down.
            self._abort()
        except Exception:  # noqa: BLE001 - logged; it concerns this connection only
            self.handler.log_exception(*sys.exc_info())
            self._abort()
        finally:
            self._parts.clear()
            self.handler.on_ws_connection_close(self.close_code, self.close_reason)
            self._break_cycles()

    def _break_cycles(self) -> None:
        """Drop what keeps this connection and its buffers in memory until a garbage collection."""
        self.account.close()
        self._on_closing = _do_nothing
        drop_traceback(self.stream)

    async def _receive_messages(self) -> None:
        cost = 0
        while not self.client_terminated:
            head = await self._read_head()
            if head.opcode & 0x8:
                await self._handle_control(head)
            else:
                await self._receive_data(head)
            cost += _FRAME_COST_BYTES + head.size
            if cost >= _YIELD_BYTES:
                cost = 0
                await asyncio.sleep(0)

    async def _read_head(self) -> _Head:
        first, second = await self.stream.read_bytes(2)
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70:
            _violate("reserved bits are set")
        if not second & 0x80:
            _violate("frames from clients must be masked")
        if opcode not in (_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG):
            _violate(f"unknown opcode {opcode}")
        fin = bool(first & 0x80)
        if opcode & 0x8 and (size > 125 or not fin):
            _violate("control frames have at most 125 bytes and one frame")
        n_length = {126: 2, 127: 8}.get(size, 0)
        rest = await self.stream.read_bytes(n_length + 4)
        if n_length:
            size = int.from_bytes(rest[:n_length], "big")
            if size < (126 if n_length == 2 else 65_536) or size >> 63:
                _violate("the length has the wrong form")
        return _Head(fin, opcode, size, rest[n_length:])

    # Data

    async def _receive_data(self, head: _Head) -> None:
        if head.opcode == _CONTINUATION:
            if self._opcode is None:
                _violate("there is no message to continue")
        elif self._opcode is not None:
            _violate("a message must end before the next one")
        else:
            self._opcode = head.opcode
            self._started = self._continued = time.monotonic()
        limit = self.params.max_message_size
        if self._n_bytes + head.size > limit:
            raise ProtocolViolation(
                CloseCode.TOO_BIG, f"message too big; at most {limit} bytes are allowed"
            )
        await self._receive_payload(head)
        if head.fin:
            await self._handle_data()

    async def _receive_payload(self, head: _Head) -> None:
        n_read = 0
        while n_read < head.size:
            n_next = min(CHUNK_BYTES, head.size - n_read)
            chunk = await self.stream.read_bytes(n_next, partial=True)
            shift = n_read % 4
            n_read += len(chunk)
            chunk = _websocket_mask(head.mask[shift:] + head.mask[:shift], chunk)
            self._parts.append(chunk)
            self._n_bytes += len(chunk)
            self.account.add(len(chunk))
            if self._is_given_up:
                raise ProtocolViolation(CloseCode.TRY_LATER, _BUSY)
            if self._opcode == _TEXT and not (head.fin and n_read == self._n_bytes == head.size):
                # It comes in parts: find an error in each, not only at the end.
                self._check_text(chunk)
        self._continued = time.monotonic() if not head.fin else self._started

    def _check_text(self, chunk: bytes) -> None:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError:
            raise _invalid_text() from None

    async def _handle_data(self) -> None:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        is_text = self._opcode == _TEXT
        self._parts.clear()
        self._n_bytes, self._opcode, self._decoder = 0, None, None
        message: str | bytes = data
        if is_text:
            try:
                message = data.decode()
            except UnicodeDecodeError:
                raise _invalid_text() from None
        if self.server_terminated:
            # Nothing can be answered any more.
            return
        self.account.is_pinned = True
        handled = self.handler.on_message(message)
        if handled is not None:
            await handled
        self.account.is_pinned = False
        self.account.subtract(len(data))

    # Control frames

    async def _handle_control(self, head: _Head) -> None:
        data = b""
        if head.size:
            data = _websocket_mask(head.mask, await self.stream.read_bytes(head.size))
        if head.opcode == _PING:
            self._send_pong(data)
            self.handler.on_ping(data)
        elif head.opcode == _PONG:
            self._received_pong = True
            self.handler.on_pong(data)
        else:
            await self._handle_close(data)
            return
        if self._opcode is not None:
            self._check_progress(time.monotonic())

    def _check_progress(self, now: float) -> None:
        if now - self._continued > self._stall_timeout_s or now - self._started > MESSAGE_S:
            raise ProtocolViolation(CloseCode.POLICY, "the message was not continued in time")

    async def _handle_close(self, data: bytes) -> None:
        code, reason = None, None
        if data:
            if len(data) == 1:
                _violate("a close frame has a code of two bytes")
            (code,) = struct.unpack(">H", data[:2])
            if not _is_close_code(code):
                _violate(f"close code {code} is not allowed")
            try:
                reason = data[2:].decode()
            except UnicodeDecodeError:
                raise _invalid_text() from None
        self.close_code, self.close_reason = code, reason
        # Tornado ends the connection at once if the client's close frame is known.
        self.close(code)
        self.client_terminated = True
        await self._linger()

    async def _linger(self) -> None:
        """End the connection, but not before the client has read our close frame.

        Closing a socket with unread bytes resets the connection, and the reset overtakes the frame.
        The timer that ``close`` has started limits the wait.
        """
        self._on_closing()
        self._parts.clear()
        self.account.clear()
        with contextlib.suppress(StreamClosedError, OSError):
            # An empty write ends after all others.
            await self.stream.write(b"")
            if not isinstance(self.stream, SSLIOStream):
                self.stream.socket.shutdown(socket.SHUT_WR)
            while True:
                await self.stream.read_bytes(CHUNK_BYTES, partial=True)
        self._abort()


def _do_nothing() -> None: ...


def _violate(reason: str) -> NoReturn:
    raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, reason)


def _invalid_text() -> ProtocolViolation:
    return ProtocolViolation(CloseCode.INVALID_TEXT, "text must be UTF-8")


def _is_close_code(code: int) -> bool:
    """Return whether a client may send this code (RFC 6455 section 7.4 and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
