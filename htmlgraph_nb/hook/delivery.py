"""Where the hook brings an event, and how: standard library only, and little of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import paths
from ..errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONNECT_TIMEOUT_S = 0.25
ANSWER_TIMEOUT_S = 0.6
HOOKS_PATH = "/api/hooks/"
MAX_SERVERS = 4


class Target(NamedTuple):
    """A server: scheme, host, port (None: the scheme's own), base path, token ("": none)."""

    scheme: str
    host: str
    port: int | None
    base: str
    token: str

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, by its address."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def targets(environ: Mapping[str, str], running: Sequence[Mapping[str, str]]) -> Iterator[Target]:
    """Yield the servers to report to: HTMLGRAPH_URL alone, else those that run, else the default.

    Args:
        running: ``locations.running_servers()``; each token goes to its own address only.

    Raises:
        ValueError: an address is no http:// or https:// URL.
    """
    url = environ.get("HTMLGRAPH_URL", "")
    if url:
        own = [server["token"] for server in running if _same(server["url"], url)]
        yield _target(url, environ.get("HTMLGRAPH_TOKEN", "") or next(iter(own), ""))
        return
    hub = paths.jupyterhub_server(environ)
    if hub:
        yield _target(hub["url"].rstrip("/") + paths.EXTENSION_PATH, hub["token"])
    for server in running[:MAX_SERVERS]:
        yield _target(server["url"], server.get("token", ""))
    yield _target(paths.DEFAULT_URL, "")


def _same(url: str, other: str) -> bool:
    return url.rstrip("/") == other.rstrip("/")


def _target(url: str, token: str) -> Target:
    from urllib.parse import urlsplit

    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the address is {url!r}, expected one as http://127.0.0.1:8000")
    return Target(parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"), token)


def deliver(to: Target, path: str, body: bytes) -> int:
    """POST ``body`` to a path and return the HTTP status; redirects are not followed.

    Raises:
        Unreachable: nothing was sent: refused, timed out, unknown host, TLS failure.
        OSError: no answer.
        http.client.HTTPException: what answers does not speak HTTP.
        ValueError: the token or the path cannot be sent.
    """
    import http.client

    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = kind(to.host, to.port, timeout=CONNECT_TIMEOUT_S)
    headers = {"Content-Type": "application/json", "User-Agent": "htmlgraph-hook"}
    if to.token:
        headers["Authorization"] = f"Bearer {to.token}"
    try:
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{to.host}:{to.port}: {error}") from error
        connection.sock.settimeout(ANSWER_TIMEOUT_S)
        connection.request("POST", to.base + path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
