"""The file of rules, ``alerts.toml``: its rules, channels, quiet hours and mute.

::

    muted_until = 2026-12-24T12:00:00Z    # or: muted = true

    [[rule]]
    kind = "waits"
    for = "60s"
    projects = ["shop"]
    channels = ["phone"]

    [quiet]
    from = "22:00"
    to = "07:00"

    [channels.phone]
    type = "webhook"
    url = "env:PHONE_URL"
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from ..core.agent_facts import CANNOT_WORK
from ..core.validation import format_value, unknown_field
from ..errors import ConfigError, InvalidEvent
from ..local_zone import local_zone_name, resolve_zone
from ..paths import open_regular
from .alert_rule import (
    BUDGETS_OF_AGENT,
    BUDGETS_OF_PERIOD,
    DEFAULT_RULES,
    PERIODS,
    RULE_KINDS,
    SCOPES,
    SEVERITIES,
    UNITS,
    AlertRule,
)
from .channels import IN_PAGE_CHANNELS, AlertChannel, parse_channels
from .silence import FOREVER, AlertSilence, QuietHours

MAX_FILE_BYTES = 1_048_576
MAX_RULES = 200
_MAX_PATTERNS = 100
_MAX_NAME_CHARS = 60
_MAX_PATTERN_CHARS = 256
_MAX_SECONDS = 366 * 86_400.0
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


@dataclass(frozen=True, slots=True)
class AlertFile:
    """The content of a file of rules.

    Attributes:
        rules: in the order of the file.
        channels: by name.
        quiet: the quiet hours; None: there are none.
        muted_until: until when the file mutes all alerts; None: it does not.
        zone: the time zone of the periods of budgets.
    """

    rules: tuple[AlertRule, ...] = DEFAULT_RULES
    channels: Mapping[str, AlertChannel] = field(default_factory=dict)
    quiet: QuietHours | None = None
    muted_until: datetime | None = None
    zone: tzinfo = UTC

    def silence(self, muted_until: datetime | None) -> AlertSilence:
        """Return what silences alerts, by the file and by the switch of the database."""
        return AlertSilence(muted_until, self.muted_until, self.quiet)


def read_alert_file(path: str) -> AlertFile:
    """Return the content of a file; the default rules if it does not exist.

    Raises:
        ConfigError: the file cannot be read, or is invalid; the message names the place.
    """
    name = os.path.basename(path)
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return AlertFile(zone=_zone_of(None, "tz"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name}: expected at most {MAX_FILE_BYTES} bytes")
    try:
        return parse_alert_file(data.decode(), os.path.dirname(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: expected UTF-8, got another byte at {error.start}") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def parse_alert_file(text: str, folder: str = "") -> AlertFile:
    """Return the content of the text of a file.

    Args:
        folder: relative paths of secrets begin here.

    Raises:
        ConfigError: the text is invalid; the message names the place.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise ConfigError(f"invalid TOML: {error}") from None
    except RecursionError:
        raise ConfigError("invalid TOML: nested too deeply") from None
    _check_names(data, ("rule", "channels", "quiet", "muted", "muted_until", "tz"), "")
    channels = parse_channels(data.get("channels", {}), folder)
    zone = _zone_of(data.get("tz"), "tz")
    tables = data.get("rule", [])
    if not isinstance(tables, list) or len(tables) > MAX_RULES:
        raise ConfigError(f"rule: expected at most {MAX_RULES} tables such as [[rule]]")
    rules: list[AlertRule] = []
    for number, table in enumerate(tables, 1):
        rule = _rule(table, f"rule {number}", (*channels, *IN_PAGE_CHANNELS), rules)
        rules.append(rule)
    return AlertFile(
        tuple(rules) if "rule" in data else DEFAULT_RULES,
        channels,
        _quiet(data.get("quiet"), zone),
        _muted(data),
        zone,
    )


def rule_of_settings(settings: Mapping[str, Any]) -> AlertRule:
    """Return a rule from its settings, as a table of the file has them.

    Raises:
        ConfigError: a setting is invalid.
    """
    return _rule(settings, "rule", IN_PAGE_CHANNELS, [])


def _rule(
    table: object, where: str, channels: Sequence[str], others: Sequence[AlertRule]
) -> AlertRule:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table, as [[rule]]")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in RULE_KINDS:
        raise ConfigError(
            f"{where}, kind: expected one of {', '.join(RULE_KINDS)}, got {format_value(kind)}"
        )
    _check_names(table, ("kind", *_SETTINGS), f"{where}, ")
    known = RULE_KINDS[kind]
    values: dict[str, Any] = {
        "kind": kind,
        "for_s": known.for_s,
        "severity": known.severity,
        "threshold": known.default,
    }
    for name, (attribute, parse) in _SETTINGS.items():
        if name in table:
            try:
                values[attribute] = parse(table[name])
            except ValueError as error:
                raise ConfigError(
                    f"{where}, {name}: expected {error}, got {format_value(table[name])}"
                ) from None
    values.setdefault("name", _free_name(kind, others))
    rule = AlertRule(**values)
    _check_rule(rule, table, where, channels, others)
    return rule


def _free_name(kind: str, others: Sequence[AlertRule]) -> str:
    names = {rule.name for rule in others}
    number, name = 1, kind
    while name in names:
        number += 1
        name = f"{kind}-{number}"
    return name


def _check_rule(
    rule: AlertRule,
    table: Mapping[str, Any],
    where: str,
    channels: Sequence[str],
    others: Sequence[AlertRule],
) -> None:
    known = RULE_KINDS[rule.kind]
    if any(rule.name == other.name for other in others):
        raise ConfigError(f"{where}, name: expected another name, {rule.name!r} is a rule already")
    if known.threshold and rule.threshold is None:
        raise ConfigError(f"{where}, threshold: missing, expected the {known.threshold}")
    if not known.threshold and "threshold" in table:
        raise ConfigError(f"{where}, threshold: a rule of the kind {rule.kind} has none")
    for name, kinds in _ONLY_OF.items():
        if name in table and rule.kind not in kinds:
            raise ConfigError(f"{where}, {name}: only for rules of the kind {' or '.join(kinds)}")
    if "period" in table and rule.by in BUDGETS_OF_AGENT:
        raise ConfigError(f"{where}, period: a budget by {rule.by} has none")
    for channel in rule.channels:
        if channel not in channels:
            raise ConfigError(
                f"{where}, channels: expected some of {', '.join(channels)}, got {channel[:40]!r}"
            )


def seconds_of(value: object) -> float:
    """Return the seconds of a number, or of a text such as "30s", "5m", "2h" or "1d".

    Raises:
        ValueError: another value.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An integer may be too large for a float.
        seconds = float(value) if abs(value) <= _MAX_SECONDS else math.nan
    elif isinstance(value, str):
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhdw])", value.strip(), re.ASCII)
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else math.nan
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError('a duration such as "30s"')
    return seconds


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise ValueError("a number > 0")
    return float(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w .-]{1,60}", value):
        raise ValueError(f"a name of up to {_MAX_NAME_CHARS} letters, digits, spaces, . _ and -")
    return value


def _patterns(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 0 < len(values) <= _MAX_PATTERNS:
        raise ValueError("a list of names or patterns")
    for item in values:
        if not isinstance(item, str) or not 0 < len(item) <= _MAX_PATTERN_CHARS:
            raise ValueError("a list of names or patterns")
    return tuple(values)


def _details(value: object) -> tuple[str, ...]:
    details = _patterns(value)
    if not set(details) <= set(CANNOT_WORK):
        raise ValueError(f"some of {', '.join(CANNOT_WORK)}")
    return details


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _one_of(names: Sequence[str]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return str(value)

    return parse


_SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _name),
    "threshold": ("threshold", _number),
    "for": ("for_s", seconds_of),
    "cooldown": ("cooldown_s", seconds_of),
    **{name: (name, _patterns) for name in SCOPES},
    "by": ("by", _one_of((*BUDGETS_OF_AGENT, *BUDGETS_OF_PERIOD))),
    "unit": ("unit", _one_of(UNITS)),
    "period": ("period", _one_of(PERIODS)),
    "details": ("details", _details),
    "floor": ("floor_s", seconds_of),
    "channels": ("channels", _patterns),
    "enabled": ("enabled", _switch),
    "severity": ("severity", _one_of(SEVERITIES)),
    "send_resolved": ("send_resolved", _switch),
}
"""Setting of a rule in the file → attribute of AlertRule, and its parser."""
RULE_SETTINGS = tuple(_SETTINGS)
_ONLY_OF = {
    **dict.fromkeys(("by", "unit", "period"), ("budget",)),
    "details": ("cannot_work",),
    "floor": ("stuck",),
}


def _check_names(table: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in table:
        if name not in names:
            hint = unknown_field(name, dict.fromkeys(names)).message
            raise ConfigError(f"{where}{hint.replace('unknown field', 'unknown setting')}")


def _zone_of(value: object, where: str) -> tzinfo:
    try:
        if value is not None and not isinstance(value, str):
            raise InvalidEvent(f'expected a time zone such as "Europe/Paris", got {value!r:.40}')
        zone = resolve_zone(value or local_zone_name())
        return zone if isinstance(zone, tzinfo) else ZoneInfo(zone)
    except InvalidEvent as error:
        raise ConfigError(f"{where}: {error.message.removeprefix('tz: ')}") from None
    except (KeyError, ValueError, OSError):
        # A distance from UTC, or a machine without the names of zones.
        return datetime.now().astimezone().tzinfo or UTC


def _quiet(table: object, zone: tzinfo) -> QuietHours | None:
    if table is None:
        return None
    if not isinstance(table, Mapping):
        raise ConfigError("quiet: expected a table, as [quiet]")
    _check_names(table, ("from", "to", "tz", "except_severity"), "quiet, ")
    severities = table.get("except_severity", ["critical"])
    values = [severities] if isinstance(severities, str) else severities
    if not isinstance(values, list) or not set(map(str, values)) <= set(SEVERITIES):
        raise ConfigError(f"quiet, except_severity: expected some of {', '.join(SEVERITIES)}")
    own_zone = _zone_of(table["tz"], "quiet, tz") if "tz" in table else zone
    start, end = (_time_of_day(table.get(name), f"quiet, {name}") for name in ("from", "to"))
    return QuietHours(start, end, own_zone, tuple(map(str, values)))


def _time_of_day(value: object, where: str) -> time:
    if isinstance(value, time):
        return value.replace(tzinfo=None)
    try:
        if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d", value, re.ASCII):
            return time.fromisoformat(value)
    except ValueError:
        pass
    raise ConfigError(f'{where}: expected a time such as "22:00", got {format_value(value)}')


def _muted(data: Mapping[str, Any]) -> datetime | None:
    if "muted" in data and not isinstance(data["muted"], bool):
        raise ConfigError(f"muted: expected true or false, got {format_value(data['muted'])}")
    if data.get("muted"):
        return FOREVER
    until = data.get("muted_until")
    if until is None:
        return None
    if not isinstance(until, datetime):
        got = format_value(until)
        raise ConfigError(f"muted_until: expected a time such as 2026-12-24T12:00:00Z, got {got}")
    try:
        return until.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        # Near the years 1 and 9999.
        raise ConfigError(f"muted_until: expected a year until 9998, got {until}") from None
