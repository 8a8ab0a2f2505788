"""What stands before the routes of the standalone server: tokens, guesses, open WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_nb.errors import HtmlgraphError

from ..config import Config
from ..connections.token_guesses import TokenGuesses
from ..faults.fault_log import FaultLog
from .auth import Authenticator
from .proxy_identity import ProxyIdentities
from .token_cache import TokenCache

logger = logging.getLogger(__name__)

REFRESH_S = 0.5
"""Seconds between two looks at the table of tokens."""
STORE_USED_S = 60.0
"""Seconds between two writes of when tokens were used."""


class OpenSocket(Protocol):
    """An open WebSocket."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close it with a code and a reason."""


class Gate:
    """Checks requests, and closes the WebSockets of tokens that end. Runs on the event loop.

    Args:
        config: the configuration.
        put_used: stores when tokens were used, given number → time; called in a thread.

    Attributes:
        authenticator: checks requests.
        tokens: the tokens of the database.
        guesses: delays responses to wrong tokens.
        proxies: reads the identity in the headers of trusted proxies.
    """

    def __init__(self, config: Config, put_used: Callable[[dict[int, int]], Any]) -> None:
        self.tokens = TokenCache(config.db)
        self.authenticator = Authenticator(config, self.tokens)
        self.guesses = TokenGuesses()
        self.proxies = ProxyIdentities(config)
        self._put_used = put_used
        self._sockets: dict[int, set[OpenSocket]] = {}
        self._task: asyncio.Task[None] | None = None
        self._faults = FaultLog("tokens", logger)

    def start(self) -> None:
        """Follow the table; call it after ``tokens.refresh``."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Stop following, and store when tokens were used."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._attempt(self._store_used)

    async def _follow(self) -> None:
        stored = time.monotonic()
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._attempt(self.tokens.refresh)
            self.close_invalid()
            if time.monotonic() - stored >= STORE_USED_S:
                stored = time.monotonic()
                await self._attempt(self._store_used)

    async def _attempt(self, work: Callable[[], object]) -> None:
        """Call ``work`` in a thread, and log the first of several errors in a row."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, work)
            self._faults.succeeded()
        except HtmlgraphError as error:
            self._faults.failed(error)

    def _store_used(self) -> None:
        used = self.tokens.take_used()
        if used:
            self._put_used(used)

    def add_socket(self, token_id: int, socket: OpenSocket) -> None:
        """Close this WebSocket when its token ends."""
        self._sockets.setdefault(token_id, set()).add(socket)

    def remove_socket(self, token_id: int, socket: OpenSocket) -> None:
        """Forget a WebSocket that closed. Idempotent."""
        sockets = self._sockets.get(token_id)
        if sockets is not None:
            sockets.discard(socket)
            if not sockets:
                del self._sockets[token_id]

    def close_invalid(self) -> None:
        """Close the WebSockets of tokens that were revoked or have expired."""
        ended = [number for number in self._sockets if not self.tokens.is_valid(number)]
        for number in ended:
            for socket in self._sockets.pop(number):
                socket.close(CloseCode.POLICY, "the token was revoked or has expired")
