"""Spaces: opened once, closed when nobody uses them, and never more than the limit."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.errors import ApiError, StoreClosed, StoreUnavailable
from htmlgraph_server.access.spaces import IDLE_S, Spaces
from htmlgraph_server.service import Service


class FakeSpace:
    """A space without a database."""

    def __init__(self, name: str, events: list[str]) -> None:
        published = SimpleNamespace(agents=dict[str, Any]())
        hub = SimpleNamespace(clients={}, published=published, n_elsewhere=int)
        self.service = cast(Service, SimpleNamespace(hub=hub))
        self.name = name
        self.events = events

    async def stop(self) -> None:
        """Take a turn of the loop, as a real one does."""
        await asyncio.sleep(0)
        self.events.append(f"stop {self.name}")

    def close(self) -> None:
        """Do nothing."""


class World:
    """Spaces with a clock and a record of what was opened and closed."""

    def __init__(self, limit: int = 2) -> None:
        self.now = 0.0
        self.events: list[str] = []
        self.opened: dict[str, FakeSpace] = {}
        self.error: Exception | None = None
        default = FakeSpace("default", self.events).service
        self.spaces = Spaces(default, self.open, limit, lambda: self.now)

    async def open(self, name: str) -> FakeSpace:
        """Open a space, or fail as the test says."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.events.append(f"open {name}")
        space = self.opened[name] = FakeSpace(name, self.events)
        return space


def test_spaces_open_each_space_once() -> None:
    """However many requests wait for it."""

    async def run() -> None:
        world = World()
        found = await asyncio.gather(*(world.spaces.enter("a") for _ in range(5)))
        assert len({id(space) for space in found}) == 1
        assert found[0].n_users == 5
        assert await world.spaces.enter("default") is world.spaces.default
        assert world.events == ["open a"]

    asyncio.run(run())


def test_spaces_make_room_for_others() -> None:
    """The one that was not used for the longest time is closed; one in use never is."""

    async def run() -> None:
        world = World()
        first, second = await world.spaces.enter("a"), await world.spaces.enter("b")
        with pytest.raises(ApiError, match="--max-spaces"):
            await world.spaces.enter("c")
        world.now = 1.0
        world.spaces.leave(second)
        world.spaces.leave(first)
        world.spaces.leave(await world.spaces.enter("a"))
        await asyncio.gather(world.spaces.enter("c"), world.spaces.enter("c"))
        assert world.events == ["open a", "open b", "stop b", "open c"]
        await asyncio.gather(world.spaces.enter("b"), return_exceptions=True)
        assert world.events[4:] == ["stop a", "open b"]

    asyncio.run(run())


def test_spaces_close_idle_ones() -> None:
    """Neither one in use nor one with agents whose timers run."""

    async def run() -> None:
        world = World(limit=3)
        await world.spaces.enter("used")
        for name in ("idle", "alive"):
            world.spaces.leave(await world.spaces.enter(name))
        presence = AgentPresence("x", status=PresenceStatus.IDLE)
        agents = world.opened["alive"].service.hub.published.agents
        cast(Any, agents)["x"] = SimpleNamespace(presence=presence)
        assert world.spaces.idle_names() == []
        world.now = IDLE_S + 1
        assert world.spaces.idle_names() == ["idle"]

    asyncio.run(run())


def test_spaces_report_errors_to_all_who_wait() -> None:
    """And try again with the next request."""

    async def run() -> None:
        world = World()
        world.error = StoreUnavailable("the disk is full")
        found = await asyncio.gather(
            *(world.spaces.enter("a") for _ in range(2)), return_exceptions=True
        )
        assert [type(error) for error in found] == [StoreUnavailable, StoreUnavailable]
        world.error = None
        assert (await world.spaces.enter("a")).name == "a"

    asyncio.run(run())


def test_spaces_stop_closes_all() -> None:
    """Then none is opened any more."""

    async def run() -> None:
        world = World()
        world.spaces.start()
        for name in ("a", "b"):
            await world.spaces.enter(name)
        await world.spaces.stop()
        assert sorted(world.events[2:]) == ["stop a", "stop b"]
        with pytest.raises(StoreClosed):
            await world.spaces.enter("a")

    asyncio.run(run())


def test_spaces_count_dashboards_of_the_others() -> None:
    """The limit of dashboards holds for all of them together."""

    async def run() -> None:
        world = World()
        await world.spaces.enter("a")
        cast(Any, world.spaces.default.service.hub).clients = {1: None, 2: None}
        cast(Any, world.opened["a"].service.hub).clients = {3: None}
        assert world.opened["a"].service.hub.n_elsewhere() == 2
        assert world.spaces.default.service.hub.n_elsewhere() == 1

    asyncio.run(run())
