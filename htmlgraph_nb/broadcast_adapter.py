"""Adapter for a sync or async websocket manager supplied by the caller."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)


class BroadcastAdapter:
    """Calls ``broadcast_to_all_sessions``; its exceptions are logged, not raised.

    The events are already stored when their messages are broadcast.
    """

    def __init__(self) -> None:
        # The event loop keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, websocket_manager: Any, message: Mapping[str, Any]) -> None:
        """Send one message; wait for an async manager only if no event loop is running.

        Args:
            websocket_manager: has a sync or async ``broadcast_to_all_sessions(message)``.
        """
        # A late import: it takes longer than everything else in reporting an event.
        import asyncio

        try:
            result = websocket_manager.broadcast_to_all_sessions(message)
            if not hasattr(result, "__await__"):
                return
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                asyncio.run(_finish(result))
                return
            task = loop.create_task(_finish(result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        except Exception:
            logger.exception("broadcast_to_all_sessions failed for %r", message.get("agent_id"))


async def _finish(result: Any) -> None:
    try:
        await result
    except Exception:
        logger.exception("broadcast_to_all_sessions failed")
