"""Edits of the file of rules that keep its comments and its order: text in, text out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..errors import ConfigError
from .alert_rule import DEFAULT_RULES, RULE_KINDS, SCOPES, AlertRule
from .rule_file import AlertFile, parse_alert_file

_RULE = re.compile(r"\s*\[\[\s*(?:rule|\"rule\"|'rule')\s*\]\]\s*(?:#.*)?$")
_TABLE = re.compile(r"\s*\[")
_INTRODUCTION = "# Rules of htmlgraph-nb alerts; see notebooks/ALERTS.md.\n"


def add_rule(text: str, settings: Mapping[str, Any], folder: str = "") -> tuple[str, AlertRule]:
    """Return the text of a file with another rule, and the rule.

    A file without rules has the default ones, which are then written down, but not one of the same
    kind.

    Args:
        settings: setting of the file, such as "kind" or "for" → its value.
        folder: as for ``parse_alert_file``.

    Raises:
        ConfigError: the file or a setting is invalid.
    """
    before = parse_alert_file(text, folder)
    parts = [text or _INTRODUCTION]
    if before.rules is DEFAULT_RULES:
        parts += [
            _table(_settings_of(rule)) for rule in DEFAULT_RULES if rule.kind != settings["kind"]
        ]
    joined = "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)
    new_text = joined + _table(settings)
    after = parse_alert_file(new_text, folder)
    return new_text, after.rules[-1]


def remove_rule(text: str, name: str, folder: str = "") -> str:
    """Return the text of a file without a rule.

    Raises:
        ConfigError: there is no such rule, or it cannot be taken out of this text.
    """
    before = parse_alert_file(text, folder)
    names = [rule.name for rule in before.rules]
    if name not in names:
        raise ConfigError(f"rule: expected one of {', '.join(names)}, got {name[:60]!r}")
    lines, starts = text.splitlines(keepends=True), _rule_lines(text)
    if before.rules is DEFAULT_RULES:
        # The default rules: write down the others.
        tables = [_table(_settings_of(rule)) for rule in DEFAULT_RULES if rule.name != name]
        return (text or _INTRODUCTION) + "".join(tables)
    number = names.index(name)
    if len(starts) == len(names):
        start = starts[number]
        end = next((n for n in range(start + 1, len(lines)) if _TABLE.match(lines[n])), len(lines))
        while end > start + 1 and lines[end - 1].lstrip().startswith("#"):
            # A comment above the next table belongs to that.
            end -= 1
        rest = lines[:start] + lines[end:]
        new_text = "".join(rest)
        if not _rule_lines(new_text):
            # Without any table the default rules would be in force.
            new_text = "rule = []\n" + new_text
        if _is_without(before, name, new_text, folder):
            return new_text
    raise ConfigError(f"rule {name[:60]!r}: cannot be taken out of this file; edit it by hand")


def _is_without(before: AlertFile, name: str, new_text: str, folder: str) -> bool:
    try:
        after = parse_alert_file(new_text, folder)
    except ConfigError:
        return False
    # Rules without a name of their own may get other numbers.
    return len(after.rules) == len(before.rules) - 1 and after.channels == before.channels


def _rule_lines(text: str) -> list[int]:
    """Return the numbers of the lines ``[[rule]]``."""
    return [number for number, line in enumerate(text.splitlines()) if _RULE.match(line)]


def _settings_of(rule: AlertRule) -> dict[str, Any]:
    """Return the settings of a rule that are not the defaults of its kind."""
    kind = RULE_KINDS[rule.kind]
    default = AlertRule(
        name=rule.name,
        kind=rule.kind,
        threshold=kind.default,
        for_s=kind.for_s,
        severity=kind.severity,
    )
    settings: dict[str, Any] = {"kind": rule.kind}
    if rule.for_s != default.for_s or kind.for_s:
        settings["for"] = duration_of(rule.for_s)
    if rule.cooldown_s != default.cooldown_s:
        settings["cooldown"] = duration_of(rule.cooldown_s)
    if rule.threshold is not None:
        settings["threshold"] = rule.threshold
    settings.update({name: list(getattr(rule, name)) for name in SCOPES if getattr(rule, name)})
    return settings


def duration_of(seconds: float) -> str:
    """Return a duration as the file has it, such as "90s" or "5m"."""
    whole = timedelta(seconds=seconds).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole and whole % length == 0:
            return f"{whole / length:g}{unit}"
    return f"{whole:g}s"


def _table(settings: Mapping[str, Any]) -> str:
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    return "\n[[rule]]\n" + "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() and abs(value) < 1e6 else repr(value)
    # JSON strings are basic strings of TOML; DEL must be escaped there.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
