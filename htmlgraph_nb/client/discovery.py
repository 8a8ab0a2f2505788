"""Where a server may be found and which token belongs to it; it opens no socket.

A token is only ever paired with the server that it was given for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from ..core.validation import shorten
from ..errors import ConfigError
from ..paths import DEFAULT_URL, EXTENSION_PATH, jupyterhub_server, parent_pid, running_servers

SERVE_COMMAND = "htmlgraph-nb serve"
BROADCASTS = "/ws/broadcasts"

_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's host and port, and the path before its routes.

    Attributes:
        secure: TLS or not.
        host: name or IP address, an IPv6 address without its brackets.
        base: path without a slash at its end; ``""`` where the server is at the root.
    """

    secure: bool
    host: str
    port: int
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of ``http(s)://host[:port][/base]`` or ``ws(s)://…``.

        A path that ends in ``/ws/broadcasts`` stands for the server of that route.

        Raises:
            ConfigError: another form, or a token or password inside the URL.
        """
        parts, port = _split(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ConfigError(
                f"the url is {shorten(url)}, expected http://host:port as {DEFAULT_URL}"
            )
        if parts.username or parts.password or "token" in parse_qs(parts.query):
            raise ConfigError(
                "the url carries a secret, expected it apart from the address: "
                'PresenceClient("http://host:port", token="…")'
            )
        secure = _SCHEMES[parts.scheme]
        base = parts.path.rstrip("/").removesuffix(BROADCASTS)
        return cls(secure, parts.hostname.lower(), port or (443 if secure else 80), base)

    @property
    def netloc(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as people write it: ``http://host:port/base``."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.base}"

    @property
    def loopback(self) -> bool:
        """Whether this is the same machine by its very address."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def websocket(self, **parameters: str | None) -> str:
        """Return the URL of the dashboards' WebSocket; parameters that are None are left out."""
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.netloc}{self.base}{BROADCASTS}{'?' if query else ''}{query}"

    def same_server(self, other: Address) -> bool:
        """Return whether both name one server, whatever the path."""
        return (self.secure, self.port) == (other.secure, other.port) and (
            self.host == other.host or (self.loopback and other.loopback)
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    if not isinstance(url, str):
        raise ConfigError(f"the url is a {type(url).__name__}, expected text as {DEFAULT_URL}")
    try:
        parts = urlsplit(url.strip())
        return parts, parts.port
    except ValueError as error:
        raise ConfigError(
            f"the url is {shorten(url)}: {error}; expected http://host:port"
        ) from None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a server may answer.

    Attributes:
        token: what that server wants to see; None where it wants nothing.
        source: where the address comes from, in words.
    """

    address: Address
    token: str | None
    source: str

    def __repr__(self) -> str:
        shown = None if self.token is None else "…"
        return f"Candidate({self.address.url!r}, token={shown!r}, source={self.source!r})"

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that carry the token; the URL never does."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Environment:
    """What this process can know of servers: its environment, its parent, the files of its user.

    Attributes:
        env: environment variables.
        running: what ``locations.running_servers()`` found.
        jupyter: the parsed ``jpserver-*.json`` of the parent process; empty without one.
        parent: process id of the server that started this kernel, if it is one.
    """

    env: Mapping[str, str]
    running: Sequence[Mapping[str, str]]
    jupyter: Mapping[str, Any]
    parent: int = 0

    @classmethod
    def of_this_process(cls) -> Environment:
        """Return what holds now; servers come and go, so it is read before each attempt."""
        env = dict(os.environ)
        parent = parent_pid(env)
        return cls(env, running_servers(parent), jupyter_server(parent), parent)


def candidates(
    url: str | None, token: str | None, around: Environment | None = None
) -> list[Candidate]:
    """Return where to look for a server, the most particular place first.

    Args:
        url: the only address to try; None: ``HTMLGRAPH_URL`` if it is set, and then only that;
            else the Jupyter Server that runs this kernel, the servers of this user on this
            machine, the last one to start first, and the default address.
        token: the token of ``url``, or of every candidate on this machine where that is None;
            None: the token that is known for the address.
        around: what is known of servers; None: read it from this process.

    Raises:
        ConfigError: the URL has another form or carries a secret.
    """
    around = Environment.of_this_process() if around is None else around
    known = _known(around)
    if url is not None:
        address = Address.parse(url)
        return [Candidate(address, token or _token_for(address, known, around.env), "as given")]
    if around.env.get("HTMLGRAPH_URL"):
        found = known[:1]
    else:
        found = [*known, Candidate(Address.parse(DEFAULT_URL), None, "the default address")]
    return _distinct(
        Candidate(
            one.address,
            (token if one.address.loopback or len(found) == 1 else None)
            or one.token
            or _token_for(one.address, known, around.env),
            one.source,
        )
        for one in found
    )


def _known(around: Environment) -> list[Candidate]:
    known = []
    named = around.env.get("HTMLGRAPH_URL")
    if named:
        try:
            address = Address.parse(named)
        except ConfigError as error:
            raise ConfigError(f"HTMLGRAPH_URL: {error}") from None
        own = around.env.get("HTMLGRAPH_TOKEN") or None
        known.append(Candidate(address, own, "HTMLGRAPH_URL"))
    own = "the Jupyter Server of this kernel"
    hub = jupyterhub_server(around.env)
    parents = [one for one in around.running if one.get("pid") == str(around.parent)]
    for server in parents:
        known += _from_server_file(server, "", own, hub)
    known += _from_server_file(hub, EXTENSION_PATH, "this user's server of JupyterHub")
    if not parents:
        # One without the extension, too: its answer says so.
        known += _from_server_file(around.jupyter, EXTENSION_PATH, own, hub)
    for server in around.running:
        known += _from_server_file(server, "", "a server of this user", hub)
    return known


def _from_server_file(
    server: Mapping[str, Any], path: str, source: str, hub: Mapping[str, str] | None = None
) -> list[Candidate]:
    if not server.get("url"):
        return []
    if hub and str(server["url"]).startswith(hub["url"].rstrip("/") + "/"):
        # The Hub decides there, so no other token counts.
        server = {**server, "token": hub["token"]}
    try:
        address = Address.parse(str(server["url"]).rstrip("/") + path)
    except ConfigError:
        # Jupyter Server may listen on a UNIX socket, which no client here can reach.
        return []
    return [Candidate(address, str(server.get("token") or "") or None, source)]


def _token_for(address: Address, known: Iterable[Candidate], env: Mapping[str, str]) -> str | None:
    for candidate in known:
        if candidate.token and candidate.address.same_server(address):
            return candidate.token
    # A token that stands alone belongs to a server of this machine and is not sent elsewhere.
    if address.loopback and not env.get("HTMLGRAPH_URL"):
        return env.get("HTMLGRAPH_TOKEN") or None
    return None


def _distinct(found: Iterable[Candidate]) -> list[Candidate]:
    first: dict[Address, Candidate] = {}
    for candidate in found:
        first.setdefault(candidate.address, candidate)
    return list(first.values())


def jupyter_server(pid: int) -> dict[str, Any]:
    """Return the ``jpserver-<pid>.json`` of the Jupyter Server with this process id, or ``{}``.

    Jupyter Server writes it (mode 600) into the Jupyter runtime folder; its fields are those of
    ``jupyter_server.serverapp.ServerApp.server_info``: url with the base_url, token, pid.
    """
    # Kernels have it loaded; no other process needs it before the first connection.
    from jupyter_core.paths import jupyter_runtime_dir

    path = os.path.join(jupyter_runtime_dir(), f"jpserver-{pid}.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("url"), str) else {}


def explain(tried: Iterable[tuple[Candidate, str]]) -> str:
    """Return the text for a person whom no server answers: what was tried, and what to type."""
    lines = [f"  {one.address.url} ({one.source}): {reason}" for one, reason in tried]
    return "\n".join(
        [
            "no htmlgraph-nb server found. Tried:",
            *(lines or ["  nothing yet"]),
            f"Start one with: {SERVE_COMMAND}",
            'or name a running one: url="http://host:port", token="…", or HTMLGRAPH_URL and '
            "HTMLGRAPH_TOKEN",
        ]
    )
