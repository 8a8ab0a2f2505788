"""Takes pictures of the page, for people to look at: ``python -m tests.e2e.screenshots FOLDER``.

The agents are those of ``htmlgraph-nb demo``. ``readme.png`` is the
picture in README.md: ``--only readme``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.integration.server import running
from tests.polling import wait_until

from .browser import chromium

WIDE = {"width": 1_280, "height": 800}
NARROW = {"width": 390, "height": 780}
README = {"width": 920, "height": 400}


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the page.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="take only the pictures whose name holds this text")
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


def _demo(n_agents: int, viewport: dict[str, int]) -> _Take:
    def take(browser: Browser, home: Path, path: Path, scheme: str) -> None:
        flags = ("--agents", str(n_agents), "--no-browser", "--speed", "8")
        with running(home, *flags, command="demo") as server:
            wait_until(lambda: len(server.presence()) == n_agents, "the agents", 60)
            page = _open(browser, server.url, scheme, viewport)
            expect(page.locator("[data-agent-id]").first).to_be_visible()
            _shoot(page, path)

    return take


def _readme(browser: Browser, home: Path, path: Path, scheme: str) -> None:
    with running(home, "--no-browser", "--speed", "3", command="demo") as server:
        page = _open(browser, server.url, scheme, README)

        def shoot() -> bool:
            if not _worth_a_look(page):
                return False
            page.screenshot(path=path, animations="disabled", full_page=True)
            # The agents do not stand still meanwhile.
            return _worth_a_look(page)

        wait_until(shoot, "a moment that shows each status", 300, 0.1)
        page.close()


def _worth_a_look(page: Page) -> bool:
    """Return whether the page shows what a day shows: each status, and somebody who waits."""
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
    "nine-narrow": _demo(9, NARROW),
    "two-hundred": _demo(200, WIDE),
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
