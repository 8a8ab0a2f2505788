"""Turns of long work on the event loop, so that short requests do not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

MAX_STATE_SLOTS = 8
"""Maximum number of connections that send a part of a state at a time."""


class Turns:
    """Lets one step of long work run in each iteration of the event loop.

    Without it, as many steps would run in an iteration as there are long tasks.

    Attributes:
        decoding: held while a large body is decoded: only one decoded body is in memory.
        state_slots: held while a part of a state is sent as a response.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.decoding = asyncio.Lock()
        self.state_slots = asyncio.Semaphore(MAX_STATE_SLOTS)

    async def next(self) -> None:
        """Wait for a turn; first come, first served. Then do one step of a few milliseconds."""
        async with self._lock:
            await asyncio.sleep(0)

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Run a generator to its end, each step in a turn, and return its value."""
        try:
            while True:
                await self.next()
                next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()
