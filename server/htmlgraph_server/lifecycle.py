"""From the opened store to its closing: what every server does, whoever listens for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import price_of

from .background.periodic_tasks import make_watcher
from .config import Config
from .service import Service, make_service


def open_manager(config: Config) -> PresenceManager:
    """Open the database of a Config, which may wait for the disk.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be used.
    """
    return PresenceManager(
        config.db, limits=config.roster, synchronous=config.synchronous, price=price_of
    )


class Lifecycle:
    """One service on one loop: ``start``, then ``stop``, then ``close``.

    Args:
        manager: it is closed at the end.
        loop: the hub's.
        spool: the file of events that hooks left; None: none is taken in.
    """

    def __init__(
        self,
        config: Config,
        manager: PresenceManager,
        loop: asyncio.AbstractEventLoop,
        spool: str | None,
    ) -> None:
        self.service = make_service(config, manager, loop)
        self._disconnect = _connect(self.service, loop)
        self._watcher = make_watcher(self.service, spool)

    def start(self) -> None:
        """Let time pass, and see what others write."""
        self._watcher.start()

    async def stop(self) -> None:
        """Commit what is queued, and tell the dashboards to go."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._watcher.stop)
        # What is queued is committed and so published, before the dashboards are told to go.
        await loop.run_in_executor(None, self.service.manager.close)
        self._disconnect()
        await asyncio.sleep(0)
        self.service.hub.close()

    def close(self) -> None:
        """End what still reads the history."""
        self.service.streams.close()
        self.service.history.close()


def _connect(service: Service, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Bring the manager's changes, which come from any thread, to the hub on its loop.

    Returns:
        A function that ends it.
    """

    def publish(publication: ChangeBatch) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(service.hub.publish, publication)

    return service.manager.subscribe(publish)
