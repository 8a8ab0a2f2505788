"""A headless Chromium, and pages that record foreign requests, errors and dialogs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.helpers.chromium import find_chromium

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DEADLINE_MS = 20_000
expect.set_options(timeout=DEADLINE_MS)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium with an empty profile.

    While it runs, playwright keeps an event loop in this thread: asyncio.run() fails here.
    """
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            yield browser
        finally:
            browser.close()


def launch(playwright: Playwright) -> Browser:
    """Start the machine's Chromium; playwright's own is not downloaded."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))


@dataclass
class Watched:
    """A page and its violations.

    Attributes:
        complaints: descriptions of the violations.
        allowed: texts; a violation that contains one of them is expected.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: self.complain(f"uncaught: {error}"))
        page.on("console", self._on_console)
        page.on("dialog", self._on_dialog)
        page.on("request", lambda request: self._check_host(request.url))
        page.on("websocket", lambda socket: self._check_host(socket.url))

    def complain(self, text: str) -> None:
        """Record a violation."""
        self.complaints.append(text)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.complain(f"console: {message.text}")

    def _on_dialog(self, dialog: Any) -> None:
        self.complain(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in _LOOPBACK:
            self.complain(f"request to another host: {url}")

    def check(self) -> None:
        """Fail if there was a violation that is not allowed."""
        violations = [
            text for text in self.complaints if not any(part in text for part in self.allowed)
        ]
        assert not violations, "\n".join(violations)


@contextmanager
def watched_page(browser: Browser, **context: Any) -> Iterator[Watched]:
    """Open an empty page in its own browser profile and check it for violations at the end.

    Args:
        browser: the browser.
        context: options of playwright's new_context, such as ``color_scheme="dark"``.
    """
    opened = browser.new_context(**context)
    try:
        watched = Watched(opened.new_page())
        yield watched
        watched.check()
    finally:
        opened.close()
