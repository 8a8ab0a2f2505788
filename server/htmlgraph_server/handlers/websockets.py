"""The WebSocket routes: dashboards that receive changes, and agents that send events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from collections.abc import Awaitable
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol13

from htmlgraph_nb.core.changes import IngestResult
from htmlgraph_nb.core.model import Event
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
from htmlgraph_nb.errors import (
    ApiError,
    CapacityError,
    HtmlgraphError,
    InvalidEvent,
    JoinRefused,
    WireError,
)
from htmlgraph_nb.forwarding.host_board import HostReport
from htmlgraph_nb.forwarding.host_links import without_own

from ..connections.websocket_protocol import BoundedWebSocket
from ..decoding.json_steps import STEP_CHARS
from ..hub.clients import Client
from ..hub.transport import SEND_BUFFER_BYTES, StreamTransport
from .base import BaseHandler, to_api_error
from .parsing import parse_events

logger = logging.getLogger(__name__)

WEBSOCKET_VERSION = "13"
"""The only version of the protocol (RFC 6455 section 4.1)."""
PING_INTERVAL_S = 20
PING_TIMEOUT_S = 20
CATCH_UP_S = 2.0
"""Time that a client that resumes waits until this server has read as much as the client."""


class WebSocketBase(BaseHandler, WebSocketHandler):
    """Handshake and sending, common to both routes."""

    checks_origin = True

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
        # Replaces Tornado's, which repeats the Origin check of ``authenticate``, refuses without
        # a reason, and keeps what it parsed for as long as the connection is open.
        self._check_handshake()
        self.open_args, self.open_kwargs = args, kwargs
        self.ws_connection = self.get_websocket_protocol()
        if self.ws_connection is not None:
            await self.ws_connection.accept_connection(self)

    def _check_handshake(self) -> None:
        """Check the request by RFC 6455 section 4.2.1.

        Raises:
            ApiError: a header is missing or wrong.
        """
        headers = self.request.headers
        if headers.get("Upgrade", "").lower() != "websocket":
            message = "this is a WebSocket route: expected the header 'Upgrade: websocket'"
            raise ApiError(426, "upgrade_required", message)
        version = headers.get("Sec-WebSocket-Version", "")
        if version != WEBSOCKET_VERSION:
            shown = shorten(version, 20)
            message = f"Sec-WebSocket-Version: expected {WEBSOCKET_VERSION}, got {shown}"
            raise ApiError(426, "upgrade_required", message)
        connection = headers.get("Connection", "")
        if "upgrade" not in (option.strip().lower() for option in connection.split(",")):
            shown = shorten(connection, 40)
            raise ApiError(400, "invalid", f"Connection: expected Upgrade, got {shown}")
        key = headers.get("Sec-WebSocket-Key")
        if not key:
            raise ApiError(400, "invalid", "missing header Sec-WebSocket-Key")
        if not re.fullmatch(r"[A-Za-z0-9+/]{22}==", key):
            raise ApiError(400, "invalid", "Sec-WebSocket-Key: expected 16 bytes in Base64")

    def drop_request_headers(self) -> None:
        """Free the headers of the handshake: a connection may stay open for days."""
        self.request.headers = HTTPHeaders()
        self._headers = HTTPHeaders()

    def get_websocket_protocol(self) -> BoundedWebSocket | None:
        """Return the protocol with this project's limits, instead of Tornado's own."""
        own = super().get_websocket_protocol()
        if not isinstance(own, WebSocketProtocol13):
            return None
        service = self.service
        stall_timeout_s = service.config.hub.stall_timeout_s
        return BoundedWebSocket(self, own.params, service.budget, stall_timeout_s, self.on_closing)

    @property
    def protocol(self) -> BoundedWebSocket:
        """The open connection.

        Raises:
            WebSocketClosedError: it is closed.
        """
        if not isinstance(self.ws_connection, BoundedWebSocket):
            raise WebSocketClosedError
        return self.ws_connection

    async def send(self, text: str) -> None:
        """Send one message and wait until the kernel has it; ignore a closed connection.

        ``on_message`` awaits this, so no further message is read meanwhile: a client that sends
        and never reads cannot fill the memory.
        """
        try:
            await self.protocol.send_text(text)
        except WebSocketClosedError:
            logger.debug("a client disconnected before its response")

    def on_closing(self) -> None:
        """Called when the closing handshake begins: nothing may be sent any more."""

    def open(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
        """See WebSocketHandler; overrides call this first."""
        self.drop_request_headers()
        if self.identity.token_id:
            self.gate.add_socket(self.identity.token_id, self)
        return None

    def on_finish(self) -> None:
        # Tornado calls this at the end of the handshake; an open WebSocket still uses its space.
        if self.get_status() != HTTPStatus.SWITCHING_PROTOCOLS:
            super().on_finish()

    def on_close(self) -> None:
        """See WebSocketHandler; overrides call this, too."""
        if self.identity.token_id:
            self.gate.remove_socket(self.identity.token_id, self)


class BroadcastWebSocket(WebSocketBase):
    """``/ws/broadcasts``: a dashboard."""

    client: Client | None = None

    @property
    def max_message_size(self) -> int:
        return MAX_CLIENT_FRAME_BYTES

    async def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        stream = self.protocol.stream
        # Its state can be large.
        await self.service.turns.next()
        if stream.closed() or self.protocol.is_closing():
            # The client disconnected during the handshake, or its token was revoked.
            return
        try:
            session, cursor, legacy_state, alerts = self._parameters()
        except HtmlgraphError as error:
            self.close(CloseCode.BAD_PARAMETERS, _close_reason(str(error)))
            return
        if cursor is not None:
            await self._catch_up(cursor)
            if stream.closed() or self.protocol.is_closing():
                return
        self.set_nodelay(True)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        transport = StreamTransport(self, stream, self.protocol.account)
        try:
            self.client = self.service.hub.join(
                transport,
                session=session,
                cursor=cursor,
                legacy_state=legacy_state,
                alerts=alerts,
            )
        except JoinRefused as error:
            logger.info("dashboard refused: %s", error.reason)
            self.close(error.code, _close_reason(error.reason))

    async def _catch_up(self, cursor: Cursor) -> None:
        """Read what other servers committed if the client has seen more of it than this server."""
        published = self.service.hub.published.cursor
        if cursor.epoch != published.epoch or cursor.seq <= published.seq:
            return
        # What the client has seen is committed, so any transaction reads and publishes it.
        commit = self.committed(self.service.manager.submit([], time.monotonic()))
        with contextlib.suppress(asyncio.TimeoutError, HtmlgraphError):
            await asyncio.wait_for(commit, CATCH_UP_S)

    def _parameters(self) -> tuple[str | None, Cursor | None, bool, bool]:
        session = self._optional_parameter("session")
        if session is not None:
            validate_string(session, "session")
        since = self._optional_parameter("since")
        replay = self._optional_parameter("replay")
        if replay not in (None, "updates"):
            raise WireError(f"replay: expected 'updates', got {shorten(replay, 20)}")
        alerts = self._optional_parameter("alerts")
        if alerts not in (None, "0", "1"):
            raise WireError(f"alerts: expected 0 or 1, got {shorten(alerts, 20)}")
        resumed = Cursor.parse(since) if since else None
        return session, resumed, replay == "updates", alerts != "0"

    def _optional_parameter(self, name: str) -> str | None:
        """Return a parameter; None if it is absent or empty, as scripts send it."""
        values = self.request.query_arguments.get(name, ())
        return self.string_parameter(name) if any(values) else None

    async def on_message(self, message: str | bytes) -> None:
        if self.client is None:
            return
        if message == "ping":
            await self.send('{"type":"pong"}')
            return
        if message == "subscribe":
            message = '{"type":"subscribe"}'
        try:
            await self._respond(decode(message, MAX_CLIENT_FRAME_BYTES))
        except InvalidEvent as error:
            await self.send(error_message("invalid", error.message, error.field))
        except WireError as error:
            await self.send(error_message("invalid_message", str(error)))
        except CapacityError as error:
            await self.send(error_message(error.code, str(error)))

    async def _respond(self, message: dict[str, Any]) -> None:
        message_type = message["type"]
        if message_type == "ping":
            await self.send('{"type":"pong"}')
        elif message_type == "subscribe" and self.client is not None:
            await self.service.turns.next()
            filter_ = Filter.from_dict(message)
            self.service.hub.groups.check_room(filter_)
            lists = {name: sorted(getattr(filter_, name)) for name in Filter.__slots__}
            await self.send(
                encode_json({"type": "subscribed", **{k: v for k, v in lists.items() if v}})
            )
            if len(message) > 1:
                self.service.hub.subscribe(self.client, filter_)
        else:
            raise InvalidEvent(
                f"type: expected ping or subscribe, got {message_type[:40]!r}", "type"
            )

    def on_closing(self) -> None:
        """See WebSocketBase."""
        self.on_close()

    def on_close(self) -> None:
        super().on_close()
        if self.client is not None:
            self.service.hub.leave(self.client)
            # They refer to each other, and would stay in memory until a garbage collection.
            self.client = None


class EventWebSocket(WebSocketBase):
    """``/ws/events``: a stream of events; each frame is acknowledged after its commit.

    A server that forwards the events of its host names the host first, and again as a heartbeat.
    """

    n_frames = 0
    host: str | None = None
    _is_busy = False
    _is_going_away = False

    @property
    def max_message_size(self) -> int:
        return self.service.config.max_body_bytes

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        self.set_nodelay(True)
        self.service.senders.add(self)

    def on_close(self) -> None:
        """See WebSocketBase."""
        super().on_close()
        self.service.senders.remove(self)
        if self.host is not None:
            host, self.host = self.host, None
            self.service.hosts.leave(host)

    def go_away(self) -> None:
        """See event_senders.EventSocket."""
        self._is_going_away = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._is_going_away and not self._is_busy:
            self.close(CloseCode.GOING_AWAY, "server shutting down")

    async def on_message(self, message: str | bytes) -> None:
        if self._is_going_away:
            return
        self._is_busy = True
        try:
            await self._store(message)
        finally:
            self._is_busy = False
            self._close_if_idle()

    async def _store(self, message: str | bytes) -> None:
        # Tornado reads the next frame only after this returns: the sender is slowed down to the
        # speed of the disk, and no frames accumulate here.
        self.n_frames += 1
        received = time.monotonic()
        try:
            if len(message) <= STEP_CHARS:
                frame = decode_json(message, "frame")
                if isinstance(frame, dict) and frame.get("type") == "host":
                    await self.send(encode_json(self._take_host(frame)))
                    return
                events = parse_events(frame)
            else:
                events = await self.decode_events(message, "frame")
            self.identity.check_events(events)
            result = await self.committed(self._submit(events, received))
        except HtmlgraphError as error:
            api_error = to_api_error(error)
            if api_error is None:
                raise
            details = error_object(api_error.code, api_error.message, api_error.field)
            await self.send(encode_json({"type": "error", "n": self.n_frames, **details}))
            return
        await self.send(
            encode_json(
                {
                    "type": "ack",
                    "n": self.n_frames,
                    "accepted": result.accepted,
                    "duplicates": result.duplicates,
                    "event_ids": [event.event_id for event in events],
                    "cursor": str(result.cursor),
                }
            )
        )

    def _take_host(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Take the report of a host and return the response."""
        self.host = self.service.hosts.take(HostReport.from_dict(frame), self.host)
        cursor = str(self.service.manager.cursor)
        return {"type": "host_ack", "cursor": cursor, "heartbeat_s": self.service.hosts.heartbeat_s}

    def _submit(self, events: list[Event], received: float) -> Future[IngestResult]:
        manager = self.service.manager
        if self.host is None:
            return manager.submit(events, received)
        self.service.hosts.contact(self.host)
        # What this server forwarded itself does not come back by a loop of servers.
        events = [*without_own(events, manager.cursor.epoch)]
        return manager.submit(events, received, self.host)


def _close_reason(text: str) -> str:
    """Return a text cut to the 123 bytes of a close reason (RFC 6455 section 5.5)."""
    return text.encode()[:120].decode(errors="ignore")
