"""The settings of the server: the table SETTINGS, and the immutable Config built from it.

Each setting has a flag of ``htmlgraph-nb serve`` (``--max-clients``), an environment variable
(``HTMLGRAPH_MAX_CLIENTS``) and a default. A flag takes precedence over the variable.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import DEFAULT_HOST, DEFAULT_PORT, alerts_file, default_db
from htmlgraph_nb.storage.postgres.location import without_password

from .connections.hub_address import hub_address
from .connections.hub_limits import HubLimits
from .setting_parsers import (
    parse_backfill,
    parse_duration,
    parse_forward_token,
    parse_header,
    parse_log_format,
    parse_milliseconds,
    parse_names,
    parse_networks,
    parse_port,
    parse_positive,
    parse_server_url,
    parse_session_folders,
    parse_switch,
    parse_synchronous,
    parse_token,
)

BACKFILL_S = 30 * 86_400.0
"""Age of session files that are imported by default."""


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
        return self.parse is parse_switch

    @property
    def is_repeatable(self) -> bool:
        """Whether the flag can be given several times, each time with one item of the list."""
        return self.parse is parse_session_folders

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "HTMLGRAPH_" + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("host", str, DEFAULT_HOST, "address to listen on; beyond loopback it needs a token"),
    Setting("port", parse_port, DEFAULT_PORT, "TCP port to listen on; 0 picks a free port"),
    Setting(
        "db",
        str,
        None,
        "database file, or postgresql://USER@HOST/NAME; default: the user's own file",
    ),
    Setting("token", parse_token, "", "secret that clients must send; optional on loopback"),
    Setting("token_file", str, None, "file with the token in its first line"),
    Setting(
        "local_token",
        parse_switch,
        None,
        "need a token on loopback too: on or off; default: on where other people have accounts",
    ),
    Setting("allow_origins", parse_names, (), "comma-separated additional Origins to accept"),
    Setting("allow_hosts", parse_names, (), "comma-separated additional host names of the server"),
    Setting("max_clients", parse_positive, 5_000, "maximum number of connected dashboards"),
    Setting(
        "max_clients_per_session", parse_positive, 10, "maximum dashboards with the same ?session="
    ),
    Setting(
        "max_agents",
        parse_positive,
        10_000,
        "maximum number of agents in the roster; offline ones leave for new ones",
    ),
    Setting(
        "max_filter_values",
        parse_positive,
        100_000,
        "maximum number of values in the filters of all dashboards together",
    ),
    Setting("max_queue_bytes", parse_positive, 1_048_576, "maximum unsent bytes per dashboard"),
    Setting("max_body_bytes", parse_positive, 8_388_608, "maximum size of a request body"),
    Setting(
        "max_buffered_bytes",
        parse_positive,
        268_435_456,
        "maximum unfinished bodies, messages and responses of all connections together, in bytes",
    ),
    Setting("tick_ms", parse_milliseconds, 20, "interval between messages under load, in ms"),
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
        "synchronous", parse_synchronous, "NORMAL", "SQLite's synchronous mode: NORMAL or FULL"
    ),
    Setting(
        "watch", parse_switch, None, "follow session files of agents on this machine: on or off"
    ),
    Setting(
        "seal", parse_switch, True, "keep a columnar copy of history for fast loading: on or off"
    ),
    Setting(
        "backfill",
        parse_backfill,
        None,
        "age of session files to import at the start: a duration, all or off; default: 30d, but "
        "off without --watch",
    ),
    Setting(
        "titles", parse_switch, True, "keep titles that agents generate for sessions: on or off"
    ),
    Setting(
        "session_folder",
        parse_session_folders,
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
    Setting("log_format", parse_log_format, "text", "lines of the log: text or json"),
    Setting(
        "max_spaces",
        parse_positive,
        50,
        "maximum number of spaces that are open at a time, beside the default one",
    ),
    Setting(
        "identity_header",
        parse_header,
        "",
        "header in which a proxy names the person, such as X-Forwarded-User",
    ),
    Setting(
        "groups_header",
        parse_header,
        "",
        "header with the comma-separated groups of that person, which decide the space",
    ),
    Setting(
        "trusted_proxies",
        parse_networks,
        (),
        "comma-separated addresses and networks from which these headers count",
    ),
    Setting(
        "jupyterhub", parse_switch, False, "run as a service of JupyterHub, which signs users in"
    ),
    Setting(
        "forward_to", parse_server_url, "", "address of a server that gets all events of this one"
    ),
    Setting(
        "forward_token",
        parse_forward_token,
        "",
        "token of that server, or @FILE with it, which ps does not show",
    ),
    Setting(
        "host_timeout",
        parse_duration,
        30.0,
        "silence after which a host that forwards to this server is shown as unreachable",
    ),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of a server; SETTINGS describes each field."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    db: str = field(default_factory=default_db)
    token: str = ""
    local_token: bool | None = False
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
    log_format: str = "text"
    max_spaces: int = 50
    identity_header: str = ""
    groups_header: str = ""
    trusted_proxies: tuple[str, ...] = ()
    jupyterhub: bool = False
    forward_to: str = ""
    forward_token: str = field(default="", repr=False)
    host_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.identity_header and not self.trusted_proxies:
            raise ConfigError(
                "--identity-header: name the address of the proxy with --trusted-proxies; "
                "else anyone could send the header"
            )
        if (self.groups_header or self.trusted_proxies) and not self.identity_header:
            raise ConfigError(
                "--groups-header and --trusted-proxies: expected --identity-header, too"
            )
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
    values = {
        setting.name: setting_value(setting.name, flags.get(setting.name), environ)
        for setting in SETTINGS
    }
    if values["jupyterhub"]:
        values.update(hub_address(flags, environ))
    return config_from_values(values)


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
        got = "" if name.endswith("token") else f", got {text[:60]!r}"
        raise ConfigError(f"{origin}: {error}{got}") from None


def config_from_values(values: Mapping[str, Any]) -> Config:
    """Return the Config for the parsed values of all settings."""
    # A server for other machines does not read the session files of its user by default.
    watch = is_loopback(values["host"]) if values["watch"] is None else values["watch"]
    backfill_s = values["backfill"]
    if backfill_s is None:
        backfill_s = BACKFILL_S if watch else 0.0
    token = values["token"]
    if not token and (values["jupyterhub"] or values["identity_header"]):
        # A request without an identity must not be one of the owner. Programs of this user read the
        # token from the server file.
        token = secrets.token_urlsafe(32)
    return Config(
        host=values["host"],
        port=values["port"],
        db=without_password(values["db"] or default_db()),
        token=token,
        local_token=values["local_token"],
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
        log_format=values["log_format"],
        max_spaces=values["max_spaces"],
        identity_header=values["identity_header"],
        groups_header=values["groups_header"],
        trusted_proxies=values["trusted_proxies"],
        jupyterhub=values["jupyterhub"],
        forward_to=values["forward_to"],
        forward_token=values["forward_token"],
        host_timeout_s=values["host_timeout"] or 30.0,
    )
