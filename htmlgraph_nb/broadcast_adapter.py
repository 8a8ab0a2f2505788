"""Hands messages to a websocket manager that the caller brought, be it plain or async."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("htmlgraph.presence")


class BroadcastAdapter:
    """Calls ``broadcast_to_all_sessions`` and never fails the agent by it.

    What is told is stored already: a dashboard that cannot be told is a line in the log.
    """

    def __init__(self) -> None:
        # The event loop holds tasks only weakly.
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, websocket_manager: Any, message: Mapping[str, Any]) -> None:
        """Hand over one message; an async manager is waited for only where no loop is running."""
        # Imported where it is needed: it takes longer than all the rest of reporting an event.
        import asyncio

        try:
            outcome = websocket_manager.broadcast_to_all_sessions(message)
            if not hasattr(outcome, "__await__"):
                return
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                asyncio.run(_finish(outcome))
                return
            task = loop.create_task(_finish(outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        except Exception:
            logger.exception("broadcast_to_all_sessions failed for %r", message.get("agent_id"))


async def _finish(outcome: Any) -> None:
    try:
        await outcome
    except Exception:
        logger.exception("broadcast_to_all_sessions failed")
