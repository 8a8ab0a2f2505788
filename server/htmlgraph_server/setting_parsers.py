"""Parsers of the texts of settings; each raises ValueError, which says what was expected."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable

from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import open_regular
from htmlgraph_nb.storage.database import SYNCHRONOUS_MODES

_MAX_DURATION_S = 36_500 * 86_400
_MAX_TOKEN_FILE_BYTES = 8_192
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def parse_duration(text: str) -> float:
    """Return the seconds of ``300``, ``"90s"``, ``"5m"``, ``"24h"``, ``"90d"`` or ``"2w"``.

    Raises:
        ValueError: the text has another form, or the duration is over 36500 days.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*([smhdw]?)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("expected a duration such as 300, 90s, 5m, 24h or 90d")
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"]
    if seconds > _MAX_DURATION_S:
        raise ValueError("expected at most 36500d")
    return seconds


def int_parser(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> int:
        digits = text.strip()
        if re.fullmatch(r"[0-9]{1,16}", digits) and minimum <= int(digits) <= maximum:
            return int(digits)
        raise ValueError(f"expected a whole number from {minimum} to {maximum}")

    return parse


parse_milliseconds = int_parser(0, 60_000)
parse_positive = int_parser(1, 2**31 - 1)
parse_port = int_parser(0, 65_535)


def parse_synchronous(text: str) -> str:
    """Return one of SYNCHRONOUS_MODES."""
    if text.upper() not in SYNCHRONOUS_MODES:
        raise ValueError(f"expected one of {', '.join(SYNCHRONOUS_MODES)}")
    return text.upper()


def parse_log_format(text: str) -> str:
    """Return the name of a format of the log.

    Raises:
        ValueError: another name.
    """
    if text.lower() not in ("text", "json"):
        raise ValueError("expected text or json")
    return text.lower()


def parse_switch(text: str) -> bool:
    """Return whether a text is "on"; it may also be "off"."""
    if text.lower() not in ("on", "off"):
        raise ValueError("expected on or off")
    return text.lower() == "on"


def parse_backfill(text: str) -> float:
    """Return seconds; 0 for "off", infinity for "all"."""
    if text.strip().lower() in ("off", "all"):
        return 0.0 if text.strip().lower() == "off" else math.inf
    if text.strip().isdecimal() and int(text) > 0:
        # Seconds, as of other durations, would import nothing.
        raise ValueError("expected a unit, such as 30d, or all or off")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{error}, or all or off") from None


def parse_names(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_session_folders(text: str) -> tuple[tuple[str, str], ...]:
    """Return the agents and folders of ``claude=FOLDER,…``."""
    # Jupyter Server imports this module at every start.
    from htmlgraph_nb.ingest.files.session_roots import parse_folders

    return parse_folders(text)


TOKEN_PATTERN = r"[A-Za-z0-9._~-]{8,256}"
"""A token that is safe in a URL and in a header."""


def parse_token(text: str) -> str:
    """Return a text that is safe in a URL and in a header; "": no token."""
    if text and not re.fullmatch(TOKEN_PATTERN, text):
        raise ValueError("expected 8 to 256 letters, digits or . _ ~ -")
    return text


def parse_header(text: str) -> str:
    """Return the name of an HTTP header; "": none."""
    if text and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", text):
        raise ValueError("expected the name of a header, such as X-Forwarded-User")
    return text


def parse_networks(text: str) -> tuple[str, ...]:
    """Return the IP addresses and networks of a comma-separated list."""
    networks = parse_names(text)
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ValueError("expected addresses or networks such as 10.0.0.0/8") from None
    return networks


def parse_forward_token(text: str) -> str:
    """Return a token, or the content of a file, given as ``@FILE``.

    Raises:
        ValueError: the file cannot be read, or the token has characters that no header can have.
    """
    token = text
    if text.startswith("@"):
        try:
            with open_regular(os.path.expanduser(text[1:])) as file:
                token = file.read(_MAX_TOKEN_FILE_BYTES).decode("ascii", "replace").strip()
        except OSError as error:
            raise ValueError(f"cannot read the file after @: {error.strerror}") from None
    if token and not re.fullmatch(r"[!-~]{1,4096}", token):
        raise ValueError("expected a token of printable characters, or @FILE with one")
    return token


def parse_server_url(text: str) -> str:
    """Return the address of a server as ``http(s)://host:port/base``; "": none.

    Raises:
        ValueError: it is no such address, or contains a secret.
    """
    if not text.strip():
        return ""
    # Jupyter Server imports this module at every start.
    from htmlgraph_nb.client.discovery import Address

    try:
        return Address.parse(text).url
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("url: ")) from None
