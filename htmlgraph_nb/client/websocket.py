"""One WebSocket connection to a server. Other sockets of the client are opened in rest.py."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from ..core.protocol import CloseCode, decode
from ..errors import WireError
from .connection_state import Disconnect, connect_error_text, parse_error_body
from .discovery import Address, Candidate

logger = logging.getLogger(__name__)
# At level DEBUG, websockets logs the handshake's headers, which contain the token.
logger.setLevel(logging.INFO)

OPEN_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 0.4
_STATE_TIMEOUT_S = 15.0
"""A server that sends no complete state within this time is not an htmlgraph-nb server."""
_MAX_MESSAGE_BYTES = 2**26
_MAX_BATCH = 1000
_MAX_QUEUED_FRAMES = 1024


def open_socket(address: Address, timeout_s: float) -> socket.socket:
    """Return a TCP socket to the server, without a proxy, which could read the token.

    Args:
        timeout_s: seconds to connect; reads have no timeout.

    Raises:
        OSError: the server cannot be reached.
    """
    sock = socket.create_connection((address.host, address.port), timeout_s)
    # Older versions of websockets keep the timeout and would close an idle connection.
    sock.settimeout(None)
    return sock


class WebSocketSession:
    """Follows one server at a time. :meth:`close` may be called from any thread.

    Args:
        receive: called with the messages that arrived together; returns whether they included the
            last part of a presence_state.
    """

    def __init__(self, receive: Callable[[list[dict[str, Any]]], bool]) -> None:
        self._receive = receive
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False

    def follow(
        self, candidate: Candidate, parameters: dict[str, str | None], first: str | None = None
    ) -> Disconnect:
        """Connect, pass on messages until the connection ends, and return why it ended.

        Args:
            candidate: the server and its token.
            parameters: query parameters of the URL; parameters that are None are omitted.
            first: a message to send at once; None: no message.
        """
        try:
            sock = open_socket(candidate.address, OPEN_TIMEOUT_S)
        except OSError as error:
            return Disconnect(connect_error_text(error, OPEN_TIMEOUT_S))
        try:
            with connect(
                candidate.address.websocket(**parameters),
                sock=sock,
                additional_headers=candidate.headers,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=_CLOSE_TIMEOUT_S,
                max_size=_MAX_MESSAGE_BYTES,
                max_queue=_MAX_QUEUED_FRAMES,
                logger=logger,
            ) as connection:
                return self._follow(connection, first)
        except InvalidStatus as error:
            return _rejected_handshake(error)
        except InvalidHandshake as error:
            return Disconnect(f"not an htmlgraph-nb server ({error})")
        except (OSError, WebSocketException, EOFError) as error:
            return Disconnect(connect_error_text(error, OPEN_TIMEOUT_S))
        except ValueError as error:
            # A redirect. Following it would send the token to another server.
            return Disconnect(f"not an htmlgraph-nb server ({error})")
        finally:
            sock.close()

    def close(self) -> None:
        """Close the connection, if any, and refuse new ones; takes up to 0.4 s."""
        with self._lock:
            self._closed = True
            connection = self._connection
        if connection is not None:
            connection.close()

    def _follow(self, connection: Connection, first: str | None) -> Disconnect:
        with self._lock:
            if self._closed:
                return Disconnect("closed by this client")
            self._connection = connection
        try:
            return self._receive_until_closed(connection, first)
        finally:
            with self._lock:
                self._connection = None

    def _receive_until_closed(self, connection: Connection, first: str | None) -> Disconnect:
        established = False
        deadline = time.monotonic() + _STATE_TIMEOUT_S
        try:
            if first is not None:
                connection.send(first)
            while True:
                timeout = None if established else max(0.0, deadline - time.monotonic())
                messages = [decode(text) for text in _receive_batch(connection, timeout)]
                established = self._receive(messages) or established
        except TimeoutError:
            return Disconnect(
                f"not an htmlgraph-nb server: no state received within {_STATE_TIMEOUT_S:g} s"
            )
        except ConnectionClosed as error:
            return _closed_connection(error, established)
        except WireError as error:
            connection.close(CloseCode.GOING_AWAY)
            return Disconnect(f"unreadable message: {error}", established, unreadable=True)


def _receive_batch(connection: Connection, timeout: float | None) -> list[str | bytes]:
    """Return the next message, and further messages that have arrived already."""
    texts: list[str | bytes] = [connection.recv(timeout)]
    try:
        while len(texts) < _MAX_BATCH:
            texts.append(connection.recv(0))
    except (TimeoutError, ConnectionClosed):
        # Process the received messages first. The next call raises ConnectionClosed again.
        pass
    return texts


def _closed_connection(error: ConnectionClosed, established: bool) -> Disconnect:
    if error.rcvd is None:
        return Disconnect("connection lost", established)
    code = int(error.rcvd.code)
    reason = error.rcvd.reason or "no reason given"
    return Disconnect(f"closed by the server: {code} {reason}", established, code)


def _rejected_handshake(error: InvalidStatus) -> Disconnect:
    status = error.response.status_code
    code, message = parse_error_body(error.response.body or b"")
    if status in (401, 403):
        return Disconnect(f"refused: HTTP {status} {message or 'token or Origin'}", status=status)
    if code is not None:
        return Disconnect(f"HTTP {status} {message}", status=status)
    return Disconnect(f"not an htmlgraph-nb server (HTTP {status})", status=status)
