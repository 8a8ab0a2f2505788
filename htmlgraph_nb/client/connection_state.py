"""What the state of a connection is, what its end means, and how long to wait before the next.

It decides; it knows no socket and no clock.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..core.protocol import CloseCode
from ..core.timestamps import to_rfc3339

FIRST_PAUSE_S = 3.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """How a client stands with its server.

    Attributes:
        state: "connecting" (never connected so far), "connected", "reconnecting" or "closed".
        stale_since: since when the agents may be out of date, UTC; None while connected and
            before the first connection.
        detail: one or more lines for a person: the address, or what was tried and what to type.
        url: the server's address; "" before the first connection.
    """

    state: str = "connecting"
    stale_since: datetime | None = None
    detail: str = ""
    url: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that the front end shows."""
        stale = None if self.stale_since is None else to_rfc3339(self.stale_since)
        return {"state": self.state, "staleSince": stale, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Disconnect:
    """How one attempt to follow a server ended.

    Attributes:
        reason: in words.
        established: a complete state had arrived before.
        code: the WebSocket close code; None where none was given.
        status: the HTTP status of a refused handshake; None where there was none.
        unreadable: a message of the server could not be understood.
    """

    reason: str
    established: bool = False
    code: int | None = None
    status: int | None = None
    unreadable: bool = False

    @property
    def refused(self) -> bool:
        """Whether the server answered and said no, to this client in particular."""
        return self.code == CloseCode.POLICY or self.status in (401, 403)

    @property
    def final(self) -> bool:
        """Whether the same attempt can only fail again."""
        return self.code == CloseCode.BAD_PARAMETERS


def reconnect_delay(ending: Disconnect, attempt: int, random: float) -> float | None:
    """Return how many seconds to wait before the next attempt; None means: give up.

    Args:
        ending: how the last attempt ended.
        attempt: how many attempts have failed since the last connection.
        random: a number from 0 up to 1, so that a thousand clients do not come back at once.
    """
    if ending.final:
        return None
    if ending.refused:
        return LONGEST_PAUSE_S
    if attempt == 0:
        return FIRST_PAUSE_S
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 10))
    return FIRST_PAUSE_S + (longest - FIRST_PAUSE_S) * (0.5 + random / 2)


def describe(error: BaseException, timeout_s: float) -> str:
    """Return in a few words why a server could not be reached."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "unknown host name"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {error}"


def error_of(body: bytes | bytearray) -> tuple[str | None, str]:
    """Return code and message of ``{"error":{"code","message","field"}}``; None and "" if other."""
    try:
        found = json.loads(body)["error"]
        return str(found["code"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        return None, ""
