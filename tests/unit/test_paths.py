"""Where this user's servers are."""

from __future__ import annotations

import sys

import pytest

from htmlgraph_nb.paths import is_alive, jupyterhub_server

HUB = {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]", "*", "127.0.0.1"])
def test_jupyterhub_server_replaces_the_listen_address(host: str) -> None:
    """A server that listens on all interfaces is reached at the loopback address."""
    environ = {**HUB, "JUPYTERHUB_SERVICE_URL": f"http://{host}:8888/user/ada/"}
    expected = {"url": "http://127.0.0.1:8888/user/ada/", "token": "t"}
    assert jupyterhub_server(environ) == expected


def test_jupyterhub_server_keeps_another_host() -> None:
    """Any other address is used as given."""
    url = "https://lab-3:8888/user/ada/"
    assert jupyterhub_server({**HUB, "JUPYTERHUB_SERVICE_URL": url})["url"] == url


@pytest.mark.parametrize("missing", [*HUB, "JUPYTERHUB_SERVICE_URL"])
def test_jupyterhub_server_needs_all_variables(missing: str) -> None:
    """A process outside of a single-user server has none."""
    environ = {**HUB, "JUPYTERHUB_SERVICE_URL": "http://:8888/"}
    del environ[missing]
    assert jupyterhub_server(environ) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="it is always True there")
@pytest.mark.parametrize("pid", [0, -1, 2**31, 10**30])
def test_is_alive_of_no_pid(pid: int) -> None:
    """For os.kill() these are groups of processes, or no numbers of processes at all."""
    assert not is_alive(pid)
