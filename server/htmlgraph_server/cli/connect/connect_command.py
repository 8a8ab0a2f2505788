"""``htmlgraph-nb connect``: shows the difference, writes it, and tells who reports."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.errors import ConfigError, InvalidJson, StoreError
from htmlgraph_nb.paths import DEFAULT_URL, default_db, running_server
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from . import hook_entries, settings_file
from .agents import groups_of, hook_command, telemetry_variables
from .settings_file import Plan

Say = Callable[[str], None]
TELEMETRY = "otel"


def add_parser(commands: argparse._SubParsersAction[Any], say: Say) -> argparse.ArgumentParser:
    """Add the command to a parser and return it.

    Args:
        say: takes each line for the user.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "connect",
        help="let a coding agent report here, by hooks in its own settings",
        description="Adds htmlgraph-hook to an agent's own settings and keeps all else as it is. "
        "otel prints the variables that send OpenTelemetry here.",
    )
    parser.add_argument("agent", nargs="?", choices=[*AGENTS, TELEMETRY], help="which agent")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--user", action="store_true", help="in the user's settings (this is the default)"
    )
    where.add_argument(
        "--project",
        nargs="?",
        const=".",
        metavar="FOLDER",
        help="in the settings of the project in this folder",
    )
    parser.add_argument(
        "--http",
        action="store_true",
        help="let Claude Code POST by itself; it then shows errors while no server runs",
    )
    parser.add_argument("--url", help="the server of --http and otel (default: the running one)")
    parser.add_argument("--dry-run", action="store_true", help="show the difference, write nothing")
    parser.add_argument("--undo", action="store_true", help="take our entries out again")
    parser.add_argument("--check", action="store_true", help="which agents report, and since when")
    parser.set_defaults(run=lambda arguments: run(arguments, os.environ, say))
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str], say: Say) -> int:
    """Carry the command out and return the exit status.

    Raises:
        ConfigError: the arguments do not fit together, or a file cannot be read or written.
    """
    if arguments.check:
        for line in check_lines(environ, arguments.project):
            say(line)
        return 0
    if arguments.agent is None:
        raise ConfigError(f"name the agent: htmlgraph-nb connect {'|'.join([*AGENTS, TELEMETRY])}")
    running = running_server()
    url = arguments.url or running.get("url") or DEFAULT_URL
    if arguments.agent == TELEMETRY:
        for name, value in telemetry_variables(url, bool(running.get("token"))).items():
            say(f'export {name}="{value}"')
        return 0
    agent = AGENTS[arguments.agent]
    path = agent.hook_settings().path(environ, arguments.project)
    if arguments.undo:
        plan = settings_file.to_disconnect(path)
    else:
        groups = groups_of(agent, hook_command(agent), url if arguments.http else None)
        plan = settings_file.to_connect(path, groups)
    for line in _difference(plan):
        say(line)
    if not plan.changes:
        done = "is not connected" if arguments.undo else "is connected already"
        say(f"{agent.label} {done}: {path}")
        return 0
    if arguments.dry_run:
        say(f"nothing written; {agent.label} reads {path}")
        return 0
    settings_file.carry_out(plan)
    say(_told(agent, plan, arguments.undo))
    return 0


def _told(agent: CodingAgent, plan: Plan, undone: bool) -> str:
    if undone:
        return f"{agent.label} is disconnected: {plan.path}"
    kept = f" (before: {plan.path}{settings_file.BACKUP_SUFFIX})" if plan.backup else ""
    note = agent.hook_settings().note
    note = f"\n{note}" if note else ""
    return f"{agent.label} is connected: {plan.path}{kept}{note}\nNew sessions report."


def _difference(plan: Plan) -> list[str]:
    before, after = ((text or "").splitlines() for text in (plan.before, plan.after))
    return list(difflib.unified_diff(before, after, plan.path, plan.path, lineterm="", n=2))


def check_lines(environ: Mapping[str, str], project: str | None) -> list[str]:
    """Return a line for each kind of agent: where it is connected, and when it last reported."""
    last = _last_reports()
    lines = []
    for agent in AGENTS.values():
        places = [
            agent.hook_settings().path(environ, None),
            agent.hook_settings().path(environ, project or "."),
        ]
        found = [path for path in dict.fromkeys(places) if _is_connected(path)]
        where = ", ".join(found) or f"not connected; type: htmlgraph-nb connect {agent.name}"
        seen = last.get(agent.hook_source)
        when = "never reported" if seen is None else f"last reported {seen:%Y-%m-%d %H:%M:%S}"
        lines.append(f"{agent.label:<12} {when:<33} {where}")
    return lines


def _is_connected(path: str) -> bool:
    text = settings_file.read(path)
    try:
        return bool(text and text.strip() and hook_entries.connected(text))
    except InvalidJson:
        return False


def _last_reports() -> dict[str, datetime]:
    """Return the local time of the newest event of each source that is stored on this machine."""
    path = running_server().get("db") or default_db()
    if not os.path.exists(path):
        return {}
    try:
        with closing(open_reader(path)) as db, sqlite_errors(path):
            newest = {
                source: db.execute(
                    "SELECT ts FROM events WHERE source = (SELECT id FROM names WHERE name = ?) "
                    "ORDER BY id DESC LIMIT 1",
                    (source,),
                ).fetchone()
                for source in (agent.hook_source for agent in AGENTS.values())
            }
    except StoreError as error:
        raise ConfigError(f"cannot tell when agents last reported: {error}") from error
    found = {source: row for source, row in newest.items() if row is not None}
    return {source: from_micros(row[0]).astimezone() for source, row in found.items()}
