"""All coding agents, and what of them is on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.ingest.files.session_roots import own_folders

from .agent_connection import connection_of


def listed_agents(environ: Mapping[str, str], project: str) -> list[list[str]]:
    """Return label, name, program, folders of sessions and hooks of each agent.

    Args:
        project: the project folder.

    Raises:
        InvalidEvent: HTMLGRAPH_SESSION_FOLDER has another form.
    """
    rows = []
    for name, agent in AGENTS.items():
        label = agent.label if AGENTS.is_built_in(name) else f"{agent.label} (plugin)"
        sessions = ", ".join(map(_short, own_folders(name))) or "none"
        program, hooks = installed_program(agent), _hooks(agent, environ, project)
        rows.append([label, name, program, sessions, hooks])
    return rows


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
