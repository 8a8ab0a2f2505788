"""Fixtures of the tests in a browser.

- ``browser`` is one headless Chromium for a module's tests.
- ``open_page(url)`` opens a page in a profile of its own; an error in its console, an uncaught
  exception, a dialog or a request to another machine fails the test.
- ``serve`` starts real servers, as in tests/integration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.integration.conftest import Serve, serve, server

from .browser import Watched, chromium, watched_page

__all__ = ["OpenPage", "Serve", "browser", "open_page", "serve", "server"]

OpenPage = Callable[..., Watched]


# Not longer than a module: playwright's loop would be in the way of tests that run asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages that are closed, and checked, at the end of the test."""
    with ExitStack() as stack:

        def open_one(url: str, **context: Any) -> Watched:
            watched = stack.enter_context(watched_page(browser, **context))
            watched.page.goto(url)
            return watched

        yield open_one
