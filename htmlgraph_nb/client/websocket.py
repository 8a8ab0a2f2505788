"""One WebSocket connection to a server; with rest.py the only sockets of this package."""

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
from .connection_state import Disconnect, describe, error_of
from .discovery import Address, Candidate

OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 0.4
STATE_TIMEOUT_S = 15.0
"""A server that sends no complete state within this time is not one of ours."""
MAX_MESSAGE_BYTES = 2**26
_MOST_AT_ONCE = 1000
_QUEUED_FRAMES = 1024

# At level DEBUG that library writes the headers of the handshake, and with them the token.
_quiet = logging.getLogger("htmlgraph.client.websocket")
_quiet.setLevel(logging.INFO)


def open_socket(address: Address, timeout_s: float) -> socket.socket:
    """Return a TCP socket to the server itself: no proxy, and so nobody else sees the token.

    Args:
        timeout_s: seconds to connect; reading may then wait as long as it likes.

    Raises:
        OSError: the server cannot be reached.
    """
    opened = socket.create_connection((address.host, address.port), timeout_s)
    # Older versions of websockets leave it as it is, and would take silence for an end.
    opened.settimeout(None)
    return opened


class WebSocketSession:
    """Follows one server at a time; :meth:`close` may be called from any thread.

    Args:
        receive: gets the messages that arrived together; returns whether the last part of a
            presence_state was among them.
    """

    def __init__(self, receive: Callable[[list[dict[str, Any]]], bool]) -> None:
        self._receive = receive
        self._lock = threading.Lock()
        self._socket: Connection | None = None
        self._closed = False

    def follow(
        self, candidate: Candidate, parameters: dict[str, str | None], first: str | None = None
    ) -> Disconnect:
        """Connect, hand on messages until the connection ends, and say how it ended.

        Args:
            candidate: where, and with which token.
            parameters: of the URL's query; None leaves one out.
            first: a message to send at once; None sends nothing.
        """
        try:
            sock = open_socket(candidate.address, OPEN_TIMEOUT_S)
        except OSError as error:
            return Disconnect(describe(error, OPEN_TIMEOUT_S))
        try:
            with connect(
                candidate.address.websocket(**parameters),
                sock=sock,
                additional_headers=candidate.headers,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=_QUEUED_FRAMES,
                logger=_quiet,
            ) as websocket:
                return self._follow(websocket, first)
        except InvalidStatus as error:
            return _refusal(error)
        except InvalidHandshake as error:
            return Disconnect(f"answers, but is no htmlgraph-nb server ({error})")
        except (OSError, WebSocketException, EOFError) as error:
            return Disconnect(describe(error, OPEN_TIMEOUT_S))
        except ValueError as error:
            # A redirect: followed, it would show the token to another server.
            return Disconnect(f"answers, but is no htmlgraph-nb server ({error})")
        finally:
            sock.close()

    def close(self) -> None:
        """End the connection, if there is one, and let no other begin; takes up to 0.4 s."""
        with self._lock:
            self._closed = True
            websocket = self._socket
        if websocket is not None:
            websocket.close()

    def _follow(self, websocket: Connection, first: str | None) -> Disconnect:
        with self._lock:
            if self._closed:
                return Disconnect("closed by this client")
            self._socket = websocket
        try:
            return self._read(websocket, first)
        finally:
            with self._lock:
                self._socket = None

    def _read(self, websocket: Connection, first: str | None) -> Disconnect:
        established = False
        deadline = time.monotonic() + STATE_TIMEOUT_S
        try:
            if first is not None:
                websocket.send(first)
            while True:
                wait = None if established else max(0.0, deadline - time.monotonic())
                messages = [decode(text) for text in _receive_batch(websocket, wait)]
                established = self._receive(messages) or established
        except TimeoutError:
            return Disconnect(f"is no htmlgraph-nb server: no state within {STATE_TIMEOUT_S:g} s")
        except ConnectionClosed as error:
            return _closing(error, established)
        except WireError as error:
            websocket.close(CloseCode.GOING_AWAY)
            return Disconnect(f"unreadable message: {error}", established, unreadable=True)


def _receive_batch(websocket: Connection, wait: float | None) -> list[str | bytes]:
    """Return the next message and those that have arrived behind it."""
    texts: list[str | bytes] = [websocket.recv(wait)]
    try:
        while len(texts) < _MOST_AT_ONCE:
            texts.append(websocket.recv(0))
    except (TimeoutError, ConnectionClosed):
        # What has arrived is handed on first; the next call meets the closed connection again.
        pass
    return texts


def _closing(error: ConnectionClosed, established: bool) -> Disconnect:
    if error.rcvd is None:
        return Disconnect("connection lost", established)
    code = int(error.rcvd.code)
    reason = error.rcvd.reason or "no reason given"
    return Disconnect(f"closed by the server: {code} {reason}", established, code)


def _refusal(error: InvalidStatus) -> Disconnect:
    status = error.response.status_code
    code, message = error_of(error.response.body or b"")
    if status in (401, 403):
        return Disconnect(f"refused: HTTP {status} {message or 'token or Origin'}", status=status)
    if code is not None:
        return Disconnect(f"HTTP {status} {message}", status=status)
    return Disconnect(f"answers, but is no htmlgraph-nb server (HTTP {status})", status=status)
