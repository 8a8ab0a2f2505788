"""The screen of ``top``, driven by textual's pilot in terminals of several sizes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_server.cli.live.top_app import TopApp
from htmlgraph_server.cli.live.top_rows import TopSettings

EVIL = "[bold red]x[/] \x1b[2J\x07"


class Agents:
    """Agents as PresenceClient returns them; a test changes them."""

    def __init__(self, *agents: AgentPresence) -> None:
        self.agents = {agent.agent_id: agent for agent in agents}
        self.connection = ConnectionState("connected", None, "connected", "http://127.0.0.1:8000")

    def snapshot(self) -> tuple[dict[str, AgentPresence], object, ConnectionState]:
        """Return a copy."""
        return dict(self.agents), None, self.connection


START = utc_now() - timedelta(minutes=1)


def agent(agent_id: str, status: str = "active", **fields: Any) -> AgentPresence:
    """Return an agent that was last active a minute ago."""
    fields = {"last_activity": START, **fields}
    return AgentPresence(agent_id, status=PresenceStatus(status), **fields)


def some_agents() -> Agents:
    """Return one agent that waits, two at work and one that is offline."""
    return Agents(
        agent("claude-1", project="shop", branch="main", title="Checkout", cost_usd=2.0),
        agent("claude-2", project="api", cost_usd=3.0, title=EVIL),
        agent("claude-3", attention=True, reason="waits for permission to use Bash"),
        agent("claude-4", "offline", project="shop"),
    )


def drive(
    source: Agents,
    steps: Callable[[Pilot[None], TopApp], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    settings: TopSettings | None = None,
) -> None:
    """Run the app without a terminal, and ``steps`` in it."""

    async def run() -> None:
        app = TopApp(source, settings or TopSettings())
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(run())


def keys(app: TopApp) -> list[str]:
    """Return the keys of the rows of the table."""
    return [str(key.value) for key in app.query_one(DataTable).rows]


def screen_lines(app: TopApp) -> list[str]:
    """Return what the terminal shows."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = ["".join(segment.text for segment in strip) for strip in strips]
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    return lines


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (160, 50)])
def test_top_app_shows_agents(size: tuple[int, int]) -> None:
    """Those that wait are first; counts, totals and keys are on the screen."""

    async def steps(_: Pilot[None], app: TopApp) -> None:
        assert keys(app) == ["claude-3", "claude-1", "claude-2"]
        text = "\n".join(screen_lines(app))
        assert "1 waiting for you" in text
        assert re.search(r"^waits \d+ (min|h)", text, re.MULTILINE)
        assert "Quit" in text
        if size[0] >= 80:
            assert "$5.00" in text
            assert "Checkout" in text
            assert "permission: Bash" in text

    drive(some_agents(), steps, size)


def test_top_app_shows_text_of_agents_as_text() -> None:
    """Markup is not interpreted, and control characters are replaced."""

    async def steps(_: Pilot[None], app: TopApp) -> None:
        text = "\n".join(screen_lines(app))
        assert "[bold red]x[/]" in text
        assert "\x1b" not in text
        assert "\x07" not in text

    drive(some_agents(), steps, (160, 24))


def test_top_app_keys_sort_group_and_show_offline() -> None:
    """Each key changes the rows; the settings are named above the table."""

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        while app.settings.sort != "cost":
            await pilot.press("s")
        assert keys(app) == ["claude-2", "claude-1", "claude-3"]
        await pilot.press("r")
        assert keys(app) == ["claude-1", "claude-2", "claude-3"]
        await pilot.press("a")
        assert keys(app) == ["claude-1", "claude-2", "claude-3", "claude-4"]
        await pilot.press("g", "g")
        assert keys(app) == [
            *("\0api", "claude-2"),
            *("\0shop", "claude-1", "claude-4"),
            *("\0", "claude-3"),
        ]
        text = "\n".join(screen_lines(app))
        assert "▾ shop (2 agents, 0 tokens, $2.00)" in text
        assert "group: project" in text

    drive(some_agents(), steps)


def test_top_app_ignores_a_timer_while_it_closes() -> None:
    """Its widgets are removed before its timers end."""

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await app.query("#head").remove()
        app.update_screen()

    drive(some_agents(), steps)


def test_top_app_filters_while_typing() -> None:
    """Enter keeps the filter, Esc removes it."""

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.press("slash", *"shop")
        assert keys(app) == ["claude-1"]
        await pilot.press("enter", "s")
        assert keys(app) == ["claude-1"]
        assert app.settings.text == "shop"
        await pilot.press("escape")
        assert len(keys(app)) == 3

    drive(some_agents(), steps)


def test_top_app_keeps_the_selected_agent() -> None:
    """Also when the order of the rows changes; its details are below the table."""
    source = some_agents()

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.press("down", "down")
        table = app.query_one(DataTable)
        assert keys(app)[table.cursor_row] == "claude-2"
        source.agents["claude-2"] = agent("claude-2", attention=True, model="opus")
        source.agents["claude-0"] = agent("claude-0", attention=True)
        app.update_screen()
        await pilot.pause()
        assert keys(app)[table.cursor_row] == "claude-2"
        assert any("opus" in line for line in screen_lines(app)[-3:])
        del source.agents["claude-2"]
        app.update_screen()
        await pilot.pause()
        assert "claude-2" not in keys(app)

    drive(source, steps)


def test_top_app_selects_the_next_agent_that_waits() -> None:
    """From the last one it continues with the first."""
    source = Agents(*(agent(f"a{n}", attention=n % 2 == 0) for n in range(4)))

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        table = app.query_one(DataTable)
        seen = []
        for _ in range(3):
            await pilot.press("w")
            seen.append(keys(app)[table.cursor_row])
        assert seen == ["a2", "a0", "a2"]

    drive(source, steps)


def test_top_app_says_that_the_connection_is_lost() -> None:
    """With the time of the last state; the agents stay."""
    source = some_agents()

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        source.connection = ConnectionState("reconnecting", utc_now(), "refused", "http://x")
        app.update_screen()
        await pilot.pause()
        assert "reconnecting, as of " in screen_lines(app)[0]
        assert len(keys(app)) == 3

    drive(source, steps)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_top_app_quits(key: str) -> None:
    """By the keys of other programs of this kind."""

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.press(key)
        assert app.return_code == 0

    drive(some_agents(), steps)


def test_top_app_fits_a_smaller_terminal() -> None:
    """The columns change with the size."""

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        assert len(app.query_one(DataTable).columns) == 8
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert len(app.query_one(DataTable).columns) == 7
        assert all(len(line) <= 80 for line in screen_lines(app))

    drive(some_agents(), steps, (160, 40))
