"""Fixtures of the tests in a browser.

- ``browser`` is one headless Chromium for a module's tests.
- ``open_page(url)`` opens a page in its own browser profile; an error in its console, an uncaught
  exception, a dialog or a request to another host fails the test.
- ``serve`` starts real servers, as in tests/integration.
- ``jupyter`` is a running JupyterLab, or Notebook 7 if parametrized, one of each for all tests;
  its kernels find ``presence_server``, which all tests share: use unique agent ids.
- ``open_notebook(jupyter, *cells)`` opens a new notebook, or a copy of the one at a path, and ends
  its kernel after the test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import Watched, chromium, watched_page
from tests.e2e.jupyter import Jupyter, Kind, Notebook, running_jupyter
from tests.helpers.server_process import Server, running
from tests.integration.conftest import Serve, serve, server

__all__ = [
    "OpenNotebook",
    "OpenPage",
    "Serve",
    "browser",
    "jupyter",
    "jupyter_of",
    "open_notebook",
    "open_page",
    "presence_server",
    "serve",
    "server",
]

OpenPage = Callable[..., Watched]
OpenNotebook = Callable[..., Notebook]


# Module scope: playwright's loop would conflict with tests that run asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a headless Chromium."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open pages that are checked and closed at the end of the test."""
    with ExitStack() as stack:

        def open_one(url: str, **context: Any) -> Watched:
            watched = stack.enter_context(watched_page(browser, **context))
            watched.page.goto(url)
            return watched

        yield open_one


@pytest.fixture(scope="session")
def presence_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one server for all notebooks."""
    with running(tmp_path_factory.mktemp("server") / "home") as started:
        yield started


@pytest.fixture(scope="session")
def jupyter_of(
    presence_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Kind], Jupyter]]:
    """Start each kind of Jupyter once, on first use."""
    # The server inside Jupyter shares the database of presence_server.
    environ = {
        "HTMLGRAPH_HOME": str(presence_server.home),
        "HTMLGRAPH_DB": str(presence_server.db),
    }
    started: dict[Kind, Jupyter] = {}
    with ExitStack() as stack:

        def start(kind: Kind) -> Jupyter:
            if kind not in started:
                folder = tmp_path_factory.mktemp(kind)
                started[kind] = stack.enter_context(running_jupyter(kind, folder, environ))
            return started[kind]

        yield start


@pytest.fixture
def jupyter(jupyter_of: Callable[[Kind], Jupyter], request: pytest.FixtureRequest) -> Jupyter:
    """Return a running JupyterLab, or the kind of an indirect parametrization."""
    return jupyter_of(getattr(request, "param", "lab"))


@pytest.fixture
def open_notebook(open_page: OpenPage) -> Iterator[OpenNotebook]:
    """Open new notebooks whose kernels end with the test."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def open_one(jupyter: Jupyter, *cells: str | Path) -> Notebook:
            name = f"{next(numbers)}.ipynb"
            n_cells = jupyter.write(name, *cells)
            watched = open_page(jupyter.address(name))
            watched.allowed.extend(jupyter.own_errors)
            notebook = Notebook(watched, n_cells, jupyter.folder / name)
            stack.callback(notebook.shut_down)
            return notebook

        yield open_one
