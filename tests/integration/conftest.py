"""Fixtures for real server processes; see helpers/server_process.py.

- ``serve("--max-clients", "2")`` starts a server with these flags in a new folder, any number of
  times. ``serve(home=…)`` with the folder of another server continues with its database.
- ``server`` is a server without flags, new for each test. Flags come from a parametrization:
  ``@pytest.mark.parametrize("server", [("--token", "…")], indirect=True)``.
- ``module_server`` is shared by all tests of a module, which use different agent ids. A module with
  ``SERVERS = BOTH`` runs its tests twice: standalone and inside Jupyter Server.
- ``either_server`` is new for each test, which runs with both kinds of server.

Servers are stopped at the end. Their logs must contain neither a traceback nor an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.jupyter_server import running_jupyter_server
from tests.helpers.server_process import Server, running

if TYPE_CHECKING:
    from tests.helpers.postgres import PostgresServer

Serve = Callable[..., Server]
STANDALONE, JUPYTER = "standalone", "jupyter"
BOTH = (STANDALONE, JUPYTER)
RUNNERS: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    STANDALONE: running,
    JUPYTER: running_jupyter_server,
}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers, which are stopped after the test."""
    pytest.importorskip("tornado", reason="the server is not installed")
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of PostgreSQL for the whole run; a test that kills it starts its own."""
    # Here, because the environment of tests.lowest has no psycopg.
    from tests.helpers.postgres import make_server

    server = make_server(durable=False)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path or address of a database that does not exist yet, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "h.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_url()


@pytest.fixture
def server(serve: Serve, request: pytest.FixtureRequest) -> Server:
    """A server with the flags of an indirect parametrization, if there is one."""
    return serve(*getattr(request, "param", ()))


@pytest.fixture(scope="module")
def module_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A server for all tests of a module, with the flags in the module's ``FLAGS``."""
    flags: tuple[str, ...] = getattr(request.module, "FLAGS", ())
    start = RUNNERS[getattr(request, "param", STANDALONE)]
    with start(tmp_path_factory.mktemp("server") / "home", *flags) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of ``module_server`` with each kind of server in the module's ``SERVERS``."""
    kinds = getattr(metafunc.module, "SERVERS", ())
    if kinds and "module_server" in metafunc.fixturenames:
        metafunc.parametrize("module_server", kinds, indirect=True, scope="module")


@pytest.fixture(params=BOTH)
def either_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A new server of each kind, with the flags in the module's ``FLAGS``."""
    flags: tuple[str, ...] = getattr(request.module, "FLAGS", ())
    with RUNNERS[request.param](tmp_path / "home", *flags) as started:
        yield started
