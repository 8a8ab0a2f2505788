"""Publishes the changes of large transactions in steps, so that other requests have their turn."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from htmlgraph_nb.core.changes import ChangeBatch

from ..decoding.loop_turns import Turns

logger = logging.getLogger(__name__)

STEP_CHANGES = 100
"""Number of changes that one step publishes, about 2 ms."""


class Publisher:
    """Publishes batches in their order.

    Args:
        publish: publishes one batch; its exceptions are logged.
        turns: the turns of the steps.
    """

    def __init__(self, publish: Callable[[ChangeBatch], None], turns: Turns) -> None:
        self._publish = publish
        self._turns = turns
        self._waiting: deque[ChangeBatch] = deque()
        self._task: asyncio.Task[None] | None = None

    def take(self, batch: ChangeBatch) -> None:
        """Publish a batch: a small one at once, unless others wait."""
        changes = batch.changes
        if not self._waiting and len(changes) <= STEP_CHANGES:
            self._publish(batch)
            return
        for start in range(0, len(changes), STEP_CHANGES):
            part = changes[start : start + STEP_CHANGES]
            self._waiting.append(replace(batch, changes=part))
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            await self._turns.next()
            self._publish_next()

    def _publish_next(self) -> None:
        if not self._waiting:
            return
        try:
            self._publish(self._waiting[0])
        except Exception:
            logger.exception("changes could not be published")
        finally:
            self._waiting.popleft()

    async def caught_up(self) -> None:
        """Wait until all batches that were taken are published."""
        if self._waiting and self._task is not None:
            # Shielded, because the caller's connection may end.
            await asyncio.shield(self._task)

    def finish(self) -> None:
        """Publish what waits at once."""
        while self._waiting:
            self._publish_next()
