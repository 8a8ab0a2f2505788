"""``htmlgraph-nb connect``: shows the change of an agent's settings, writes it, and checks it."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.errors import ConfigError, InvalidJson, StoreError
from htmlgraph_nb.paths import DEFAULT_URL, default_db, running_server
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from .connect.agent_hooks import hook_command, hook_groups, telemetry_variables
from .connect.hook_entries import htmlgraph_groups
from .connect.settings_file import (
    BACKUP_SUFFIX,
    SettingsPlan,
    apply_plan,
    plan_connect,
    plan_disconnect,
    read_settings,
)
from .options import Commands, Print

_TELEMETRY = "otel"
"""The argument that prints variables for OpenTelemetry instead of editing settings."""


def add_connect_parser(commands: Commands, out: Print) -> argparse.ArgumentParser:
    """Add the command to the parser and return its own."""
    parser = commands.add_parser(
        "connect",
        help="add reporting hooks to the settings of a coding agent",
        description="Adds htmlgraph-hook to an agent's own settings and changes nothing else in "
        "them. otel prints environment variables that send OpenTelemetry to the server.",
    )
    parser.add_argument("agent", nargs="?", choices=[*AGENTS, _TELEMETRY], help="agent to connect")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--user", action="store_true", help="edit the user's settings (default)")
    scope.add_argument(
        "--project",
        nargs="?",
        const=".",
        metavar="FOLDER",
        help="edit the settings of the project in this folder (default: the current folder)",
    )
    parser.add_argument(
        "--http",
        action="store_true",
        help="let Claude Code send HTTP requests itself; it shows errors while no server runs",
    )
    parser.add_argument(
        "--url", help="server address for --http and otel (default: the running server)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the change without writing it")
    parser.add_argument("--undo", action="store_true", help="remove our hooks from the settings")
    parser.add_argument(
        "--check", action="store_true", help="show which agents are connected and last reported"
    )
    parser.set_defaults(run=lambda arguments: _connect(arguments, os.environ, out))
    return parser


def _connect(arguments: argparse.Namespace, environ: Mapping[str, str], out: Print) -> int:
    if arguments.check:
        for line in _check_lines(environ, arguments.project):
            out(line)
        return 0
    if arguments.agent is None:
        choices = "|".join([*AGENTS, _TELEMETRY])
        raise ConfigError(f"agent: expected a name, got none; type htmlgraph-nb connect {choices}")
    server = running_server()
    url = arguments.url or server.get("url") or DEFAULT_URL
    if arguments.agent == _TELEMETRY:
        for name, value in telemetry_variables(url, bool(server.get("token"))).items():
            out(f'export {name}="{value}"')
        return 0
    agent = AGENTS[arguments.agent]
    path = agent.hook_settings().path(environ, arguments.project)
    if arguments.undo:
        plan = plan_disconnect(path)
    else:
        plan = plan_connect(
            path, hook_groups(agent, hook_command(agent), url if arguments.http else None)
        )
    for line in _diff_lines(plan):
        out(line)
    if not plan.is_change:
        state = "is not connected" if arguments.undo else "is already connected"
        out(f"{agent.label} {state}: {path}")
    elif arguments.dry_run:
        out(f"nothing written; {agent.label} reads {path}")
    else:
        apply_plan(plan)
        out(_done_text(agent, plan, arguments.undo))
    return 0


def _done_text(agent: CodingAgent, plan: SettingsPlan, undone: bool) -> str:
    if undone:
        return f"{agent.label} is disconnected: {plan.path}"
    backup = f" (backup: {plan.path}{BACKUP_SUFFIX})" if plan.backup else ""
    note = agent.hook_settings().note
    note = f"\n{note}" if note else ""
    return (
        f"{agent.label} is connected: {plan.path}{backup}{note}\n"
        "Sessions that start from now on report."
    )


def _diff_lines(plan: SettingsPlan) -> list[str]:
    before, after = ((text or "").splitlines() for text in (plan.before, plan.after))
    return list(difflib.unified_diff(before, after, plan.path, plan.path, lineterm="", n=2))


def _check_lines(environ: Mapping[str, str], project: str | None) -> list[str]:
    """Return a line for each agent: where it is connected, and when it last reported."""
    last_reports = _last_reports()
    lines = []
    for agent in AGENTS.values():
        settings = agent.hook_settings()
        paths = [settings.path(environ, None), settings.path(environ, project or ".")]
        connected = [path for path in dict.fromkeys(paths) if _is_connected(path)]
        state = ", ".join(connected) or f"not connected; type htmlgraph-nb connect {agent.name}"
        last = last_reports.get(agent.hook_source)
        when = "never reported" if last is None else f"last reported {last:%Y-%m-%d %H:%M:%S}"
        lines.append(f"{agent.label:<12} {when:<33} {state}")
    return lines


def _is_connected(path: str) -> bool:
    text = read_settings(path)
    try:
        return bool(text and text.strip() and htmlgraph_groups(text))
    except InvalidJson:
        return False


def _last_reports() -> dict[str, datetime]:
    """Return the local time of the newest stored event by source."""
    path = running_server().get("db") or default_db()
    if not os.path.exists(path):
        return {}
    try:
        with closing(open_reader(path)) as db, sqlite_errors(path):
            rows = {
                source: db.execute(
                    "SELECT ts FROM events WHERE source = (SELECT id FROM names WHERE name = ?) "
                    "ORDER BY id DESC LIMIT 1",
                    (source,),
                ).fetchone()
                for source in (agent.hook_source for agent in AGENTS.values())
            }
    except StoreError as error:
        raise ConfigError(f"cannot read when agents last reported: {error}") from error
    return {
        source: from_micros(row[0]).astimezone() for source, row in rows.items() if row is not None
    }
