"""Which servers htmlgraph-hook tries, in which order and with which token."""

from __future__ import annotations

import pytest

from htmlgraph_nb.hook.delivery import targets

Parts = tuple[str, str, int | None, str, str]
"""Scheme, host, port, base path and token of a server."""


def parts_of(environ: dict[str, str], running: list[dict[str, str]]) -> list[Parts]:
    """Return the parts of each target."""
    return [
        (target.scheme, target.host, target.port, target.base, target.token)
        for target in targets(environ, running)
    ]


RUNNING = {"url": "http://127.0.0.1:8123", "token": "of-running"}


@pytest.mark.parametrize(
    ("environ", "running", "expected"),
    [
        ({}, RUNNING, ("http", "127.0.0.1", 8123, "", "of-running")),
        (
            {"HTMLGRAPH_URL": "http://host:8888/user/ada/htmlgraph/"},
            RUNNING,
            ("http", "host", 8888, "/user/ada/htmlgraph", ""),
        ),
        (
            {"HTMLGRAPH_URL": "https://host/x", "HTMLGRAPH_TOKEN": "t"},
            RUNNING,
            ("https", "host", None, "/x", "t"),
        ),
        ({"HTMLGRAPH_URL": "host:81"}, {}, ("http", "host", 81, "", "")),
        ({"HTMLGRAPH_URL": "http://[::1]:81"}, {}, ("http", "::1", 81, "", "")),
        (
            {"HTMLGRAPH_URL": "http://127.0.0.1:8123/"},
            RUNNING,
            ("http", "127.0.0.1", 8123, "", "of-running"),
        ),
        (
            {"HTMLGRAPH_TOKEN": "t"},
            RUNNING,
            ("http", "127.0.0.1", 8123, "", "of-running"),
        ),
    ],
)
def test_targets_first(environ: dict[str, str], running: dict[str, str], expected: Parts) -> None:
    """A configured address wins, and a token is used for its own address only."""
    assert parts_of(environ, [running] if running else [])[0] == expected


def test_targets_are_all_servers_or_the_configured_one() -> None:
    """At most four, most recently started first; a port alone does not make a server."""
    running = [{"url": f"http://127.0.0.1:{port}", "token": f"t{port}"} for port in range(1, 7)]
    ports = [(target.port, target.token) for target in targets({}, running)]
    assert ports == [(1, "t1"), (2, "t2"), (3, "t3"), (4, "t4")]
    assert parts_of({}, []) == parts_of({"HTMLGRAPH_TOKEN": "t"}, []) == []
    assert len(parts_of({"HTMLGRAPH_URL": "http://host:1"}, running)) == 1


def test_targets_of_a_jupyterhub_process_start_with_its_server() -> None:
    """The Hub's token is used, and a server that listens on all interfaces is local."""
    hub = {
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:80/user/ada/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_API_TOKEN": "t",
    }
    assert parts_of(hub, [RUNNING])[0] == ("http", "127.0.0.1", 80, "/user/ada/htmlgraph", "t")


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "ws://host"])
def test_targets_reject_an_invalid_address(url: str) -> None:
    """An address that is not HTTP is a ValueError; the hook spools the event then."""
    with pytest.raises(ValueError, match=r"expected a URL such as http|[Pp]ort"):
        next(targets({"HTMLGRAPH_URL": url}, []))
