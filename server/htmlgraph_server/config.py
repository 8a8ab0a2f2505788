"""All settings of the server: one table, one frozen Config built from it at the edge.

Each setting is a flag of ``htmlgraph-nb serve`` (``--max-clients``), an environment variable
(``HTMLGRAPH_MAX_CLIENTS``) and a default; a flag goes before the environment.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import DEFAULT_HOST, DEFAULT_PORT, default_db
from htmlgraph_nb.storage.database import SYNCHRONOUS_MODES

_MOST_S = 36_500 * 86_400
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def duration_s(text: str) -> float:
    """Return the seconds of ``300``, ``"90s"``, ``"5m"``, ``"24h"``, ``"90d"`` or ``"2w"``.

    Raises:
        ValueError: the text has another form.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*([smhdw]?)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("expected a duration as 300, 90s, 5m, 24h or 90d")
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"]
    if seconds > _MOST_S:
        raise ValueError("expected at most 36500d")
    return seconds


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Return the reader of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        digits = text.strip()
        if re.fullmatch(r"[0-9]{1,16}", digits) and least <= int(digits) <= most:
            return int(digits)
        raise ValueError(f"expected a whole number from {least} to {most}")

    return parse


_natural = _whole(0, 60_000)
_positive = _whole(1, 2**31 - 1)
_port = _whole(0, 65_535)


def _synchronous(text: str) -> str:
    if text.upper() not in SYNCHRONOUS_MODES:
        raise ValueError(f"expected one of {', '.join(SYNCHRONOUS_MODES)}")
    return text.upper()


def _switch(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("expected on or off")
    return text.lower() == "on"


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _token(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9._~-]{8,256}", text):
        raise ValueError("expected 8 to 256 letters, digits or . _ ~ -")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, how its text is read, its default, and what it is for."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """Its command line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """Its default as one would type it; "" where there is none."""
        if self.default in (None, "", ()):
            return ""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, so that its flag needs no value and has a ``--no-`` form."""
        return self.parse is _switch

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "HTMLGRAPH_" + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("host", str, DEFAULT_HOST, "address to listen at; a token is needed beyond loopback"),
    Setting("port", _port, DEFAULT_PORT, "TCP port; 0 takes a free one"),
    Setting("db", str, None, "database file; default: in the user's data folder"),
    Setting("token", _token, "", "secret that clients must show; none by default on loopback"),
    Setting("allow_origins", _names, (), "further Origins, separated by commas, that may connect"),
    Setting("allow_hosts", _names, (), "further names, separated by commas, of this server"),
    Setting("max_clients", _positive, 5_000, "most dashboards at once"),
    Setting("max_clients_per_session", _positive, 10, "most dashboards that name one ?session="),
    Setting("max_agents", _positive, 10_000, "most agents in the roster"),
    Setting("max_queue_bytes", _positive, 1_048_576, "most unsent bytes of one dashboard"),
    Setting("max_body_bytes", _positive, 8_388_608, "longest request body"),
    Setting("tick_ms", _natural, 20, "milliseconds over which frames are joined under load"),
    Setting(
        "stall_timeout", duration_s, 30.0, "seconds without reading until a dashboard is closed"
    ),
    Setting("idle_timeout", duration_s, 300.0, "silence until an agent is idle; 0: never"),
    Setting("offline_timeout", duration_s, 1_800.0, "silence until it is offline; 0: never"),
    Setting("forget_after", duration_s, 86_400.0, "silence until it leaves the roster; 0: never"),
    Setting("retain", duration_s, 0.0, "age at which history is deleted, as 90d; 0: never"),
    Setting("synchronous", _synchronous, "NORMAL", "SQLite's synchronous: NORMAL or FULL"),
    Setting("watch", _switch, None, "follow the agents' session files on this machine: on or off"),
    Setting("seal", _switch, True, "columnar copies of history, for fast loading: on or off"),
)


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of the fan-out.

    Attributes:
        max_clients: most dashboards.
        max_clients_per_session: most of them that name one session.
        max_queue_bytes: unsent bytes beyond which a dashboard gets no more ticks.
        stall_timeout_s: seconds beyond that bound until it is closed.
        tick_s: seconds over which frames are joined under load.
        drain_check_s: seconds between two looks whether laggards have drained.
    """

    max_clients: int = 5_000
    max_clients_per_session: int = 10
    max_queue_bytes: int = 1_048_576
    stall_timeout_s: float = 30.0
    tick_s: float = 0.02
    drain_check_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a server is told at its start; see SETTINGS for each field."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    db: str = field(default_factory=default_db)
    token: str = ""
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 8_388_608
    hub: HubLimits = field(default_factory=HubLimits)
    roster: Limits = field(default_factory=Limits)
    retain_s: float = 0.0
    synchronous: str = "NORMAL"
    seal: bool = True
    watch: bool = False

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} is not a loopback address: everybody who reaches it could read and "
                "write; give a secret with --token or HTMLGRAPH_TOKEN"
            )


def is_loopback(host: str) -> bool:
    """Return whether an address or name is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def make_config(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """Build the Config of the command line and the environment.

    Args:
        flags: setting name → text; None or absent: not given.
        environ: environment variables.

    Raises:
        ConfigError: a value that cannot be used; the text names its flag or variable.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text, origin = flags.get(setting.name), setting.flag
        if text is None:
            text, origin = environ.get(setting.variable), setting.variable
        if text is None:
            values[setting.name] = setting.default
            continue
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            # A secret is not repeated, not even a wrong one.
            seen = "unusable" if setting.name == "token" else repr(text[:60])
            raise ConfigError(f"{origin} is {seen}: {error}") from None
    return config_from_values(values)


def config_from_values(values: Mapping[str, Any]) -> Config:
    """Return the Config of the values of all settings."""
    return Config(
        host=values["host"],
        port=values["port"],
        db=values["db"] or default_db(),
        token=values["token"],
        allow_origins=values["allow_origins"],
        allow_hosts=values["allow_hosts"],
        max_body_bytes=values["max_body_bytes"],
        hub=HubLimits(
            max_clients=values["max_clients"],
            max_clients_per_session=values["max_clients_per_session"],
            max_queue_bytes=values["max_queue_bytes"],
            stall_timeout_s=values["stall_timeout"],
            tick_s=values["tick_ms"] / 1_000,
        ),
        roster=Limits(
            idle_timeout_s=values["idle_timeout"],
            offline_timeout_s=values["offline_timeout"],
            forget_after_s=values["forget_after"],
            max_agents=values["max_agents"],
        ),
        retain_s=values["retain"],
        synchronous=values["synchronous"],
        seal=values["seal"],
        # Who listens for others, too, is not the one whose folders these are.
        watch=is_loopback(values["host"]) if values["watch"] is None else values["watch"],
    )
