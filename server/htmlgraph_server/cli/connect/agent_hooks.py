"""The entries that ``htmlgraph-nb connect`` adds to a coding agent's settings."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import Any

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.hook_settings import HOOK_TIMEOUT_S, HookSettings
from htmlgraph_nb.coding_agents.registry import DEFAULT_AGENT
from htmlgraph_nb.errors import ConfigError

from .hook_entries import HookGroup

_TOKEN_VARIABLE = "HTMLGRAPH_TOKEN"


def settings_of(agent: CodingAgent) -> HookSettings:
    """Return how the hooks of an agent are registered.

    Raises:
        ConfigError: it cannot be connected.
    """
    settings = agent.hook_settings()
    if settings is None:
        raise ConfigError(
            f"{agent.label} has no hooks that htmlgraph-nb can add; htmlgraph-nb serve reads what "
            "it stores without being connected"
        )
    return settings


def hook_command(agent: CodingAgent) -> str:
    """Return the shell command of the hook with its full path.

    Raises:
        ConfigError: htmlgraph-hook is neither beside this program nor on the PATH.
    """
    quoted = _quoted_program("htmlgraph-hook")
    return quoted if agent.name == DEFAULT_AGENT else f"{quoted} {agent.name}"


def statusline_program() -> str:
    """Return the shell command of the status line with its full path.

    Raises:
        ConfigError: htmlgraph-statusline is neither beside this program nor on the PATH.
    """
    return _quoted_program("htmlgraph-statusline")


def _quoted_program(name: str) -> str:
    folders = os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable)
    path = shutil.which(name, path=os.pathsep.join(folders)) or shutil.which(name)
    if path is None:
        raise ConfigError(
            f"{name} is neither beside htmlgraph-nb nor on the PATH; reinstall the package: "
            "pip install --force-reinstall htmlgraph-nb"
        )
    return f'"{path}"' if os.name == "nt" else shlex.quote(path)


def hook_groups(
    agent: CodingAgent, command: str, url: str | None, path: str = ""
) -> dict[str, HookGroup]:
    """Return the hook groups of htmlgraph-nb for all events of the agent.

    Args:
        agent: the agent.
        command: the shell command of the hook.
        url: the server to which the agent POSTs by itself; None: it runs the command.
        path: the settings file; agents can have several kinds.

    Raises:
        ConfigError: a URL is given and this agent has no HTTP hooks.
    """
    settings = settings_of(agent).of_path(path)
    if url is not None and not settings.has_http_hooks:
        raise ConfigError(f"{agent.label} has no HTTP hooks; omit --http")
    groups: dict[str, HookGroup] = {}
    for event, is_awaited in settings.events.items():
        # Agents do not support HTTP hooks for SessionStart.
        if url is not None and event != "SessionStart":
            handler = _http_handler(agent, url)
        else:
            handler = settings.handler(command, event, is_awaited)
        groups[event] = handler if settings.is_flat else {"hooks": [handler]}
    return groups


def _http_handler(agent: CodingAgent, url: str) -> dict[str, Any]:
    return {
        "type": "http",
        "url": f"{url.rstrip('/')}/api/hooks/{agent.name}",
        "timeout": HOOK_TIMEOUT_S,
        "headers": {"Authorization": f"Bearer ${_TOKEN_VARIABLE}"},
        "allowedEnvVars": [_TOKEN_VARIABLE],
    }


def telemetry_variables(url: str, needs_token: bool) -> dict[str, str]:
    """Return the environment variables that send an agent's own telemetry to a server.

    The OTEL_EXPORTER variables are OpenTelemetry's and work for any program. The others enable the
    telemetry of Claude Code.
    """
    variables = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
    }
    if needs_token:
        variables["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization=Bearer ${_TOKEN_VARIABLE}"
    return {
        **variables,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url.rstrip("/"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
