"""Files of alert rules, and the edits that the command makes to them."""

from __future__ import annotations

import json
from typing import Any

from htmlgraph_nb.alerts.rule_edit import add_rule, remove_rule
from htmlgraph_nb.alerts.rule_file import MAX_RULES, parse_alert_file
from htmlgraph_nb.errors import ConfigError
from tests.fuzz.oracle import NOW, check_error, require
from tests.fuzz.targets import split_variant

_SETTINGS = {"kind": "waits", "name": "added by a test", "for": "90s", "projects": ["a'\"\\b"]}


def run(data: bytes) -> None:
    """Parse a file, and add and remove rules; JSON stands for the same values as TOML."""
    variant, body = split_variant(data, ("rules", "json"))
    text = body.decode("utf-8", "replace")
    if variant == "json":
        try:
            values = json.loads(body)
            pairs = values.items() if isinstance(values, dict) else ()
            text = "".join(f"{_toml(str(name))} = {_toml(value)}\n" for name, value in pairs)
        except (ValueError, RecursionError):
            return
    try:
        file = parse_alert_file(text)
    except ConfigError as error:
        check_error(error)
        return
    require(len(file.rules) <= MAX_RULES, "more rules than allowed")
    require(len({rule.name for rule in file.rules}) == len(file.rules), "two rules of a name")
    silence = file.silence(None)
    for rule in file.rules:
        silence.silences(rule.severity, NOW)
    for rule in file.rules[:5]:
        _check_removed(text, rule.name)
    try:
        added, rule = add_rule(text, _SETTINGS)
    except ConfigError as error:
        check_error(error)
        return
    require((rule.kind, rule.for_s) == ("waits", 90.0), "another rule was added")
    require(rule in parse_alert_file(added).rules, "the added rule is not in the file")


def _toml(value: Any) -> str:
    """Return a JSON value as TOML; a text that begins with "!" stands for what follows it."""
    if isinstance(value, dict):
        pairs = (f"{_toml(str(name))} = {_toml(inner)}" for name, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str) and value.startswith("!"):
        return value[1:]
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "nan" if value is None else json.dumps(value)


def _check_removed(text: str, name: str) -> None:
    try:
        after = remove_rule(text, name)
    except ConfigError as error:
        check_error(error)
        return
    before, left = parse_alert_file(text).rules, parse_alert_file(after).rules
    require(len(left) == len(before) - 1, "not one rule was removed")
