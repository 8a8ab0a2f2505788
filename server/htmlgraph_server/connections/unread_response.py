"""Responses that a client has not read yet: they count for the budget, and have a timeout."""

from __future__ import annotations

import asyncio

from tornado.iostream import IOStream

from .byte_budget import ByteBudget


class UnreadResponse:
    """Watches a finished response until the kernel has all of it.

    A client that reads nothing for the timeout is disconnected; a slow one is not.

    Args:
        stream: the connection.
        sent: resolves when the kernel has the response.
        budget: the budget of all connections; giving up the response closes the connection.
        stall_timeout_s: the timeout, in seconds.
    """

    def __init__(
        self,
        stream: IOStream,
        sent: asyncio.Future[None],
        budget: ByteBudget,
        stall_timeout_s: float,
    ) -> None:
        self._stream = stream
        self._stall_timeout_s = stall_timeout_s
        self._account = budget.open(stream.close)
        self._unsent = _unsent_bytes(stream)
        self._timer = self._check_later()
        sent.add_done_callback(self._end)
        self._account.add(self._unsent)

    def _check_later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._stall_timeout_s, self._check)

    def _check(self) -> None:
        unsent = _unsent_bytes(self._stream)
        if unsent >= self._unsent:
            self._stream.close()
            return
        self._account.subtract(self._unsent - unsent)
        self._unsent = unsent
        self._timer = self._check_later()

    def _end(self, _sent: asyncio.Future[None]) -> None:
        self._timer.cancel()
        self._account.close()


def _unsent_bytes(stream: IOStream) -> int:
    # Tornado has no public count, and a response is written at once.
    return len(stream._write_buffer)
