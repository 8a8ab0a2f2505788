"""Takes screenshots of the page: ``python -m tests.e2e.screenshots FOLDER``.

Most show the agents of ``htmlgraph-nb demo``; ``readme.png`` shows each status. The picture in
README.md shows recorded sessions of real agents, with other names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import chromium
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until

WIDE = {"width": 1_280, "height": 800}
NARROW = {"width": 390, "height": 780}
SIDEBAR = {"width": 300, "height": 780}
README = {"width": 920, "height": 868}
MANY = 10_000


def main() -> int:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description="Take screenshots of the page.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="only screenshots whose name contains this text")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as home:
        for name, take in PICTURES.items():
            if arguments.only is None or arguments.only in name:
                take(browser, Path(home) / name, arguments.folder / f"{name}.png")
                print(arguments.folder / f"{name}.png", flush=True)
    return 0


def _open(browser: Browser, url: str, scheme: str, viewport: dict[str, int]) -> Page:
    page = browser.new_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page.goto(url)
    expect(page.locator(".htmlgraph-grid")).to_have_attribute("data-connection", "connected")
    return page


def _shoot(page: Page, path: Path) -> None:
    page.screenshot(path=path, animations="disabled")
    page.close()


def _empty(browser: Browser, home: Path, path: Path, scheme: str) -> None:
    with running(home) as server:
        _shoot(_open(browser, server.url, scheme, WIDE), path)


def _demo(
    n_agents: int,
    viewport: dict[str, int],
    settings: str = "",
    then: Callable[[Page], None] = lambda page: None,
) -> _Take:
    """Return a function that takes a screenshot of the demo agents.

    Args:
        n_agents: number of agents.
        viewport: size of the page.
        settings: settings of the grid, as in the fragment of the page's URL.
        then: called with the page before the screenshot.
    """

    def take(browser: Browser, home: Path, path: Path, scheme: str) -> None:
        flags = ("--agents", str(n_agents), "--no-browser", "--speed", "8")
        with running(home, *flags, command="demo") as server:
            wait_until(lambda: len(server.presence()) >= n_agents, "the agents", 60)
            wait_until(lambda: _has_waiting_agent(server), "a waiting agent", 60)
            page = _open(browser, f"{server.url}/#{settings}", scheme, viewport)
            expect(page.locator("[data-agent-id]").first).to_be_visible()
            then(page)
            _shoot(page, path)

    return take


def _has_waiting_agent(server: Server) -> bool:
    return any(presence["attention"] for presence in server.presence().values())


def _select_first(page: Page) -> None:
    page.locator("[data-agent-id]").first.click(position={"x": 60, "y": 12})
    expect(page.locator("[data-event]").first).to_be_visible()


def _open_filter(page: Page) -> None:
    page.locator('[data-control="filter"]').click()
    expect(page.locator("[data-facet]").first).to_be_visible()


def _many(settings: str) -> _Take:
    def take(browser: Browser, home: Path, path: Path, scheme: str) -> None:
        with running(home) as server:
            for first in range(0, MANY, 2_500):
                assert server.post("/api/events", _events(first, 2_500)).status == 200
            page = _open(browser, f"{server.url}/#{settings}", scheme, WIDE)
            expect(page.locator('[data-stat="total"]')).to_have_text(f"{MANY:,}")
            expect(page.locator("[data-agent-id]").first).to_be_visible()
            _shoot(page, path)

    return take


def _events(first: int, n: int) -> list[dict[str, object]]:
    kinds = ("tool_execute", "tool_execute", "tool_start", "stop", "completion")
    tools = ("Read", "Edit", "Bash", "Grep")
    return [
        {
            "agent_id": f"agent-{i}",
            "event_type": "permission_request" if i % 997 == 1 else kinds[i % len(kinds)],
            "tool_name": tools[i % len(tools)],
            "session_id": f"{i * 2_654_435_761 % 2**32:08x}",
            "feature_id": f"feat-{i % 7}",
            "project": f"project-{i % 5}",
            "model": "claude-sonnet-4-5",
            "input_tokens": i * 37 % 9_000,
        }
        for i in range(first, first + n)
    ]


def _readme(browser: Browser, home: Path, path: Path, scheme: str) -> None:
    with running(home, "--no-browser", "--speed", "3", command="demo") as server:
        page = _open(browser, server.url, scheme, README)

        def take() -> bool:
            if not _shows_each_status(page):
                return False
            page.screenshot(path=path, animations="disabled")
            # The agents keep changing meanwhile.
            return _shows_each_status(page)

        wait_until(take, "agents of each status", 300, 0.1)
        page.close()


def _shows_each_status(page: Page) -> bool:
    """Return whether the page shows every status and a waiting agent."""
    waiting, active, idle, offline, tools = page.evaluate(
        """() => {
          const numbers = (selector) =>
            [...document.querySelectorAll(selector)].map((node) => Number(node.textContent));
          const names = ["waiting", "active", "idle", "offline"];
          return [
            ...names.map((name) => numbers(`[data-stat="${name}"]`)[0]),
            numbers('[data-field="tools"]').reduce((sum, n) => sum + n, 0),
          ];
        }"""
    )
    return bool(waiting == 1 and active >= 4 and idle >= 1 and offline >= 1 and tools > 90)


def _disconnected(browser: Browser, home: Path, path: Path, scheme: str) -> None:
    with running(home) as server:
        for name in ("claude-1", "claude-2", "codex-1"):
            server.send(name, tool_name="Read", session_id="s-1", cost_tokens=12_000)
        page = _open(browser, server.url, scheme, WIDE)
        expect(page.locator("[data-agent-id]")).to_have_count(3)
        server.stop()
        expect(page.locator(".htmlgraph-grid")).to_have_attribute("data-stale", "true")
        page.wait_for_timeout(300)
        _shoot(page, path)


_Take = Callable[[Browser, Path, Path, str], None]
_VIEWS: dict[str, _Take] = {
    "empty": _empty,
    "three": _demo(3, WIDE),
    "two-hundred": _demo(200, WIDE),
    "two-hundred-table": _demo(200, WIDE, "view=table"),
    "two-hundred-compact": _demo(200, WIDE, "view=compact"),
    "many": _many(""),
    "many-table": _many("view=table&sort=-tokens"),
    "many-compact": _many("view=compact&group=project"),
    "details": _demo(12, WIDE, "", _select_first),
    "details-table": _demo(40, WIDE, "view=table", _select_first),
    "grouped": _demo(40, WIDE, "group=project"),
    "grouped-table": _demo(40, WIDE, "view=table&group=feature"),
    "filter": _demo(40, WIDE, "status=active", _open_filter),
    "narrow": _demo(9, NARROW),
    "narrow-table": _demo(9, NARROW, "view=table"),
    "narrow-details": _demo(9, NARROW, "", _select_first),
    "sidebar": _demo(30, SIDEBAR, "view=compact"),
    "disconnected": _disconnected,
    "readme": _readme,
}


def _with_scheme(take: _Take, scheme: str) -> Callable[[Browser, Path, Path], None]:
    return lambda browser, home, path: take(browser, home, path, scheme)


PICTURES: dict[str, Callable[[Browser, Path, Path], None]] = {
    (name if name == "readme" else f"{name}-{scheme}"): _with_scheme(take, scheme)
    for name, take in _VIEWS.items()
    for scheme in (("light",) if name == "readme" else ("light", "dark"))
}


if __name__ == "__main__":
    sys.exit(main())
