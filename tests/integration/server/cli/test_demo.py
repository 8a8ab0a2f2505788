"""``htmlgraph-nb demo``: simulated agents in a real server process."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

TOKEN = "a-token-for-tests"


@contextmanager
def demo(home: Path, *flags: str, **environ: str) -> Iterator[Server]:
    """Run the demo without ``--db``, as a user does."""
    server = Server(home, *flags, command="demo", environ=environ)
    index = server.arguments.index("--db")
    del server.arguments[index : index + 2]
    try:
        yield server.start()
    finally:
        server.stop()
    server.check_log()


def test_demo_agents_use_tools_and_tokens(serve: Serve) -> None:
    """The requested number of agents appears, and each has tool calls and tokens."""
    server = serve("--agents", "4", "--speed", "50", "--no-browser", command="demo")
    agents = wait_until(
        lambda: (
            agents
            if len(agents := server.presence()) == 4
            and all(agent["total_tools_executed"] for agent in agents.values())
            else {}
        ),
        "four busy agents",
        60,
    )
    assert sorted(agents) == ["claude-1", "claude-2", "codex-1", "gemini-1"]
    for agent in agents.values():
        assert agent["total_cost_tokens"] > 0
        assert agent["session_id"]
        assert agent["project"]
        assert agent["model"]


def test_demo_shows_every_status(serve: Serve) -> None:
    """The demo has active, idle and offline agents, and some that need attention."""
    server = serve("--speed", "50", "--no-browser", command="demo")
    seen: set[str] = set()

    def all_seen() -> bool:
        for agent in server.presence().values():
            seen.add(agent["status"])
            if agent.get("attention"):
                seen.add("attention")
        return seen == {"active", "idle", "offline", "attention"}

    wait_until(all_seen, "every status", 90)


def test_demo_events_are_stored(serve: Serve) -> None:
    """The history has the tokens of each completion."""
    server = serve("--agents", "2", "--speed", "50", "--no-browser", command="demo")

    def completions() -> list[dict[str, object]]:
        events = server.get("/api/history?limit=1000").json()["events"]
        return [event for event in events if event["event_type"] == "completion"]

    events = wait_until(completions, "a completion", 60)
    assert all(event["source"] == "demo" for event in events)
    assert all(event["output_tokens"] for event in events)


@pytest.mark.parametrize("environ", [{}, {"HTMLGRAPH_DB": "own.db"}])
def test_demo_uses_its_own_database(tmp_path: Path, environ: dict[str, str]) -> None:
    """Simulated agents never get into the user's database, not even by HTMLGRAPH_DB."""
    environ = {name: str(tmp_path / file) for name, file in environ.items()}
    with demo(tmp_path, "--no-browser", "--speed", "50", **environ) as server:
        wait_until(server.presence, "an agent", 30)
        assert f"(database: {tmp_path / 'demo.db'})" in server.log()
    assert (tmp_path / "demo.db").exists()
    assert not (tmp_path / "htmlgraph.db").exists()
    assert not (tmp_path / "own.db").exists()


def test_demo_does_not_read_the_spool(tmp_path: Path) -> None:
    """Spooled events of real agents are kept for a real server."""
    spool = tmp_path / "spool.jsonl"
    spool.write_text('{"hook_event_name":"Stop","session_id":"real"}\n')
    with demo(tmp_path, "--no-browser", "--speed", "50") as server:
        wait_until(server.presence, "an agent", 30)
        assert "real" not in server.presence()
    assert spool.exists()


@pytest.mark.parametrize("flags", [(), ("--token", TOKEN)])
def test_demo_opens_the_page(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """With a display, the demo opens its page in a browser, including the token."""
    browser = tmp_path / "browser"
    seen = tmp_path / "seen.txt"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{seen}.part" && mv "{seen}.part" "{seen}"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    with demo(tmp_path, *flags, DISPLAY=":0", BROWSER=str(browser)) as server:
        wait_until(seen.exists, "the browser", 30)
        query = f"/?token={TOKEN}" if flags else ""
        assert seen.read_text() == f"{server.url}{query}"


def test_demo_is_not_blocked_by_a_terminal_browser(tmp_path: Path) -> None:
    """The server runs and stops while the browser command is still running."""
    browser, started, closed = tmp_path / "browser", tmp_path / "started", tmp_path / "closed"
    browser.write_text(
        f'#!/bin/sh\ntouch "{started}"\nwhile [ ! -e "{closed}" ]; do sleep 0.1; done\n'
    )
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    with demo(tmp_path, "--speed", "50", DISPLAY=":0", BROWSER=str(browser)) as server:
        try:
            wait_until(started.exists, "the browser", 30)
            wait_until(server.presence, "an agent", 30)
            assert server.stop() == 0
        finally:
            closed.touch()


def test_demo_opens_no_browser_without_a_display(tmp_path: Path) -> None:
    """Neither without a display nor with ``--no-browser``."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ntouch "{tmp_path}/started"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    screens = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with demo(tmp_path / "1", "--speed", "50", BROWSER=str(browser), **screens) as server:
        wait_until(server.presence, "an agent", 30)
    with demo(
        tmp_path / "2", "--speed", "50", "--no-browser", BROWSER=str(browser), DISPLAY=":0"
    ) as server:
        wait_until(server.presence, "an agent", 30)
    assert not (tmp_path / "started").exists()
