"""Which servers the hook tries, and how it POSTs to them; imports little, for a quick start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import paths
from ..errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONNECT_TIMEOUT_S = 0.25
RESPONSE_TIMEOUT_S = 0.6
HOOKS_PATH = "/api/hooks/"
MAX_SERVERS = 4


class Target:
    """A server; a plain class, because creating a NamedTuple takes a millisecond of each start.

    Args:
        port: None for the default port of the scheme.
        base: path that precedes its routes.
        token: "" for none.
    """

    __slots__ = ("base", "host", "port", "scheme", "token")

    def __init__(self, scheme: str, host: str, port: int | None, base: str, token: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.base = base
        self.token = token

    @property
    def is_local(self) -> bool:
        """Whether its address is that of this machine."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def targets(environ: Mapping[str, str], running: Sequence[Mapping[str, str]]) -> Iterator[Target]:
    """Yield the servers to try: only HTMLGRAPH_URL if set, else the running ones of this user.

    Any program can listen at the default address while no server runs, so it is not tried.

    Args:
        running: the result of ``paths.running_servers()``; a token is sent to its address only.

    Raises:
        ValueError: an address is no http:// or https:// URL.
    """
    url = environ.get("HTMLGRAPH_URL", "")
    if url:
        known = (server["token"] for server in running if _is_same(server["url"], url))
        yield _target(url, environ.get("HTMLGRAPH_TOKEN", "") or next(known, ""))
        return
    hub = paths.jupyterhub_server(environ)
    if hub:
        yield _target(hub["url"].rstrip("/") + paths.EXTENSION_PATH, hub["token"])
    for server in running[:MAX_SERVERS]:
        yield _target(server["url"], server.get("token", ""))


def _is_same(url: str, other: str) -> bool:
    return url.rstrip("/") == other.rstrip("/")


def _target(url: str, token: str) -> Target:
    from urllib.parse import urlsplit

    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"address: expected a URL such as {paths.DEFAULT_URL}, got {url!r}")
    return Target(parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"), token)


def deliver(target: Target, path: str, body: bytes) -> int:
    """POST ``body`` to a path and return the HTTP status; redirects are not followed.

    The status is 0 if another program responds than a server of this project.

    Raises:
        Unreachable: nothing was sent: connection refused or timed out, unknown host, TLS error.
        OSError: the connection broke or no response arrived in time.
        http.client.HTTPException: the response is not HTTP.
        ValueError: the token or the path contains invalid characters.
    """
    import http.client

    is_https = target.scheme == "https"
    connect = http.client.HTTPSConnection if is_https else http.client.HTTPConnection
    connection = connect(target.host, target.port, timeout=CONNECT_TIMEOUT_S)
    headers = {"Content-Type": "application/json", "User-Agent": "htmlgraph-hook"}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    try:
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{target.host}:{target.port}: {error}") from error
        connection.sock.settimeout(RESPONSE_TIMEOUT_S)
        connection.request("POST", target.base + path, body, headers)
        response = connection.getresponse()
        return response.status if response.getheader(paths.SERVER_HEADER) else 0
    finally:
        connection.close()
