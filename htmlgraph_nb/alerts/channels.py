"""The channels of the alerts file: where alerts are sent.

A table ``[channels.NAME]`` has a ``type`` and its settings:

=================  ========================  =====================================================
setting            types                     meaning
=================  ========================  =====================================================
``url``            webhook, apprise          the address; for apprise also a list of addresses
``secret``         webhook                   key of the signature; none: requests are not signed
``headers``        webhook                   further headers, for example ``Authorization``
``timeout_s``      all                       seconds that one attempt may take; 10, of apprise 20
``min_severity``   all                       ``info`` (default), ``warning`` or ``critical``
=================  ========================  =====================================================

``url``, ``secret`` and the values of ``headers`` may be ``env:NAME`` or ``file:PATH``. The types
``browser`` and ``jupyter`` exist without a table: the page and JupyterLab show the alerts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError
from .secret_text import SecretText

MAX_CHANNELS = 32
IN_PAGE_CHANNELS = ("browser", "jupyter")
"""Channels that are shown by a connected page, and never sent."""
CHANNEL_TYPES = ("webhook", "apprise", "desktop")

_TIMEOUTS_S = {"webhook": 10.0, "apprise": 20.0, "desktop": 10.0}
_SEVERITIES = ("info", "warning", "critical")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_COMMON = {"type", "timeout_s", "min_severity"}
_ALLOWED = {
    "webhook": _COMMON | {"url", "secret", "headers"},
    "apprise": _COMMON | {"url"},
    "desktop": _COMMON,
}
_RESERVED_HEADERS = ("content-type", "content-length", "host", "x-htmlgraph-")
_MAX_URLS = 20
_MAX_HEADERS = 20


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """One channel on which alerts are sent.

    Attributes:
        name: as rules name it.
        type: ``webhook``, ``apprise`` or ``desktop``.
        urls: addresses; one for a webhook, none for the desktop.
        secret: key of the webhook's signature; None: unsigned.
        headers: further headers of the webhook.
        timeout_s: seconds that one attempt may take.
        min_severity: less severe alerts are not sent.
    """

    name: str
    type: str
    urls: tuple[SecretText, ...] = ()
    secret: SecretText | None = None
    headers: Mapping[str, SecretText] = field(default_factory=dict)
    timeout_s: float = 10.0
    min_severity: str = "info"

    def accepts(self, severity: str) -> bool:
        """Return whether an alert of this severity is sent on this channel."""
        return _SEVERITIES.index(severity) >= _SEVERITIES.index(self.min_severity)

    def public(self) -> dict[str, Any]:
        """Return what an API may show of the channel, which has no secrets."""
        return {"name": self.name, "type": self.type, "min_severity": self.min_severity}


def parse_channels(tables: object, folder: str = "") -> dict[str, AlertChannel]:
    """Return the channels of the table ``channels`` by name.

    Args:
        tables: the decoded TOML value: name → table.
        folder: relative paths of ``file:PATH`` begin here.

    Raises:
        ConfigError: a setting is invalid. The message never contains a URL or a secret.
    """
    if not isinstance(tables, Mapping):
        raise ConfigError("channels: expected tables such as [channels.phone]")
    if len(tables) > MAX_CHANNELS:
        raise ConfigError(f"channels: expected at most {MAX_CHANNELS}, got {len(tables)}")
    return {name: parse_channel(name, table, folder) for name, table in tables.items()}


def parse_channel(name: str, table: object, folder: str = "") -> AlertChannel:
    """Return one channel; see ``parse_channels``."""
    where = f"channels.{name[:40]}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected a name of up to 40 letters, digits, _ and -")
    if name in IN_PAGE_CHANNELS:
        raise ConfigError(f"{where}: this name is that of the page's own channel; choose another")
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table, as [{where}]")
    kind = table.get("type")
    if kind not in CHANNEL_TYPES:
        raise ConfigError(f"{where}.type: expected one of {', '.join(CHANNEL_TYPES)}")
    for key in sorted(set(table) - _ALLOWED[kind]):
        expected = ", ".join(sorted(_ALLOWED[kind]))
        raise ConfigError(f"{where}.{key[:40]}: unknown setting of {kind}; expected {expected}")
    return AlertChannel(
        name=name,
        type=kind,
        urls=_urls(table.get("url"), kind, f"{where}.url", folder),
        secret=_secret(table.get("secret"), f"{where}.secret", folder),
        headers=_headers(table.get("headers", {}), f"{where}.headers", folder),
        timeout_s=_timeout(table.get("timeout_s", _TIMEOUTS_S[kind]), f"{where}.timeout_s"),
        min_severity=_severity(table.get("min_severity", "info"), f"{where}.min_severity"),
    )


def check_webhook_url(url: str, where: str) -> None:
    """Raise ConfigError unless ``url`` is an HTTP address; the message does not contain it."""
    problem = f"{where}: expected an address such as https://host/path"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(problem) from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or " " in url:
        raise ConfigError(problem)


def _urls(value: object, kind: str, where: str, folder: str) -> tuple[SecretText, ...]:
    if kind == "desktop":
        return ()
    values = value if isinstance(value, list) and kind == "apprise" else [value]
    if not values or len(values) > _MAX_URLS:
        raise ConfigError(f"{where}: expected 1 to {_MAX_URLS} addresses")
    urls = []
    for item in values:
        if not isinstance(item, str) or not item.strip():
            raise ConfigError(f"{where}: expected an address, env:NAME or file:PATH")
        url = SecretText(item.strip(), folder, where)
        if url.is_literal and kind == "webhook":
            check_webhook_url(item.strip(), where)
        elif url.is_literal and "://" not in item:
            raise ConfigError(f"{where}: expected an address such as ntfy://host/topic")
        urls.append(url)
    return tuple(urls)


def _secret(value: object, where: str, folder: str) -> SecretText | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: expected a text, env:NAME or file:PATH")
    return SecretText(value.strip(), folder, where)


def _headers(value: object, where: str, folder: str) -> dict[str, SecretText]:
    if not isinstance(value, Mapping) or len(value) > _MAX_HEADERS:
        raise ConfigError(f"{where}: expected a table of at most {_MAX_HEADERS} headers")
    headers = {}
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or name.lower().startswith(_RESERVED_HEADERS):
            raise ConfigError(f"{where}: {name[:40]!r} cannot be set")
        if not isinstance(text, str) or not re.fullmatch(r"[ -~]{1,4096}", text):
            raise ConfigError(f"{where}.{name}: expected ASCII text, env:NAME or file:PATH")
        headers[name] = SecretText(text, folder, f"{where}.{name}")
    return headers


def _timeout(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 60:
        raise ConfigError(f"{where}: expected seconds from 1 to 60")
    return float(value)


def _severity(value: object, where: str) -> str:
    if value not in _SEVERITIES:
        raise ConfigError(f"{where}: expected one of {', '.join(_SEVERITIES)}")
    return str(value)
