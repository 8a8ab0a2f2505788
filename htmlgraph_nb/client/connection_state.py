"""The state of a connection, why it ended, and the delay before the next attempt. No I/O."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..core.protocol import CloseCode
from ..core.timestamps import to_rfc3339

_FIRST_DELAY_S = 3.0
_MAX_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """The state of a client's connection to its server.

    Attributes:
        state: "connecting" (never connected so far), "connected", "reconnecting" or "closed".
        stale_since: time since which the agents may be out of date, UTC; None while connected and
            before the first connection.
        detail: one or more lines of text: the address, or the addresses tried and a command to
            start a server.
        url: the server's address; "" before the first connection.
    """

    state: str = "connecting"
    stale_since: datetime | None = None
    detail: str = ""
    url: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that the front end displays."""
        stale = None if self.stale_since is None else to_rfc3339(self.stale_since)
        return {"state": self.state, "staleSince": stale, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The end of a connection, or of an attempt to connect.

    Attributes:
        reason: for display.
        established: whether a complete state had been received before.
        code: the WebSocket close code; None: no close frame was received.
        status: the HTTP status of a rejected handshake; None: the handshake was not rejected.
        unreadable: whether a message of the server could not be decoded.
    """

    reason: str
    established: bool = False
    code: int | None = None
    status: int | None = None
    unreadable: bool = False

    @property
    def refused(self) -> bool:
        """Whether the server rejected this client."""
        return self.code == CloseCode.POLICY or self.status in (401, 403)

    @property
    def final(self) -> bool:
        """Whether a retry with the same parameters would fail."""
        return self.code == CloseCode.BAD_PARAMETERS


def reconnect_delay(ended: Disconnect, attempt: int, random: float) -> float | None:
    """Return the seconds to wait before the next attempt; None: give up.

    Args:
        ended: the end of the last attempt.
        attempt: number of failed attempts since the last connection.
        random: jitter, 0 to 1, so that many clients do not reconnect at the same time.
    """
    if ended.final:
        return None
    if ended.refused:
        return _MAX_DELAY_S
    if attempt == 0:
        return _FIRST_DELAY_S
    longest = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(attempt, 10))
    return _FIRST_DELAY_S + (longest - _FIRST_DELAY_S) * (0.5 + random / 2)


def connect_error_text(error: BaseException, timeout_s: float) -> str:
    """Return a short text for an error on connecting to a server."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "unknown host name"
    if isinstance(error, TimeoutError):
        return f"timed out after {timeout_s:g} s"
    return f"{type(error).__name__}: {error}"


def parse_error_body(body: bytes | bytearray) -> tuple[str | None, str]:
    """Return code and message of ``{"error":{"code","message","field"}}``, else None and ""."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return None, ""
