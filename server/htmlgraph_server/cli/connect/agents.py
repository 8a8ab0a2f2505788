"""The entries that ``htmlgraph-nb connect`` adds to a coding agent's settings."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import Any

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.hook_settings import TIMEOUT_S
from htmlgraph_nb.coding_agents.registry import DEFAULT_AGENT
from htmlgraph_nb.errors import ConfigError

from .hook_entries import Group

_TOKEN = "HTMLGRAPH_TOKEN"


def hook_command(agent: CodingAgent) -> str:
    """Return the shell command of the hook, with its full path.

    Raises:
        ConfigError: it is not installed beside this program nor on the PATH.
    """
    beside = os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable)
    found = shutil.which("htmlgraph-hook", path=os.pathsep.join(beside)) or shutil.which(
        "htmlgraph-hook"
    )
    if found is None:
        raise ConfigError(
            "htmlgraph-hook is not beside htmlgraph-nb and not on the PATH; install the package "
            "again: pip install --force-reinstall htmlgraph-nb"
        )
    quoted = f'"{found}"' if os.name == "nt" else shlex.quote(found)
    return quoted if agent is DEFAULT_AGENT else f"{quoted} {agent.name}"


def groups_of(agent: CodingAgent, command: str, url: str | None) -> dict[str, Group]:
    """Return our groups for all events of the agent.

    Args:
        url: the server, for hooks that the agent POSTs itself; None: the command does.

    Raises:
        ConfigError: a URL is given and this agent has no such hooks.
    """
    settings = agent.hook_settings()
    if url is not None and not settings.has_http_hooks:
        raise ConfigError(f"{agent.label} has no http hooks; leave --http away")
    found: dict[str, Group] = {}
    for event, waited_for in settings.events.items():
        # An http hook is not offered where a session begins.
        if url is not None and event != "SessionStart":
            handler = _http(agent, url)
        else:
            handler = settings.handler(command, event, waited_for)
        found[event] = {"hooks": [handler]}
    return found


def _http(agent: CodingAgent, url: str) -> dict[str, Any]:
    return {
        "type": "http",
        "url": f"{url.rstrip('/')}/api/hooks/{agent.name}",
        "timeout": TIMEOUT_S,
        "headers": {"Authorization": f"Bearer ${_TOKEN}"},
        "allowedEnvVars": [_TOKEN],
    }


def telemetry_variables(url: str, needs_token: bool) -> dict[str, str]:
    """Return the environment variables that send an agent's own telemetry to a server.

    The last two are OpenTelemetry's, for any program; the others switch Claude Code's on.
    """
    found = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
    }
    if needs_token:
        found["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization=Bearer ${_TOKEN}"
    return {
        **found,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url.rstrip("/"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
