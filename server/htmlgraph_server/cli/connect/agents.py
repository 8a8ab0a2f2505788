"""Which agent reads its hooks from which file, and what we put there.

Sources of the formats: https://code.claude.com/docs/en/hooks,
https://developers.openai.com/codex/hooks and https://geminicli.com/docs/hooks/reference.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htmlgraph_nb.errors import ConfigError

from .hook_entries import Group

_TIMEOUT_S = 5
_CAPPED_S = 3
"""Codex gives these hooks no longer, and warns at each start where more is asked for."""
_CAPPED = frozenset({"Interrupt", "SessionEnd"})
_TOKEN = "HTMLGRAPH_TOKEN"


@dataclass(frozen=True, slots=True)
class Agent:
    """One kind of coding agent.

    Attributes:
        name: as in ``htmlgraph-nb connect NAME``; its route is ``/api/hooks/NAME``.
        title: as people call it.
        home_variable: environment variable that names its folder; "" where there is none.
        folder: its folder below the user's home, and below a project.
        file: the file with its hooks.
        events: hook event → whether the agent must wait for the hook.
        source: the ``source`` of its events in the history.
        note: what else its user must do; "".
    """

    name: str
    title: str
    home_variable: str
    folder: str
    file: str
    events: Mapping[str, bool]
    source: str
    note: str = ""

    def path(self, environ: Mapping[str, str], project: str | None) -> str:
        """Return the settings file of the user, or of the project in this folder."""
        if project is not None:
            return os.path.join(os.path.abspath(project), self.folder, self.file)
        home = environ.get(self.home_variable, "") if self.home_variable else ""
        base = home or os.path.join(os.path.expanduser("~"), self.folder)
        return os.path.join(base, self.file)


# The process may end right after the last ones, and with it a hook that it does not wait for.
_CLAUDE = {
    **dict.fromkeys(
        "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure "
        "PermissionRequest PermissionDenied Notification Elicitation ElicitationResult "
        "SubagentStart SubagentStop PreCompact PostCompact PostModelSwitch".split(),
        False,
    ),
    **dict.fromkeys(("Stop", "StopFailure", "SessionEnd"), True),
}
_CODEX = {
    **dict.fromkeys(
        "SessionStart UserPromptSubmit PreToolUse PermissionRequest PostToolUse PreCompact "
        "PostCompact SubagentStart SubagentStop".split(),
        False,
    ),
    **dict.fromkeys(("Stop", "Interrupt", "SessionEnd"), True),
}
# Not BeforeModel, AfterModel and PreCompress: they come for each request or piece of an answer.
_GEMINI = dict.fromkeys(
    "SessionStart SessionEnd BeforeAgent AfterAgent BeforeTool AfterTool Notification".split(),
    True,
)

AGENTS = {
    agent.name: agent
    for agent in (
        Agent(
            *("claude", "Claude Code", "CLAUDE_CONFIG_DIR", ".claude", "settings.json", _CLAUDE),
            "claude-hook",
        ),
        Agent(
            *("codex", "Codex", "CODEX_HOME", ".codex", "hooks.json", _CODEX),
            "codex-hook",
            "Codex runs new hooks once you trust them: type /hooks in Codex.",
        ),
        Agent(
            *("gemini", "Gemini CLI", "", ".gemini", "settings.json", _GEMINI),
            "gemini-hook",
        ),
    )
}


def hook_command(agent: Agent) -> str:
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
    return quoted if agent.name == "claude" else f"{quoted} {agent.name}"


def groups_of(agent: Agent, command: str, url: str | None) -> dict[str, Group]:
    """Return our groups for all events of the agent.

    Args:
        url: the server, for hooks that the agent POSTs itself; None: the command does.

    Raises:
        ConfigError: a URL is given and this agent has no such hooks.
    """
    if url is not None and agent.name != "claude":
        raise ConfigError(f"{agent.title} has no http hooks; leave --http away")
    found: dict[str, Group] = {}
    for event, waited_for in agent.events.items():
        # An http hook is not offered where a session begins.
        if url is not None and event != "SessionStart":
            handler = _http(url)
        else:
            handler = _command(agent, command, event, waited_for)
        found[event] = {"hooks": [handler]}
    return found


def _http(url: str) -> dict[str, Any]:
    return {
        "type": "http",
        "url": f"{url.rstrip('/')}/api/hooks/claude",
        "timeout": _TIMEOUT_S,
        "headers": {"Authorization": f"Bearer ${_TOKEN}"},
        "allowedEnvVars": [_TOKEN],
    }


def _command(agent: Agent, command: str, event: str, waited_for: bool) -> dict[str, Any]:
    handler: dict[str, Any] = {"type": "command", "command": command}
    if agent.name == "gemini":
        return {"name": "htmlgraph", **handler, "timeout": _TIMEOUT_S * 1_000}
    capped = agent.name == "codex" and event in _CAPPED
    handler["timeout"] = _CAPPED_S if capped else _TIMEOUT_S
    return handler if waited_for else {**handler, "async": True}


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
