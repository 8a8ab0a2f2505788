"""``htmlgraph-nb alerts``: what fires, the rules, and the switch that silences everything."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from htmlgraph_nb.alerts.alert_rule import (
    BUDGETS_OF_AGENT,
    BUDGETS_OF_PERIOD,
    PERIODS,
    RULE_KINDS,
    SCOPES,
    SEVERITIES,
    UNITS,
)
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.alerts.rule_edit import add_rule, duration_of, remove_rule
from htmlgraph_nb.alerts.rule_file import MAX_FILE_BYTES, seconds_of
from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.errors import ConfigError, ServerNotFound
from htmlgraph_nb.paths import alerts_file, make_private_folder, open_regular, write_private_text

from ..options import Print, add_server_options, count_type, rest_client
from ..text_table import Column, plural, table_lines

_MARKS = {"info": "·", "warning": "!", "critical": "‼"}
_SINGULAR = {
    "agents": "agent",
    "kinds": "kind",
    "projects": "project",
    "branches": "branch",
    "hosts": "host",
    "models": "model",
}


def configure_alerts(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the subcommands of ``alerts``."""
    parser.description = "Shows what fires; changes the rules, and who is notified."
    commands = parser.add_subparsers(metavar="COMMAND", dest="action")
    _configure_list(parser, out)
    _configure_list(commands.add_parser("list", help="list alerts (the default)"), out)
    shown = commands.add_parser("rules", help="list the rules and channels in force")
    add_server_options(shown)
    shown.set_defaults(run=lambda arguments: _rules(arguments, out))
    _configure_add(commands.add_parser("add", help="add a rule to the file"), out)
    remove = commands.add_parser("remove", help="take a rule out of the file")
    remove.add_argument("name", help="name of the rule")
    _add_file_option(remove)
    remove.set_defaults(run=lambda arguments: _remove(arguments, out))
    test = commands.add_parser("test", help="send a test alert on a channel")
    test.add_argument("channel", help="name of the channel")
    add_server_options(test, "")
    test.set_defaults(run=lambda arguments: _test(arguments, out))
    mute = commands.add_parser("mute", help="silence all alerts")
    mute.add_argument(
        "duration", nargs="?", default="on", help="such as 1h; on: until off (the default); off"
    )
    add_server_options(mute, "")
    mute.set_defaults(run=lambda arguments: _mute(arguments, out))
    ack = commands.add_parser("ack", help="note that you take care of an alert")
    ack.add_argument("alert", nargs="+", help="id of an alert, its first letters, or all")
    ack.add_argument("--by", help="your name")
    add_server_options(ack, "")
    ack.set_defaults(run=lambda arguments: _acknowledge(arguments, out))


def _configure_list(parser: argparse.ArgumentParser, out: Print) -> None:
    states = ("firing", "acknowledged", "past", "all")
    parser.add_argument("--state", choices=states, default="firing", help="default: firing")
    parser.add_argument("--limit", type=count_type(1, 1_000), default=20, help="default: 20")
    add_server_options(parser)
    parser.set_defaults(run=lambda arguments: _list(arguments, out))


def _add_file_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", help="file of rules (default: that of the server)")


def _configure_add(parser: argparse.ArgumentParser, out: Print) -> None:
    parser.add_argument("kind", choices=tuple(RULE_KINDS), metavar="KIND", help="what to watch")
    parser.epilog = "Kinds: " + "; ".join(f"{name}: {k.text}" for name, k in RULE_KINDS.items())
    parser.add_argument("--name", help="name of the rule; default: the kind")
    parser.add_argument("--for", dest="for_", metavar="TIME", help="how long it must hold, as 60s")
    parser.add_argument("--threshold", type=float, help="number at which it fires")
    parser.add_argument("--cooldown", metavar="TIME", help="least time between two alerts")
    for name, singular in _SINGULAR.items():
        # ``--kind`` would be mistaken for KIND.
        flag = "agent-kind" if name == "kinds" else singular
        parser.add_argument(f"--{flag}", dest=name, action="append", help="pattern; repeatable")
    parser.add_argument("--by", choices=(*BUDGETS_OF_AGENT, *BUDGETS_OF_PERIOD), help="of a budget")
    parser.add_argument("--unit", choices=UNITS, help="of a budget")
    parser.add_argument("--period", choices=PERIODS, help="of a budget")
    parser.add_argument("--severity", choices=SEVERITIES, help="default: that of the kind")
    parser.add_argument(
        "--channel", dest="channels", action="append", help="channel to notify; repeatable"
    )
    _add_file_option(parser)
    parser.set_defaults(run=lambda arguments: _add(arguments, out))


# Lists


def _list(arguments: argparse.Namespace, out: Print) -> int:
    path = f"/api/alerts?state={arguments.state}&limit={arguments.limit}"
    answer = rest_client(arguments).call("GET", path)
    if arguments.json:
        out(json.dumps(answer, indent=2))
        return 0
    lines = _note_lines(answer)
    lines += _alert_lines([FiredAlert.from_dict(row) for row in answer["alerts"]])
    out("\n".join(lines))
    return 0


def _note_lines(answer: Mapping[str, Any]) -> list[str]:
    lines = []
    if answer.get("rules_error"):
        lines.append(
            f"The file of rules is invalid, the rules before it stay in force: "
            f"{visible_text(str(answer['rules_error']), 500)}"
        )
    if answer.get("muted_until"):
        lines.append(_muted_line(answer["muted_until"]))
    return lines


def _muted_line(until: str) -> str:
    if until.startswith("9999"):
        return "All alerts are muted; to end that: htmlgraph-nb alerts mute off"
    return f"All alerts are muted until {_local(datetime.fromisoformat(until))}."


def _local(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _alert_lines(alerts: Sequence[FiredAlert]) -> list[str]:
    if not alerts:
        return ["No alerts."]
    columns = [
        Column("ID"),
        Column("FIRED"),
        Column(""),
        Column("RULE"),
        Column("ALERT", shrinks=True),
    ]
    rows = []
    for alert in alerts:
        state = " (silenced)" if alert.silenced else ""
        if alert.resolved_at is not None:
            state = f" (ended {_local(alert.resolved_at)})"
        elif alert.acknowledged_at is not None:
            by = f" by {alert.acknowledged_by}" if alert.acknowledged_by else ""
            state = f" (acknowledged{by})"
        text = visible_text(alert.message + state, 300)
        mark = _MARKS.get(alert.severity, "!")
        rows.append(
            [alert.alert_id[:8], _local(alert.fired_at), mark, visible_text(alert.rule, 60), text]
        )
    return table_lines(columns, rows)


def _rules(arguments: argparse.Namespace, out: Print) -> int:
    answer = rest_client(arguments).call("GET", "/api/alerts/rules")
    if arguments.json:
        out(json.dumps(answer, indent=2))
        return 0
    lines = [f"File: {visible_text(answer['file'], 500)}"]
    if answer["error"]:
        lines.append(
            f"It is invalid, the rules before it stay in force: "
            f"{visible_text(answer['error'], 500)}"
        )
    columns = [
        Column("RULE"),
        Column("KIND"),
        Column("FOR"),
        Column("AT"),
        Column("ABOUT", shrinks=True),
        Column("CHANNELS"),
    ]
    rows = []
    for rule in answer["rules"]:
        about = ", ".join(
            f"{_SINGULAR[name]} {'|'.join(rule[name])}" for name in SCOPES if rule[name]
        )
        if rule["kind"] == "budget":
            about = f"{rule['unit']} by {rule['by']} {about}".strip()
        threshold = "" if rule["threshold"] is None else f"{rule['threshold']:g}"
        channels = ", ".join(rule["channels"]) or "all"
        rows.append(
            [
                visible_text(rule["name"], 60),
                rule["kind"],
                duration_of(rule["for_s"]),
                threshold,
                visible_text(about or "all", 200),
                channels if rule["enabled"] else "off",
            ]
        )
    lines += table_lines(columns, rows)
    for channel in answer["channels"]:
        lines.append(
            f"Channel {channel['name']}: {channel['type']}, from {channel['min_severity']}"
        )
    out("\n".join(lines))
    return 0


# The file


def _path(arguments: argparse.Namespace) -> str:
    """Return the file of ``--file``, of the running server, or of this user."""
    if arguments.file:
        return str(arguments.file)
    arguments.url = arguments.token = None
    try:
        return str(rest_client(arguments).call("GET", "/api/alerts/rules")["file"])
    except ServerNotFound:
        return alerts_file()


def _read(path: str) -> str:
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        return data.decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _write(path: str, text: str) -> None:
    # The content of a link is replaced, not the link.
    target = os.path.realpath(path)
    try:
        make_private_folder(os.path.dirname(target))
        write_private_text(target, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _add(arguments: argparse.Namespace, out: Print) -> int:
    given = vars(arguments)
    names = ("kind", "name", "threshold", *SCOPES, "by", "unit", "period", "severity", "channels")
    settings = {"kind": arguments.kind, "name": given["name"], "for": given["for_"]}
    settings |= {"cooldown": given["cooldown"]} | {name: given[name] for name in names}
    path = _path(arguments)
    known = {name: value for name, value in settings.items() if value is not None}
    try:
        text, rule = add_rule(_read(path), known, os.path.dirname(path))
    except ConfigError as error:
        raise ConfigError(f"{os.path.basename(path)}: {error}") from None
    _write(path, text)
    out(f"added the rule {rule.name}: {path}")
    return 0


def _remove(arguments: argparse.Namespace, out: Print) -> int:
    path = _path(arguments)
    _write(path, remove_rule(_read(path), arguments.name, os.path.dirname(path)))
    out(f"removed the rule {arguments.name}: {path}")
    return 0


# Actions on the server


def _test(arguments: argparse.Namespace, out: Print) -> int:
    answer = rest_client(arguments).call("POST", "/api/alerts/test", {"channel": arguments.channel})
    if answer["error"]:
        out(f"{arguments.channel}: not sent: {visible_text(answer['error'], 500)}")
        return 1
    out(f"{arguments.channel}: sent")
    return 0


def _mute(arguments: argparse.Namespace, out: Print) -> int:
    duration = arguments.duration
    seconds: float | None = None
    if duration != "on":
        try:
            seconds = 0.0 if duration == "off" else seconds_of(duration)
        except ValueError:
            raise ConfigError(
                f'duration: expected on, off or a time such as "1h", got {duration!r:.60}'
            ) from None
    answer = rest_client(arguments).call("POST", "/api/alerts/mute", {"seconds": seconds})
    until = answer["muted_until"]
    out("Alerts are not muted." if until is None else _muted_line(until))
    return 0


def _acknowledge(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    firing = [row["alert_id"] for row in rest.call("GET", "/api/alerts?limit=1000")["alerts"]]
    wanted: dict[str, None] = {}
    for text in arguments.alert:
        found = firing if text == "all" else [one for one in firing if one.startswith(text)]
        if text != "all" and len(found) != 1:
            what = "several alerts that fire" if found else "no alert that fires"
            raise ConfigError(f"alert: {text!r:.60} is {what}; see htmlgraph-nb alerts list")
        wanted.update(dict.fromkeys(found))
    for alert_id in wanted:
        rest.call("POST", f"/api/alerts/{alert_id}/acknowledge", {"by": arguments.by})
    out(f"acknowledged {plural(len(wanted), 'alert')}")
    return 0
