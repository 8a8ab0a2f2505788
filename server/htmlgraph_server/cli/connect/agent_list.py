"""All coding agents, and what of them is on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.ingest.files.session_roots import own_folders

from ..text_table import Column, table_lines
from .agent_connection import connection_of

_COLUMNS = (
    *(Column("AGENT"), Column("NAME"), Column("PROGRAM"), Column("SESSIONS", shrinks=True)),
    Column("HOOKS", shrinks=True),
)


def agent_lines(environ: Mapping[str, str], project: str, width: int | None) -> list[str]:
    """Return a table of all agents: program, folders of sessions and hooks.

    Args:
        project: the project folder.
        width: most cells of a line; None: no limit.

    Raises:
        InvalidEvent: HTMLGRAPH_SESSION_FOLDER has another form.
    """
    rows = []
    for name, agent in AGENTS.items():
        label = agent.label if AGENTS.is_built_in(name) else f"{agent.label} (plugin)"
        sessions = ", ".join(map(_short, own_folders(name))) or "none"
        rows.append(
            (label, name, installed_program(agent), sessions, _hooks(agent, environ, project))
        )
    return table_lines(_COLUMNS, rows, width)


def installed_program(agent: CodingAgent) -> str:
    """Return the name of the installed program of an agent; "not found" if there is none."""
    return next((name for name in agent.commands if shutil.which(name)), "not found")


def _hooks(agent: CodingAgent, environ: Mapping[str, str], project: str) -> str:
    if agent.hook_settings() is None:
        return "has none"
    try:
        hooks = connection_of(agent, environ, project).hooks
    except ConfigError as error:
        return str(error)
    return ", ".join(map(_short, hooks)) or f"htmlgraph-nb connect {agent.name}"


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(home + os.sep) else path
