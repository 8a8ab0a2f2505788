"""The settings of the server: the table SETTINGS, and the immutable Config built from it.

Each setting has a flag of ``htmlgraph-nb serve`` (``--max-clients``), an environment variable
(``HTMLGRAPH_MAX_CLIENTS``) and a default. A flag takes precedence over the variable.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import DEFAULT_HOST, DEFAULT_PORT, alerts_file, default_db
from htmlgraph_nb.storage.database import SYNCHRONOUS_MODES

_MAX_DURATION_S = 36_500 * 86_400
BACKFILL_S = 30 * 86_400.0
"""Age of session files that are imported by default."""
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


def _int_parser(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> int:
        digits = text.strip()
        if re.fullmatch(r"[0-9]{1,16}", digits) and minimum <= int(digits) <= maximum:
            return int(digits)
        raise ValueError(f"expected a whole number from {minimum} to {maximum}")

    return parse


_parse_milliseconds = _int_parser(0, 60_000)
_parse_positive = _int_parser(1, 2**31 - 1)
_parse_port = _int_parser(0, 65_535)


def _parse_synchronous(text: str) -> str:
    if text.upper() not in SYNCHRONOUS_MODES:
        raise ValueError(f"expected one of {', '.join(SYNCHRONOUS_MODES)}")
    return text.upper()


def _parse_switch(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("expected on or off")
    return text.lower() == "on"


def _parse_backfill(text: str) -> float:
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


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_folders(text: str) -> tuple[tuple[str, str], ...]:
    # Jupyter Server imports this module at every start.
    from htmlgraph_nb.ingest.files.session_roots import parse_folders

    return parse_folders(text)


def _parse_token(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9._~-]{8,256}", text):
        raise ValueError("expected 8 to 256 letters, digits or . _ ~ -")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: in Python form, such as ``max_clients``.
        parse: turns the text of a flag or variable into the value, or raises ValueError.
        default: the value if neither is given.
        help: one phrase for ``--help`` and SETTINGS.md.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """The command line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default in its text form; "" if there is none."""
        if self.default in (None, "", ()):
            return ""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def is_switch(self) -> bool:
        """Whether the value is on or off: the flag needs no value and has a ``--no-`` form."""
        return self.parse is _parse_switch

    @property
    def is_repeatable(self) -> bool:
        """Whether the flag can be given several times, each time with one item of the list."""
        return self.parse is _parse_folders

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "HTMLGRAPH_" + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("host", str, DEFAULT_HOST, "address to listen on; beyond loopback it needs a token"),
    Setting("port", _parse_port, DEFAULT_PORT, "TCP port to listen on; 0 picks a free port"),
    Setting("db", str, None, "database file; default: a file in the user's data folder"),
    Setting("token", _parse_token, "", "secret that clients must send; optional on loopback"),
    Setting("allow_origins", _parse_names, (), "comma-separated additional Origins to accept"),
    Setting("allow_hosts", _parse_names, (), "comma-separated additional host names of the server"),
    Setting("max_clients", _parse_positive, 5_000, "maximum number of connected dashboards"),
    Setting(
        "max_clients_per_session", _parse_positive, 10, "maximum dashboards with the same ?session="
    ),
    Setting(
        "max_agents",
        _parse_positive,
        10_000,
        "maximum number of agents in the roster; offline ones leave for new ones",
    ),
    Setting(
        "max_filter_values",
        _parse_positive,
        100_000,
        "maximum number of values in the filters of all dashboards together",
    ),
    Setting(
        "max_spaces",
        _parse_positive,
        50,
        "maximum number of spaces that are open at a time, beside the default one",
    ),
    Setting("max_queue_bytes", _parse_positive, 1_048_576, "maximum unsent bytes per dashboard"),
    Setting("max_body_bytes", _parse_positive, 8_388_608, "maximum size of a request body"),
    Setting(
        "max_buffered_bytes",
        _parse_positive,
        268_435_456,
        "maximum unfinished bodies, messages and responses of all connections together, in bytes",
    ),
    Setting("tick_ms", _parse_milliseconds, 20, "interval between messages under load, in ms"),
    Setting(
        "stall_timeout", parse_duration, 30.0, "time until a client that stops reading is closed"
    ),
    Setting(
        "idle_timeout", parse_duration, 300.0, "silence after which an agent becomes idle; 0: never"
    ),
    Setting(
        "offline_timeout",
        parse_duration,
        1_800.0,
        "silence after which an agent goes offline; 0: never",
    ),
    Setting(
        "forget_after",
        parse_duration,
        86_400.0,
        "silence after which an agent is removed; 0: never",
    ),
    Setting("retain", parse_duration, 0.0, "age at which history is deleted, e.g. 90d; 0: never"),
    Setting(
        "synchronous", _parse_synchronous, "NORMAL", "SQLite's synchronous mode: NORMAL or FULL"
    ),
    Setting(
        "watch", _parse_switch, None, "follow session files of agents on this machine: on or off"
    ),
    Setting(
        "seal", _parse_switch, True, "keep a columnar copy of history for fast loading: on or off"
    ),
    Setting(
        "backfill",
        _parse_backfill,
        None,
        "age of session files to import at the start: a duration, all or off; default: 30d, but "
        "off without --watch",
    ),
    Setting(
        "titles", _parse_switch, True, "keep titles that agents generate for sessions: on or off"
    ),
    Setting(
        "session_folder",
        _parse_folders,
        (),
        "further folder with session files, as claude=FOLDER; repeatable, in the variable "
        "comma-separated",
    ),
    Setting(
        "open_work_timeout",
        parse_duration,
        14_400.0,
        "silence after which an agent with open work and an unknown process goes offline; 0: never",
    ),
    Setting(
        "alerts",
        str,
        None,
        "file with the rules of alerts; default: alerts.toml in the user's data folder",
    ),
)


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Limits of the hub.

    Attributes:
        max_clients: maximum number of dashboards.
        max_clients_per_session: maximum number of dashboards that name the same session.
        max_filter_values: maximum number of values in all different filters together.
        max_queue_bytes: a dashboard with more unsent bytes is slow and receives no more messages.
        stall_timeout_s: seconds after which a slow dashboard is closed.
        tick_s: seconds between two messages under load; changes in between are merged.
        drain_check_s: seconds between two checks of the slow dashboards.
    """

    max_clients: int = 5_000
    max_clients_per_session: int = 10
    max_filter_values: int = 100_000
    max_queue_bytes: int = 1_048_576
    stall_timeout_s: float = 30.0
    tick_s: float = 0.02
    drain_check_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of a server; SETTINGS describes each field."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    db: str = field(default_factory=default_db)
    token: str = ""
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 8_388_608
    max_buffered_bytes: int = 268_435_456
    hub: HubLimits = field(default_factory=HubLimits)
    roster: Limits = field(default_factory=Limits)
    retain_s: float = 0.0
    synchronous: str = "NORMAL"
    seal: bool = True
    watch: bool = False
    session_folder: tuple[tuple[str, str], ...] = ()
    backfill_s: float = 0.0
    titles: bool = True
    alerts: str = field(default_factory=alerts_file)
    max_spaces: int = 50

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} is not a loopback address, so other machines could read and write "
                "everything; set a secret with --token or HTMLGRAPH_TOKEN"
            )


def is_loopback(host: str) -> bool:
    """Return whether an address or host name is a loopback one."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def make_config(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """Build the Config of the command line and the environment.

    Args:
        flags: setting name → text; None or absent: flag not given.
        environ: environment variables.

    Raises:
        ConfigError: a value is invalid; the message names its flag or variable.
    """
    return config_from_values(
        {
            setting.name: setting_value(setting.name, flags.get(setting.name), environ)
            for setting in SETTINGS
        }
    )


def setting_value(name: str, flag: str | None, environ: Mapping[str, str]) -> Any:
    """Return the parsed value of one setting.

    Args:
        name: name of the setting.
        flag: the text of its flag; None: not given.
        environ: environment variables.

    Raises:
        ConfigError: the value is invalid; the message names the flag or variable.
    """
    setting = next(each for each in SETTINGS if each.name == name)
    text, origin = flag, setting.flag
    if text is None:
        text, origin = environ.get(setting.variable), setting.variable
    if text is None:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        # Never show a secret, not even an invalid one.
        got = "" if name == "token" else f", got {text[:60]!r}"
        raise ConfigError(f"{origin}: {error}{got}") from None


def config_from_values(values: Mapping[str, Any]) -> Config:
    """Return the Config for the parsed values of all settings."""
    # A server for other machines does not read the session files of its user by default.
    watch = is_loopback(values["host"]) if values["watch"] is None else values["watch"]
    backfill_s = values["backfill"]
    if backfill_s is None:
        backfill_s = BACKFILL_S if watch else 0.0
    return Config(
        host=values["host"],
        port=values["port"],
        db=values["db"] or default_db(),
        token=values["token"],
        allow_origins=values["allow_origins"],
        allow_hosts=values["allow_hosts"],
        max_body_bytes=values["max_body_bytes"],
        max_buffered_bytes=values["max_buffered_bytes"],
        hub=HubLimits(
            max_clients=values["max_clients"],
            max_clients_per_session=values["max_clients_per_session"],
            max_filter_values=values["max_filter_values"],
            max_queue_bytes=values["max_queue_bytes"],
            stall_timeout_s=values["stall_timeout"],
            tick_s=values["tick_ms"] / 1_000,
        ),
        roster=Limits(
            idle_timeout_s=values["idle_timeout"],
            offline_timeout_s=values["offline_timeout"],
            forget_after_s=values["forget_after"],
            open_work_timeout_s=values["open_work_timeout"],
            max_agents=values["max_agents"],
        ),
        retain_s=values["retain"],
        synchronous=values["synchronous"],
        seal=values["seal"],
        watch=watch,
        session_folder=values["session_folder"],
        backfill_s=backfill_s,
        titles=values["titles"],
        alerts=values["alerts"] or alerts_file(),
        max_spaces=values["max_spaces"],
    )
