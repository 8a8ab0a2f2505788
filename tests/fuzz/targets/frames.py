"""WebSocket frames of clients (RFC 6455), compared with the parser of another library."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import _WebSocketParams
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from htmlgraph_server.connections.byte_budget import ByteBudget
from htmlgraph_server.connections.websocket_protocol import BoundedWebSocket
from tests.fuzz.oracle import require
from tests.fuzz.targets import split_variant

_LIMITS = {"small": 200, "large": 65_536}
_MAX_STEPS = 10_000


def run(data: bytes) -> None:
    """Receive the frames of a connection that ends after them."""
    variant, body = split_variant(data, tuple(_LIMITS))
    limit = _LIMITS[variant]
    budget = ByteBudget(4 * limit)
    handler, stream = _Handler(), _Stream(body)
    protocol: Any = BoundedWebSocket(
        handler,  # type: ignore[arg-type]
        _WebSocketParams(max_message_size=limit),
        budget,
        30.0,
        lambda: None,
    )
    protocol.stream = stream
    _finish(protocol._receive_frame_loop())
    require(handler.errors == [], f"the loop failed: {handler.errors}")
    require(budget.used == 0, "bytes of a closed connection still count")
    require(all(len(message) <= limit for message in handler.messages), "a message is too long")
    require(stream.closed(), "the connection stays open")
    codes = [Close.parse(frame.data).code for frame in stream.sent if frame.opcode is Opcode.CLOSE]
    require(len(codes) <= 1, "two close frames")
    _compare(body, limit, handler.messages, codes)


def _compare(body: bytes, limit: int, messages: list[str | bytes], codes: list[int]) -> None:
    """Compare with what the library receives, except for texts that are no UTF-8."""
    peer = Protocol(Side.SERVER, max_size=limit)
    peer.receive_data(body)
    expected: list[bytes] = []
    for frame in peer.events_received():
        if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            expected.append(bytes(frame.data))
        elif isinstance(frame, Frame) and frame.opcode is Opcode.CONT:
            expected[-1] += bytes(frame.data)
    received = [each.encode() if isinstance(each, str) else each for each in messages]
    require(received == expected[: len(received)], "other messages than the library receives")
    failed = peer.close_sent.code if peer.parser_exc and peer.close_sent else None
    if 1007 in codes or (1002 in codes and failed != 1002):
        # The library leaves text to its caller, and accepts lengths of the wrong form.
        return
    # The library also returns what an unfinished message contains so far.
    require(len(expected) - len(received) <= 1, "messages are missing")
    if failed in (1002, 1009):
        require(codes == [failed], f"close codes {codes}, the library sends {failed}")


def _finish(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing but its turn."""
    for _ in range(_MAX_STEPS):
        try:
            coroutine.send(None)
        except StopIteration:
            return
    raise AssertionError("receiving does not end")


class _Handler:
    """The handler of a connection: keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.errors: list[object] = []

    def on_message(self, message: str | bytes) -> None:
        self.messages.append(message)

    def log_exception(self, *error: object) -> None:
        self.errors.append(error)

    def on_ping(self, data: bytes) -> None: ...
    def on_pong(self, data: bytes) -> None: ...
    def on_ws_connection_close(self, code: object, reason: object) -> None: ...


class _Loop:
    """The timers of a stream: none expires."""

    def time(self) -> float:
        return 0.0

    def add_timeout(self, deadline: float, callback: object) -> object:
        return callback

    def remove_timeout(self, timeout: object) -> None: ...


class _Socket:
    def shutdown(self, how: int) -> None: ...


class _Stream:
    """A stream with all bytes of a connection."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._is_closed = False
        self.io_loop = _Loop()
        self.error = None
        self.socket = _Socket()
        self.sent: list[Frame] = []

    async def read_bytes(self, n_bytes: int, partial: bool = False) -> bytes:
        left = len(self._data) - self._at
        if self._is_closed or left == 0 or (left < n_bytes and not partial):
            self._is_closed = True
            raise StreamClosedError
        # A part that is smaller than asked for, as from a slow client.
        size = min(left, n_bytes, 61) if partial else n_bytes
        self._at += size
        return self._data[self._at - size : self._at]

    def write(self, data: bytes) -> asyncio.Future[None]:
        if self._is_closed:
            raise StreamClosedError
        if data:
            self.sent.append(_frame_of(bytes(data)))
        return _Done()  # type: ignore[return-value]

    def writing(self) -> bool:
        return False

    def closed(self) -> bool:
        return self._is_closed

    def close(self, *error: object) -> None:
        self._is_closed = True


class _Done:
    """A write that has ended."""

    def __await__(self) -> Any:
        yield from ()

    def done(self) -> bool:
        return True

    def add_done_callback(self, callback: Any) -> None:
        return None


def _frame_of(data: bytes) -> Frame:
    """Return a frame of the server, which is not masked and has at most 125 bytes."""
    require(len(data) >= 2 and data[0] & 0x80 and data[1] == len(data) - 2, "a broken frame")
    return Frame(Opcode(data[0] & 0x0F), data[2:])
