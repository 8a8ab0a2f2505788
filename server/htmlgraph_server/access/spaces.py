"""The spaces of a server: each has a database and a Service of its own, opened when it is used.

A space is a file in the folder ``<database>.spaces``. Its agents, cursor, history, alerts, limits
and background tasks are its own; nothing but the process, the budget of bytes, and the workers for
exports and reports is shared. The default space is the database itself, and always open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from htmlgraph_nb.core.model import PresenceStatus
from htmlgraph_nb.errors import ApiError, HtmlgraphError, StoreClosed
from htmlgraph_nb.storage.postgres.location import is_postgres

from ..config import Config
from ..service import Service
from .identity import DEFAULT_SPACE
from .space_files import space_db

logger = logging.getLogger(__name__)

IDLE_S = 600.0
"""Time without a request or an agent at work until a space is closed."""
CHECK_S = 30.0
"""Seconds between two looks for spaces to close."""


class RunningSpace(Protocol):
    """See ``server.Lifecycle``."""

    service: Service

    async def stop(self) -> None:
        """Stop its tasks, and close its database and its clients."""

    def close(self) -> None:
        """Close what reads its history."""


@dataclass(eq=False)
class Space:
    """An open space.

    Attributes:
        name: its name.
        service: its components.
        n_users: number of requests and WebSockets that use it.
        used_at: monotonic time of the last request.
    """

    name: str
    service: Service
    n_users: int = 0
    used_at: float = 0.0


def space_config(config: Config, name: str) -> Config:
    """Return the configuration of a space: agents on this machine belong to the default one."""
    path = space_db(config.db, name)
    rules = path.removesuffix(".db")
    if is_postgres(path):
        rules = os.path.join(os.path.dirname(config.alerts), name)
    return replace(
        config,
        db=path,
        # The operator's rules would send alerts of one team to the channels of another.
        alerts=f"{rules}.alerts.toml",
        watch=False,
        session_folder=(),
        backfill_s=0.0,
    )


class Spaces:
    """All spaces of one server. Runs on the event loop.

    Args:
        default: the service of the default space; the caller stops it.
        open_space: opens and starts a space.
        limit: most spaces that are open at a time beside the default one.
        monotonic: returns monotonic seconds.

    Attributes:
        default: the default space.
    """

    def __init__(
        self,
        default: Service,
        open_space: Callable[[str], Awaitable[RunningSpace]],
        limit: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.default = Space(DEFAULT_SPACE, default)
        self._open_space = open_space
        self._limit = limit
        self._monotonic = monotonic
        self._spaces: dict[str, Space] = {DEFAULT_SPACE: self.default}
        self._running: dict[str, RunningSpace] = {}
        # Name → the task that opens or closes it.
        self._changing: dict[str, asyncio.Task[None]] = {}
        self._opening = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        default.hub.n_elsewhere = partial(self._n_clients_outside, DEFAULT_SPACE)

    def start(self) -> None:
        """Close idle spaces from time to time."""
        self._task = asyncio.get_running_loop().create_task(self._close_idle())

    async def stop(self) -> None:
        """Close all spaces but the default one."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.gather(*self._changing.values(), return_exceptions=True)
        await asyncio.gather(*[self._close(name) for name in list(self._running)])

    async def enter(self, name: str) -> Space:
        """Return a space, which stays open until ``leave``; it is opened if it is not.

        Raises:
            ApiError: 503, too many spaces are in use.
            StoreError: its database cannot be used, or the server is shutting down.
        """
        space = self._spaces.get(name)
        while space is None:
            await self._prepare(name)
            space = self._spaces.get(name)
        space.n_users += 1
        space.used_at = self._monotonic()
        return space

    def leave(self, space: Space) -> None:
        """Note that a request or a WebSocket does not use a space any more."""
        space.n_users -= 1

    async def _prepare(self, name: str) -> None:
        """Wait until a space that is not open was opened or closed; start opening it."""
        if self._stopped:
            raise StoreClosed("server shutting down")
        task = self._changing.get(name)
        if task is None:
            # Requests that wait for one space must not each close another one.
            async with self._opening:
                if name not in self._spaces and name not in self._changing:
                    await self._make_room()
                task = self._changing.get(name)
                if task is None and name not in self._spaces:
                    task = self._change(name, self._open(name))
        if task is not None:
            # Others wait for it, too.
            await asyncio.shield(task)

    def _change(self, name: str, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            finally:
                del self._changing[name]

        task = self._changing[name] = asyncio.get_running_loop().create_task(run())
        return task

    async def _make_room(self) -> None:
        """Close the space that was not used for the longest time if there is no room."""
        while len({*self._running, *self._changing}) >= self._limit:
            if self._changing:
                await asyncio.wait(self._changing.values(), return_when=asyncio.FIRST_COMPLETED)
                continue
            unused = [
                self._spaces[name] for name in self._running if not self._spaces[name].n_users
            ]
            if not unused:
                raise ApiError(
                    503,
                    "too_many_spaces",
                    f"{self._limit} other spaces are in use (--max-spaces); retry later",
                )
            await self._close(min(unused, key=lambda space: space.used_at).name)

    async def _open(self, name: str) -> None:
        running = await self._open_space(name)
        running.service.hub.n_elsewhere = partial(self._n_clients_outside, name)
        self._running[name] = running
        self._spaces[name] = Space(name, running.service, used_at=self._monotonic())

    async def _close(self, name: str) -> None:
        """Close an open space; it is opened again only after that."""
        del self._spaces[name]
        running = self._running[name]

        async def close() -> None:
            try:
                await running.stop()
                running.close()
            finally:
                del self._running[name]

        await asyncio.shield(self._change(name, close()))

    def _n_clients_outside(self, name: str) -> int:
        """Return the number of dashboards of all other spaces."""
        return sum(
            len(space.service.hub.clients) for space in self._spaces.values() if space.name != name
        )

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            for name in self.idle_names():
                try:
                    await self._close(name)
                except HtmlgraphError as error:
                    logger.warning("closing a space: %s", error)

    def idle_names(self) -> list[str]:
        """Return the spaces without users and without an agent that a timer could concern."""
        since = self._monotonic() - IDLE_S
        return [
            name
            for name in self._running
            if (space := self._spaces.get(name)) is not None
            and not space.n_users
            and space.used_at < since
            and not _has_present_agents(space.service)
        ]


def _has_present_agents(service: Service) -> bool:
    agents = service.hub.published.agents.values()
    return any(entry.presence.status is not PresenceStatus.OFFLINE for entry in agents)
