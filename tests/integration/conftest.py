"""Fixtures around real server processes; see server.py.

- ``serve("--max-clients", "2")`` starts one with these flags and a folder of its own, as often as
  a test wants; ``serve(home=…)`` on the folder of another continues with its database.
- ``server`` is one without flags, new for each test. Flags come from a parametrisation:
  ``@pytest.mark.parametrize("server", [("--token", "…")], indirect=True)``.
- ``module_server`` is one for all tests of a module: use agent ids of your own. A module with
  ``SERVERS = BOTH`` runs them twice: on the standalone server and inside Jupyter Server.
- ``either_server`` is new for each test, which runs on both kinds.

Each is stopped at the end, and its log must then hold neither a traceback nor an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.helpers.jupyter_server import running_jupyter_server
from tests.helpers.server_process import Server, running

Serve = Callable[..., Server]
STANDALONE, MOUNTED = "standalone", "mounted"
BOTH = (STANDALONE, MOUNTED)
RUNNERS: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    STANDALONE: running,
    MOUNTED: running_jupyter_server,
}


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
    start = RUNNERS[getattr(request, "param", STANDALONE)]
    with start(tmp_path_factory.mktemp("server") / "home", *flags) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module's server on each kind that the module names."""
    kinds = getattr(metafunc.module, "SERVERS", ())
    if kinds and "module_server" in metafunc.fixturenames:
        metafunc.parametrize("module_server", kinds, indirect=True, scope="module")


@pytest.fixture(params=BOTH)
def either_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each kind, new for each test; a module's ``FLAGS`` are its flags."""
    flags: tuple[str, ...] = getattr(request.module, "FLAGS", ())
    with RUNNERS[request.param](tmp_path / "home", *flags) as started:
        yield started
