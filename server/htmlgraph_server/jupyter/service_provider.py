"""Opens the service of a Jupyter Server on the first request that needs it.

Jupyter Server imports this at every start, so the server itself is imported on first use.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from htmlgraph_nb.errors import StoreClosed
from htmlgraph_nb.paths import spool_path

from ..config import Config

if TYPE_CHECKING:
    from ..server import Lifecycle
    from ..service import Service

PROVIDER_SETTING = "htmlgraph_service_provider"
"""Name of the provider in the settings of Jupyter Server's Tornado application."""


class ServiceProvider:
    """The service of one Jupyter Server, and the secret of this user's own programs.

    Args:
        make_config: returns the configuration; called once, when the service is opened.
        secret: bearer token that is accepted beside Jupyter's own; "" accepts none.
    """

    def __init__(self, make_config: Callable[[], Config], secret: str) -> None:
        self.secret = secret
        self._make_config = make_config
        self._lifecycle: Lifecycle | None = None
        self._opening = asyncio.Lock()
        self._stopped = False

    @property
    def service(self) -> Service:
        """The service; call ``open`` first."""
        if self._lifecycle is None:
            raise RuntimeError("the service is not open; await open() first")
        return self._lifecycle.service

    async def open(self) -> Service:
        """Return the service; the first call opens the database.

        Raises:
            StoreError: the database cannot be used, or the server is shutting down.
        """
        if self._lifecycle is None:
            async with self._opening:
                if self._lifecycle is None:
                    self._lifecycle = await self._start()
        return self._lifecycle.service

    async def _start(self) -> Lifecycle:
        from ..server import Lifecycle, open_manager

        if self._stopped:
            raise StoreClosed("server shutting down")
        config, loop = self._make_config(), asyncio.get_running_loop()
        manager = await loop.run_in_executor(None, open_manager, config)
        try:
            lifecycle = Lifecycle(config, manager, loop, spool_path())
        except BaseException:
            manager.close()
            raise
        lifecycle.start()
        # Jupyter Server has many objects; garbage collections of all of them would delay messages.
        gc.freeze()
        return lifecycle

    async def close(self) -> None:
        """Stop the service: commit queued events, close the dashboards and the database."""
        self._stopped = True
        async with self._opening:
            if self._lifecycle is not None:
                await self._lifecycle.stop()
                self._lifecycle.close()
