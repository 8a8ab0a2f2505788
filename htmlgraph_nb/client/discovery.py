"""Finds the addresses at which a server may respond, and their tokens. Opens no socket.

A token is only used for the server that it was issued for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from ..core.validation import format_value
from ..errors import ConfigError
from ..paths import DEFAULT_URL, EXTENSION_PATH, jupyterhub_server, parent_pid, running_servers

_SERVE_COMMAND = "htmlgraph-nb serve"
_WEBSOCKET_PATH = "/ws/broadcasts"

_DEFAULT = "the default address"

_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's host and port, and the path that precedes its routes.

    Attributes:
        secure: whether to use TLS.
        host: name or IP address; an IPv6 address without brackets.
        base: path without a trailing slash; ``""`` if the server is at the root.
    """

    secure: bool
    host: str
    port: int
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of ``http(s)://host[:port][/base]`` or ``ws(s)://…``.

        A path that ends in ``/ws/broadcasts`` is accepted as well.

        Raises:
            ConfigError: the URL is malformed or contains a token or password.
        """
        parts, port = _split(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ConfigError(
                f"url: expected http://host:port, as {DEFAULT_URL}, got {format_value(url)}"
            )
        if parts.username or parts.password or "token" in parse_qs(parts.query):
            raise ConfigError(
                "url: must not contain a secret; pass it separately, as in "
                'load_history("http://host:port", token="…") or PresenceClient(…, token="…")'
            )
        secure = _SCHEMES[parts.scheme]
        base = parts.path.rstrip("/").removesuffix(_WEBSOCKET_PATH)
        return cls(secure, parts.hostname.lower(), port or (443 if secure else 80), base)

    @property
    def netloc(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as ``http://host:port/base``."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.base}"

    @property
    def loopback(self) -> bool:
        """Whether the host is a loopback address."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def websocket(self, **parameters: str | None) -> str:
        """Return the URL of the WebSocket, without the parameters that are None."""
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.netloc}{self.base}{_WEBSOCKET_PATH}{'?' if query else ''}{query}"

    def same_server(self, other: Address) -> bool:
        """Return whether both are the same server, regardless of the path."""
        return (self.secure, self.port) == (other.secure, other.port) and (
            self.host == other.host or (self.loopback and other.loopback)
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    if not isinstance(url, str):
        raise ConfigError(f"url: expected a string, as {DEFAULT_URL!r}, got {format_value(url)}")
    try:
        parts = urlsplit(url.strip())
        return parts, parts.port
    except ValueError as error:
        raise ConfigError(
            f"url: expected http://host:port, got {format_value(url)} ({error})"
        ) from None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a server may respond.

    Attributes:
        token: the token of that server; None: no token.
        source: origin of the address, for display.
    """

    address: Address
    token: str | None
    source: str

    @property
    def is_default(self) -> bool:
        """Whether nothing but the default port suggests that a server is there."""
        return self.source == _DEFAULT

    def __repr__(self) -> str:
        shown = None if self.token is None else "…"
        return f"Candidate({self.address.url!r}, token={shown!r}, source={self.source!r})"

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers with the token. It is never part of the URL."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Environment:
    """Information about servers: environment variables, parent process, files of the user.

    Attributes:
        env: environment variables.
        running: the result of ``paths.running_servers()``.
        jupyter: the parsed ``jpserver-*.json`` of the parent process; empty if there is none.
        parent: process id of the server that started this kernel, if this is a kernel.
    """

    env: Mapping[str, str]
    running: Sequence[Mapping[str, str]]
    jupyter: Mapping[str, Any]
    parent: int = 0

    @classmethod
    def of_this_process(cls) -> Environment:
        """Read the current environment. Servers start and stop, so read it before each attempt."""
        env = dict(os.environ)
        parent = parent_pid(env)
        return cls(env, running_servers(parent), jupyter_server(parent), parent)


def candidates(
    url: str | None, token: str | None, environment: Environment | None = None
) -> list[Candidate]:
    """Return the addresses to try, the most specific first.

    Args:
        url: the only address to try. None: only ``HTMLGRAPH_URL`` if it is set; otherwise the
            Jupyter Server of this kernel, the servers of this user on this machine, most recently
            started first, and the default address.
        token: the token of ``url`` or, if ``url`` is None, of every candidate on this machine.
            None: the token that the environment contains for the address.
        environment: None: the environment of this process.

    Raises:
        ConfigError: the URL is malformed or contains a secret.
    """
    environment = Environment.of_this_process() if environment is None else environment
    known_servers = _known_servers(environment)
    env = environment.env
    if url is not None:
        address = Address.parse(url)
        return [Candidate(address, token or _token_for(address, known_servers, env), "as given")]
    if env.get("HTMLGRAPH_URL"):
        servers = known_servers[:1]
    else:
        servers = [
            *known_servers,
            Candidate(Address.parse(DEFAULT_URL), None, _DEFAULT),
        ]
    return _distinct(
        Candidate(
            server.address,
            (token if server.address.loopback or len(servers) == 1 else None)
            or server.token
            or _token_for(server.address, known_servers, env),
            server.source,
        )
        for server in servers
    )


def _known_servers(environment: Environment) -> list[Candidate]:
    known_servers = []
    url = environment.env.get("HTMLGRAPH_URL")
    if url:
        try:
            address = Address.parse(url)
        except ConfigError as error:
            raise ConfigError(f"HTMLGRAPH_URL: {error}") from None
        token = environment.env.get("HTMLGRAPH_TOKEN") or None
        known_servers.append(Candidate(address, token, "HTMLGRAPH_URL"))
    kernel_server = "the Jupyter Server of this kernel"
    hub = jupyterhub_server(environment.env)
    parents = [
        server for server in environment.running if server.get("pid") == str(environment.parent)
    ]
    for server in parents:
        known_servers += _from_server_file(server, "", kernel_server, hub)
    known_servers += _from_server_file(hub, EXTENSION_PATH, "this user's server of JupyterHub")
    if not parents:
        # It may lack the extension; then its response says so.
        known_servers += _from_server_file(environment.jupyter, EXTENSION_PATH, kernel_server, hub)
    for server in environment.running:
        known_servers += _from_server_file(server, "", "a server of this user", hub)
    return known_servers


def _from_server_file(
    server: Mapping[str, Any], path: str, source: str, hub: Mapping[str, str] | None = None
) -> list[Candidate]:
    if not server.get("url"):
        return []
    if hub and str(server["url"]).startswith(hub["url"].rstrip("/") + "/"):
        # The Hub authorizes there; other tokens are invalid.
        server = {**server, "token": hub["token"]}
    try:
        address = Address.parse(str(server["url"]).rstrip("/") + path)
    except ConfigError:
        # Jupyter Server may listen on a UNIX socket, which this client does not support.
        return []
    return [Candidate(address, str(server.get("token") or "") or None, source)]


def _token_for(
    address: Address, known_servers: Iterable[Candidate], env: Mapping[str, str]
) -> str | None:
    for candidate in known_servers:
        if candidate.token and candidate.address.same_server(address):
            return candidate.token
    # Without HTMLGRAPH_URL the token belongs to a server of this machine; never send it elsewhere.
    if address.loopback and not env.get("HTMLGRAPH_URL"):
        return env.get("HTMLGRAPH_TOKEN") or None
    return None


def _distinct(servers: Iterable[Candidate]) -> list[Candidate]:
    by_address: dict[Address, Candidate] = {}
    for candidate in servers:
        by_address.setdefault(candidate.address, candidate)
    return list(by_address.values())


def jupyter_server(pid: int) -> dict[str, Any]:
    """Return the ``jpserver-<pid>.json`` of the Jupyter Server with this process id, or ``{}``.

    Jupyter Server writes it (mode 600) to the Jupyter runtime folder. Its fields are those of
    ``jupyter_server.serverapp.ServerApp.server_info``: url with the base_url, token, pid.
    """
    # Imported late: kernels have it loaded; other processes need it at the first connection.
    from jupyter_core.paths import jupyter_runtime_dir

    path = os.path.join(jupyter_runtime_dir(), f"jpserver-{pid}.json")
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) and isinstance(info.get("url"), str) else {}


def not_found_text(tried: Iterable[tuple[Candidate, str]]) -> str:
    """Return the error message if no server responds: the addresses tried, and a command."""
    lines = [
        f"  {candidate.address.url} ({candidate.source}): {reason}" for candidate, reason in tried
    ]
    return "\n".join(
        [
            "no htmlgraph-nb server found. Tried:",
            *(lines or ["  nothing yet"]),
            f"Start one with: {_SERVE_COMMAND}",
            'or pass url="http://host:port" and token="…" of a running one, or set HTMLGRAPH_URL '
            "and HTMLGRAPH_TOKEN",
        ]
    )
