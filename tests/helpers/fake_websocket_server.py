"""A WebSocket server scripted by a test: one list of steps per connection."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

Step = Callable[[ServerConnection], object]

# Older versions of websockets log a plain HTTP request as an error.
_quiet = logging.Logger("fake_server", logging.CRITICAL + 1)


def presence(agent_id: str, seq: int, **fields: Any) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "status": "active",
        "current_feature_id": None,
        "last_tool_name": None,
        "last_activity": "2025-01-14T14:50:30.000000Z",
        "total_tools_executed": 0,
        "total_cost_tokens": 0,
        "session_id": None,
        "seq": seq,
        **fields,
    }


def state(
    epoch: str,
    seq: int,
    *agents: dict[str, Any],
    full: bool = True,
    removed: tuple[str, ...] = (),
    part: int = 1,
    parts: int = 1,
) -> Step:
    """Send one part of a presence_state."""
    return send(
        {
            "type": "presence_state",
            "epoch": epoch,
            "seq": seq,
            "full": full,
            "part": part,
            "parts": parts,
            "agents": list(agents),
            "removed": list(removed),
            "timestamp": "2025-01-14T14:50:30.000000Z",
        }
    )


def update(agent_id: str, seq: int, **fields: Any) -> Step:
    """Send one presence_update."""
    return send(
        {
            "type": "presence_update",
            "event_type": "presence_update",
            "agent_id": agent_id,
            "presence": presence(agent_id, seq, **fields),
            "timestamp": "2025-01-14T14:50:30.000000Z",
            "seq": seq,
        }
    )


def send(message: Any) -> Step:
    text = message if isinstance(message, str) else json.dumps(message)
    return lambda connection: connection.send(text)


def close(code: int, reason: str = "") -> Step:
    return lambda connection: connection.close(code, reason)


def stay(connection: ServerConnection) -> None:
    """Keep the connection open until the client closes it."""
    try:
        while True:
            connection.recv()
    except ConnectionClosed:
        return


class FakeWebSocketServer:
    """Listens on a free port; each connection runs the next list of steps.

    Attributes:
        requests: (path, headers) of each handshake.
        received: the messages that :meth:`listen` steps received.
    """

    def __init__(self, *scripts: list[Step], response: Response | None = None) -> None:
        self.scripts = list(scripts)
        self.requests: list[tuple[str, Headers]] = []
        self.received: list[str] = []
        self._response = response
        self._server: Server = serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._process,
            compression=None,
            logger=_quiet,
        )
        self.port = self._server.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeWebSocketServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()

    def listen(self, connection: ServerConnection) -> None:
        """Receive one message of the client; used as a step."""
        self.received.append(str(connection.recv()))

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append((request.path, request.headers))
        return self._response

    def _handle(self, connection: ServerConnection) -> None:
        steps = self.scripts.pop(0) if self.scripts else [close(1001, "no more steps")]
        try:
            for step in steps:
                step(connection)
        except ConnectionClosed:
            return


def announce(home: Path) -> None:
    """Change the servers folder as a starting server does, so that waiting clients retry."""
    folder = home / "servers"
    before = folder.stat().st_mtime_ns if folder.exists() else 0
    folder.mkdir(exist_ok=True)
    os.utime(folder, ns=(before + 10**9, before + 10**9))
