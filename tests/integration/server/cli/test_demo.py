"""``htmlgraph-nb demo``: simulated agents in a real server process."""

from __future__ import annotations

import re
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

TOKEN = "a-token-for-tests"


def database_of(server: Server) -> Path:
    """Return the file that the demo says it uses."""
    match = re.search(r"\(database: (.*)\)", server.log())
    assert match
    return Path(match[1])


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


def main_agents(server: Server) -> dict[str, dict[str, Any]]:
    """Return the agents that are no subagents."""
    return {
        agent_id: agent
        for agent_id, agent in server.presence().items()
        if agent.get("parent_agent_id") is None
    }


def wait_for_agents(server: Server, count: int) -> dict[str, dict[str, Any]]:
    """Return the agents once there are so many, all with tool calls."""
    return wait_until(
        lambda: (
            agents
            if len(agents := main_agents(server)) == count
            and all(agent["total_tools_executed"] for agent in agents.values())
            else {}
        ),
        f"{count} busy agents",
        60,
    )


def test_demo_agents_use_tools_and_tokens(serve: Serve) -> None:
    """The requested number of agents appears, and each has calls, tokens, a price and labels."""
    server = serve("--agents", "4", "--no-browser", command="demo")
    agents = wait_for_agents(server, 4)
    kinds = sorted(agent_id.partition("-")[0] for agent_id in agents)
    assert kinds == ["claude", "claude", "codex", "gemini"]
    for agent in agents.values():
        assert agent["total_cost_tokens"] > 0
        assert agent["cost_usd"] > 0
        assert not agent.get("unpriced_tokens")
        assert agent["context_tokens"] > 0
        for label in ("session_id", "project", "branch", "cwd", "model", "user", "agent_kind"):
            assert agent[label], label


def test_demo_shows_what_needs_a_person(serve: Serve) -> None:
    """At once an agent has waited for minutes, one is over its limit, one retries."""
    server = serve("--no-browser", command="demo")
    agents = wait_for_agents(server, 9)
    details = {agent["detail"] for agent in agents.values()}
    assert {"waiting_permission", "usage_limited", "retrying"} <= details
    assert [agent for agent in agents.values() if agent.get("hooks") is False]


def test_demo_begins_with_an_empty_database(tmp_path: Path) -> None:
    """Neither a larger demo nor one that was interrupted leaves agents for the next one."""
    with demo(tmp_path, "--no-browser", "--agents", "30") as server:
        wait_for_agents(server, 30)
        folder = database_of(server).parent
    assert not folder.exists()
    with demo(tmp_path, "--no-browser", "--agents", "3") as server:
        wait_for_agents(server, 3)
        assert server.stop(signal.SIGINT) == 0
    with demo(tmp_path, "--no-browser", "--agents", "2") as server:
        wait_for_agents(server, 2)


def test_demo_runs_twice_at_once(tmp_path: Path) -> None:
    """Each demo has its own agents."""
    with (
        demo(tmp_path / "1", "--no-browser", "--agents", "3") as first,
        demo(tmp_path / "2", "--no-browser", "--agents", "2") as second,
    ):
        wait_for_agents(first, 3)
        wait_for_agents(second, 2)


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
    assert all(event["output_tokens"] for event in events)
    assert all(event["branch"] for event in events)


def test_demo_imports_no_real_sessions(tmp_path: Path) -> None:
    """Not even if the environment asks a server to import past sessions."""
    with demo(tmp_path, "--no-browser", HTMLGRAPH_BACKFILL="all", HTMLGRAPH_WATCH="on") as server:
        wait_for_agents(server, 9)
        status = server.get("/api/status").json()
        assert (status["backfill"] or {"state": "off"})["state"] == "off"


@pytest.mark.parametrize("environ", [{}, {"HTMLGRAPH_DB": "own.db"}])
def test_demo_uses_its_own_database(tmp_path: Path, environ: dict[str, str]) -> None:
    """Simulated agents never get into the user's database, not even by HTMLGRAPH_DB."""
    environ = {name: str(tmp_path / file) for name, file in environ.items()}
    with demo(tmp_path, "--no-browser", "--speed", "50", **environ) as server:
        wait_until(server.presence, "an agent", 30)
        database = database_of(server)
        assert database.exists()
        assert tmp_path not in database.parents
        assert "9 simulated agents; Ctrl-C ends the demo" in server.log()
    assert not database.parent.exists()
    assert not list(tmp_path.glob("*.db*"))


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
        address = seen.read_text()
        if flags:
            # Other users see arguments of processes, but not this file.
            file = Path(address.removeprefix("file://"))
            assert file.stat().st_mode & 0o777 == 0o600
            assert f"{server.url}/?token={TOKEN}" in file.read_text()
        else:
            assert address == f"{server.url}/"


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
