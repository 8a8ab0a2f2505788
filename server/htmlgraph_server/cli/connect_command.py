"""``htmlgraph-nb connect``: shows the change of an agent's settings, writes it, and checks it."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.errors import ConfigError, StoreError
from htmlgraph_nb.paths import DEFAULT_URL, current_db, running_server
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from ..access.local_token import is_local_token, local_token_file
from .connect.agent_connection import connection_of
from .connect.agent_hooks import (
    hook_command,
    hook_groups,
    settings_of,
    statusline_program,
    telemetry_variables,
)
from .connect.agent_list import listed_agents
from .connect.hook_program import plan_program, plan_program_removal
from .connect.settings_file import (
    BACKUP_SUFFIX,
    SettingsPlan,
    apply_plan,
    own_command_of,
    plan_connect,
    plan_disconnect,
    plan_statusline,
)
from .options import Print
from .text_table import Column, table_lines, terminal_width

_TELEMETRY = "otel"
"""The argument that prints variables for OpenTelemetry instead of editing settings."""
_LIST_COLUMNS = (
    *(Column("AGENT"), Column("NAME"), Column("PROGRAM"), Column("SESSIONS", shrinks=True)),
    Column("HOOKS", shrinks=True),
)


def configure_connect(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``connect``."""
    parser.description = (
        "Adds htmlgraph-hook to an agent's own settings and changes nothing else in them. Without "
        "an agent it lists all of them and what is installed. otel "
        "prints environment variables that send OpenTelemetry to the server."
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
    parser.add_argument(
        "--statusline",
        action="store_true",
        help="report what Claude Code's status line knows (context, usage limits, pull request); "
        "your own status line stays as it is",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the change without writing it")
    parser.add_argument("--undo", action="store_true", help="remove what connect added")
    parser.add_argument(
        "--check", action="store_true", help="show which agents are connected and last reported"
    )
    parser.add_argument("--json", action="store_true", help="print the result of --check as JSON")
    parser.set_defaults(run=lambda arguments: _connect(arguments, os.environ, out))


def _connect(arguments: argparse.Namespace, environ: Mapping[str, str], out: Print) -> int:
    if arguments.check:
        return _check(environ, arguments.project, out, arguments.json)
    if arguments.json:
        raise ConfigError("--json: expected with --check only")
    if arguments.agent is None and arguments.statusline:
        arguments.agent = next(
            name
            for name, agent in AGENTS.items()
            if (settings := agent.hook_settings()) is not None and settings.has_statusline
        )
    if arguments.agent is None:
        if arguments.undo or arguments.dry_run or arguments.http:
            choices = "|".join([*AGENTS, _TELEMETRY])
            raise ConfigError(f"agent: expected one of {choices}, got none")
        rows = listed_agents(environ, arguments.project or ".")
        for line in table_lines(_LIST_COLUMNS, rows, terminal_width()):
            out(line)
        return 0
    server = running_server()
    url = arguments.url or server.get("url") or DEFAULT_URL
    if arguments.agent == _TELEMETRY:
        if is_local_token(server.get("token", "")):
            out(f'export HTMLGRAPH_TOKEN="$(cat {shlex.quote(local_token_file())})"')
        for name, value in telemetry_variables(url, bool(server.get("token"))).items():
            out(f'export {name}="{value}"')
        return 0
    agent = AGENTS[arguments.agent]
    settings = settings_of(agent)
    if arguments.statusline and not settings.has_statusline:
        raise ConfigError(f"{agent.label} has no status line; omit --statusline")
    http_url = url if arguments.http else None
    command = "" if arguments.undo else hook_command(agent)
    if not arguments.undo:
        # Wrong options are reported before the first file is written.
        hook_groups(agent, command, http_url)
    paths = agent.settings_paths(environ, arguments.project)
    if not paths:
        raise ConfigError(f"{agent.label} can only be connected for the user; omit --project")
    plans = []
    for path in paths:
        program = settings.of_path(path).program
        if program is not None:
            plan = (
                plan_program_removal(path)
                if arguments.undo
                else plan_program(path, program(command))
            )
        elif arguments.undo:
            plan = plan_disconnect(
                path, hooks=not arguments.statusline, statusline=arguments.statusline
            )
        elif arguments.statusline:
            is_user = arguments.project is None
            inherited = "" if is_user else own_command_of(agent.settings_paths(environ, None)[0])
            plan = plan_statusline(path, statusline_program(), inherited)
        else:
            plan = plan_connect(path, hook_groups(agent, command, http_url, path))
        plans.append(plan)
    # A file that cannot be read is reported before the first one is written.
    for plan in plans:
        _carry_out(plan, agent, arguments, out)
    return 0


def _carry_out(
    plan: SettingsPlan, agent: CodingAgent, arguments: argparse.Namespace, out: Print
) -> None:
    """Print a change and, unless only that is asked for, write it."""
    what = f"{agent.label}'s status line" if arguments.statusline else agent.label
    for line in diff_lines(plan):
        out(line)
    if not plan.is_change:
        state = "is not connected" if arguments.undo else "is already connected"
        out(f"{what} {state}: {plan.path}")
    elif arguments.dry_run:
        out(f"nothing written; {agent.label} reads {plan.path}")
    else:
        apply_plan(plan)
        note = "" if arguments.statusline else settings_of(agent).note
        out(_done_text(what, note, plan, arguments.undo))


def _done_text(what: str, note: str, plan: SettingsPlan, undone: bool) -> str:
    if undone:
        return f"{what} is disconnected: {plan.path}"
    backup = f" (backup: {plan.path}{BACKUP_SUFFIX})" if plan.backup else ""
    note = f"\n{note}" if note else ""
    return (
        f"{what} is connected: {plan.path}{backup}{note}\nSessions that start from now on report."
    )


def diff_lines(plan: SettingsPlan) -> list[str]:
    """Return the change as the lines of a unified diff."""
    before, after = ((text or "").splitlines() for text in (plan.before, plan.after))
    return list(difflib.unified_diff(before, after, plan.path, plan.path, lineterm="", n=2))


def _check(environ: Mapping[str, str], project: str | None, out: Print, as_json: bool) -> int:
    """Print for each agent where it is connected and when it last reported.

    Returns:
        1 if a command in the settings does not run, else 0.
    """
    reports = last_reports()
    rows = [
        _connection_row(agent, environ, project or ".", reports.get(agent.hook_source))
        for agent in AGENTS.values()
    ]
    problems = [problem for row in rows for problem in row["problems"]]
    if as_json:
        out(json.dumps(rows, indent=2))
        return 1 if problems else 0
    for row in rows:
        how = (
            "not connected; type htmlgraph-nb connect " + row["agent"]
            if AGENTS[row["agent"]].has_hooks
            else "has no hooks"
        )
        where = ", ".join(row["hooks"]) or how
        last = row["last_report"]
        when = "never reported"
        if last is not None:
            when = f"last reported {datetime.fromisoformat(last).astimezone():%Y-%m-%d %H:%M:%S %Z}"
        out(f"{row['label']:<12} {when:<38} {where}")
        if row["statusline"]:
            out(f"{'':<12} {'status line':<38} {', '.join(row['statusline'])}")
    for problem in problems:
        out(problem)
    return 1 if problems else 0


def _connection_row(
    agent: CodingAgent, environ: Mapping[str, str], project: str, last: datetime | None
) -> dict[str, Any]:
    """Return how an agent is connected, as a JSON object."""
    connection = connection_of(agent, environ, project)
    return {
        "agent": agent.name,
        "label": agent.label,
        "hooks": connection.hooks,
        "statusline": connection.statusline,
        "last_report": None if last is None else last.isoformat(),
        "problems": [f"{each.text}; type {each.remedy}" for each in connection.problems],
    }


def last_reports() -> dict[str, datetime]:
    """Return the local time of the newest stored event by source."""
    path = current_db()
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
