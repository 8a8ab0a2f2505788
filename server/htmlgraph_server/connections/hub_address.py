"""Where the server listens as a service of JupyterHub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from htmlgraph_nb.errors import ConfigError

HUB_VARIABLES = ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_PREFIX")
"""Environment variables that the Hub sets for its services."""


def hub_address(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return ``host`` and ``port`` of the Hub's JUPYTERHUB_SERVICE_URL, unless they are set.

    Args:
        flags: setting name → text; None or absent: flag not given.
        environ: environment variables.

    Raises:
        ConfigError: a variable that the Hub sets for its services is missing or invalid.
    """
    missing = [name for name in HUB_VARIABLES if not environ.get(name)]
    if missing:
        raise ConfigError(
            f"--jupyterhub: {missing[0]} is not set; run the server as a service of JupyterHub"
        )
    url = environ.get("JUPYTERHUB_SERVICE_URL", "")
    try:
        address = urlsplit(url)
        host, port = address.hostname, address.port
    except ValueError as error:
        raise ConfigError(f"JUPYTERHUB_SERVICE_URL: {error}, got {url[:100]}") from None
    own: dict[str, Any] = {}
    for name, value in (("host", host), ("port", port)):
        is_set = flags.get(name) is not None or f"HTMLGRAPH_{name.upper()}" in environ
        if value is not None and not is_set:
            own[name] = value
    return own


def service_path(environ: Mapping[str, str]) -> str:
    """Return the path below which a service of JupyterHub has its routes, without a last slash."""
    return "/" + environ["JUPYTERHUB_SERVICE_PREFIX"].strip("/")
