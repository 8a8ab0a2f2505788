"""The two WebSocket routes: dashboards that listen, agents that send."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from htmlgraph_nb.core.protocol import (
    MAX_CLIENT_FRAME_BYTES,
    CloseCode,
    Cursor,
    Filter,
    decode,
    decode_json,
    encode_json,
    error_message,
    error_object,
)
from htmlgraph_nb.core.validation import shorten, validate_string
from htmlgraph_nb.errors import CapacityError, HtmlgraphError, InvalidEvent, WireError

from ..hub.clients import Client, Refused
from ..hub.transport import SEND_BUFFER_BYTES, StreamTransport
from .base import ApiError, Guarded, committed, to_api_error
from .parsing import events_of

logger = logging.getLogger("htmlgraph.ws")

VERSION = "13"
"""Of WebSocket, the only one (RFC 6455 section 4.1)."""
PING_INTERVAL_S = 20
PING_TIMEOUT_S = 20


class Socket(Guarded, WebSocketHandler):
    """What both routes share."""

    guarded_origin = True

    def accepts_query_token(self) -> bool:
        return True

    @property
    def ping_interval(self) -> float:
        return PING_INTERVAL_S

    @property
    def ping_timeout(self) -> float:
        return PING_TIMEOUT_S

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        # Tornado's own looks at the Origin once more, which ``authenticate`` did, and at the rest
        # says no
        # without saying why; what it looked at stays in memory for as long as the connection.
        self._check_handshake()
        self.open_args, self.open_kwargs = args, kwargs
        self.ws_connection = self.get_websocket_protocol()
        if self.ws_connection is not None:
            await self.ws_connection.accept_connection(self)

    def _check_handshake(self) -> None:
        """Look at what RFC 6455 section 4.2.1 wants of a request.

        Raises:
            Problem: something is not as it should be.
        """
        headers = self.request.headers
        if headers.get("Upgrade", "").lower() != "websocket":
            raise ApiError(426, "upgrade_required", "this is a WebSocket: ask for it with Upgrade")
        version = headers.get("Sec-WebSocket-Version", "")
        if version != VERSION:
            seen = shorten(version, 20)
            message = f"the version of WebSocket is {seen}, expected {VERSION}"
            raise ApiError(426, "upgrade_required", message)
        connection = headers.get("Connection", "")
        if "upgrade" not in (option.strip().lower() for option in connection.split(",")):
            seen = shorten(connection, 40)
            raise ApiError(400, "invalid", f"the header Connection is {seen}, expected Upgrade")
        if not headers.get("Sec-WebSocket-Key"):
            raise ApiError(400, "invalid", "the header Sec-WebSocket-Key is missing")

    def forget_request(self) -> None:
        """Let go of the headers: a connection may stay for days, and nobody asks for them again."""
        self.request.headers = HTTPHeaders()
        self._headers = HTTPHeaders()

    async def say(self, text: str) -> None:
        """Send one message and wait until the kernel has it, unless the connection closes.

        Whoever awaits it in ``on_message`` reads nothing more until then, so that a client that
        sends and never reads fills no memory.
        """
        try:
            await self.write_message(text)
        except WebSocketClosedError:
            logger.debug("a client was gone before its answer")


class BroadcastSocket(Socket):
    """``/ws/broadcasts``: a dashboard."""

    client: Client | None = None

    @property
    def max_message_size(self) -> int:
        return MAX_CLIENT_FRAME_BYTES

    def open(self, *args: str, **kwargs: str) -> None:
        self.forget_request()
        stream = self._detached_stream()
        if stream.closed():
            # It left between its request and now.
            return
        try:
            session, cursor, replay = self._parameters()
        except (HtmlgraphError, ApiError) as error:
            message = error.message if isinstance(error, ApiError) else str(error)
            self.close(CloseCode.BAD_PARAMETERS, _reason(message))
            return
        self.set_nodelay(True)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        transport = StreamTransport(self, stream)
        try:
            self.client = self.service.hub.join(
                transport, session=session, cursor=cursor, replay=replay
            )
        except Refused as refused:
            logger.info("a dashboard was refused: %s", refused.reason)
            self.close(refused.code, _reason(refused.reason))

    def _detached_stream(self) -> IOStream:
        connection = self.ws_connection
        stream: IOStream | None = None if connection is None else connection.stream
        if stream is None:
            raise WebSocketClosedError
        return stream

    def _parameters(self) -> tuple[str | None, Cursor | None, bool]:
        session = self._parameter("session")
        if session is not None:
            validate_string(session, "session")
        since = self._parameter("since")
        replay = self._parameter("replay")
        if replay not in (None, "updates"):
            raise WireError(f"replay is {shorten(replay, 20)}, expected 'updates'")
        return session, Cursor.parse(since) if since else None, replay == "updates"

    def _parameter(self, name: str) -> str | None:
        """Return a parameter's text; scripts leave it empty where they have nothing to say."""
        given = self.request.query_arguments.get(name, ())
        return self.text_parameter(name) if any(given) else None

    async def on_message(self, message: str | bytes) -> None:
        if self.client is None:
            return
        if message == "ping":
            await self.say('{"type":"pong"}')
            return
        if message == "subscribe":
            message = '{"type":"subscribe"}'
        try:
            await self._answer(decode(message, MAX_CLIENT_FRAME_BYTES))
        except InvalidEvent as error:
            await self.say(error_message("invalid", error.message, error.field))
        except WireError as error:
            await self.say(error_message("invalid_message", str(error)))

    async def _answer(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ping":
            await self.say('{"type":"pong"}')
        elif kind == "subscribe" and self.client is not None:
            wish = Filter.from_dict(message)
            lists = {name: sorted(getattr(wish, name)) for name in Filter.__slots__}
            await self.say(
                encode_json({"type": "subscribed", **{k: v for k, v in lists.items() if v}})
            )
            if len(message) > 1:
                self.service.hub.subscribe(self.client, wish)
        else:
            raise InvalidEvent(
                f"unknown message type {kind[:40]!r}, expected ping or subscribe", "type"
            )

    def on_close(self) -> None:
        if self.client is not None:
            self.service.hub.leave(self.client)


class IngestSocket(Socket):
    """``/ws/events``: a stream of events, each frame answered after its commit."""

    n_frames = 0
    writes_always = True

    @property
    def max_message_size(self) -> int:
        return self.service.config.max_body_bytes

    def open(self, *args: str, **kwargs: str) -> None:
        self.forget_request()
        self.set_nodelay(True)

    async def on_message(self, message: str | bytes) -> None:
        # Tornado reads the next frame only when this one is done: the sender is slowed to the
        # speed of the disk, and nothing piles up here.
        self.n_frames += 1
        received = time.monotonic()
        try:
            events = events_of(decode_json(message, "the frame"))
            receipt = await committed(self.service.manager.submit(events, received))
        except (HtmlgraphError, CapacityError) as error:
            problem = to_api_error(error)
            if problem is None:
                raise
            await self.say(
                encode_json(
                    {
                        "type": "error",
                        "n": self.n_frames,
                        **error_object(problem.code, problem.message, problem.field),
                    }
                )
            )
            return
        await self.say(
            encode_json(
                {
                    "type": "ack",
                    "n": self.n_frames,
                    "accepted": receipt.accepted,
                    "duplicates": receipt.duplicates,
                    "event_ids": [event.event_id for event in events],
                    "cursor": str(receipt.cursor),
                }
            )
        )


def _reason(text: str) -> str:
    """A close reason has at most 123 bytes (RFC 6455 section 5.5)."""
    return text.encode()[:120].decode(errors="ignore")
