"""Slows down clients that try tokens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from htmlgraph_nb.errors import ApiError

logger = logging.getLogger(__name__)

GUESS_DELAY_S = 1.0
"""Seconds until the response to a wrong token."""
MAX_DELAYED = 20
"""Maximum number of responses to an address that are delayed at a time."""
_LOG_EVERY_S = 60.0
_MAX_LOGGED = 1_000


class TokenGuesses:
    """Delays responses to wrong tokens.

    While MAX_DELAYED responses to an address are delayed, further tokens from it are not checked,
    so that it can try at most MAX_DELAYED tokens in GUESS_DELAY_S.

    Args:
        monotonic: clock in seconds that never runs backwards.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pending: Counter[str] = Counter()
        # Address → when a wrong token from it was logged last.
        self._logged: dict[str, float] = {}

    def check(self, address: str) -> None:
        """Check that an address may try a token.

        Raises:
            ApiError: 429, too many responses to it are delayed.
        """
        if self._pending[address] >= MAX_DELAYED:
            raise ApiError(429, "too_many_attempts", "too many wrong tokens; retry later")

    async def delay(self, address: str) -> None:
        """Wait before the response to a wrong token, and log the address once a minute."""
        now = self._monotonic()
        if now - self._logged.get(address, float("-inf")) >= _LOG_EVERY_S:
            if len(self._logged) >= _MAX_LOGGED:
                self._logged.clear()
            self._logged[address] = now
            logger.warning("wrong token from %s", address)
        self._pending[address] += 1
        try:
            await asyncio.sleep(GUESS_DELAY_S)
        finally:
            self._pending[address] -= 1
            if not self._pending[address]:
                del self._pending[address]
