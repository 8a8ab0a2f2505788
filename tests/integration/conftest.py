"""Fixtures around real server processes; see server.py.

- ``serve("--max-clients", "2")`` starts one with these flags and a folder of its own, as often as
  a test wants; ``serve(home=…)`` on the folder of another continues with its database.
- ``server`` is one without flags, new for each test. Flags come from a parametrisation:
  ``@pytest.mark.parametrize("server", [("--token", "…")], indirect=True)``.
- ``module_server`` is one for all tests of a module: use agent ids of your own.

Each is stopped at the end, and its log must then hold neither a traceback nor an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from .server import Server, running

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers that end with the test."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def start(
            *flags: str,
            command: str = "serve",
            environ: Mapping[str, str] | None = None,
            home: Path | None = None,
        ) -> Server:
            folder = home or tmp_path / f"home{next(numbers)}"
            return stack.enter_context(running(folder, *flags, command=command, environ=environ))

        yield start


@pytest.fixture
def server(serve: Serve, request: pytest.FixtureRequest) -> Server:
    """One server, with the flags of an indirect parametrisation if there is one."""
    return serve(*getattr(request, "param", ()))


@pytest.fixture(scope="module")
def module_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """One server for the tests of a module; a module's ``FLAGS`` are its flags."""
    flags: tuple[str, ...] = getattr(request.module, "FLAGS", ())
    with running(tmp_path_factory.mktemp("server") / "home", *flags) as started:
        yield started
