"""The message ``server_info``: what dashboards show about the server itself.

Each part comes from a provider, a function that returns the current value as JSON data. A part can
change often; dashboards get at most one message per INTERVAL_S.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from htmlgraph_nb.core.protocol import encode_json

from ..connections.frames import encode_frame

INTERVAL_S = 1.0
PARTS = ("backfill", "quotas", "database")
InfoProvider = Callable[[], Any]


class ServerInfo:
    """The parts of the message and whether they have changed.

    Attributes:
        version: number of the current content; 0: there is nothing to send yet.
    """

    def __init__(self) -> None:
        self.version = 0
        self._providers: dict[str, InfoProvider] = {}
        self._content: dict[str, Any] = {"backfill": None, "quotas": []}
        self._frame = b""
        self.on_change: Callable[[], object] = lambda: None

    def provide(self, part: str, provider: InfoProvider) -> None:
        """Set the provider of a part; call ``changed`` when its value may have changed.

        Args:
            part: one of PARTS.
            provider: returns JSON data, without waiting; called on the event loop.
        """
        if part not in PARTS:
            raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part}")
        self._providers[part] = provider

    def changed(self) -> None:
        """Have the hub send the message soon; call it on the event loop."""
        self.on_change()

    def update(self) -> bool:
        """Read all parts; return whether any has changed since the last call."""
        content = dict(self._content)
        for part, provider in self._providers.items():
            content[part] = provider()
        if content.get("database") is None:
            content.pop("database", None)
        if content == self._content:
            return False
        self._content = content
        self._frame = encode_frame(encode_json({"type": "server_info", **content}))
        self.version += 1
        return True

    @property
    def frame(self) -> bytes:
        """The message as of the last ``update``, as a WebSocket frame."""
        return self._frame
