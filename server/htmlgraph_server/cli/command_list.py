"""All commands of ``htmlgraph-nb``, by purpose. Their modules are loaded when they are needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: what the user types.
        group: heading in the help; "": not listed.
        help: what it does, in one phrase.
        module: the module below ``htmlgraph_server.cli``.
        function: its function that adds the arguments to a parser and sets ``run``.
    """

    name: str
    group: str
    help: str
    module: str
    function: str


_AGENTS = "See what agents do"
_HISTORY = "Costs and history"
_SERVER = "Run the server"
_CONNECT = "Connect coding agents"
_OTHER = "Check and clean up"

COMMANDS: tuple[Command, ...] = (
    Command(
        "top", _AGENTS, "show agents live in the terminal", "live.top_command", "configure_top"
    ),
    Command("ls", _AGENTS, "list the agents", "live.ls_command", "configure_ls"),
    Command(
        "tail", _AGENTS, "print events as they are reported", "live.tail_command", "configure_tail"
    ),
    Command(
        "explain",
        _AGENTS,
        "show the evidence and the rule behind an agent's status",
        "live.explain_command",
        "configure_explain",
    ),
    Command("why", "", "the former name of explain", "live.explain_command", "configure_explain"),
    Command(
        "alerts",
        _AGENTS,
        "list, acknowledge and mute alerts; change their rules",
        "alerts.alerts_command",
        "configure_alerts",
    ),
    Command("open", _AGENTS, "open the page in a browser", "live.open_command", "configure_open"),
    Command(
        "costs",
        _HISTORY,
        "show tokens and dollars by day, project, model, …",
        "costs.costs_command",
        "configure_costs",
    ),
    Command(
        "import",
        _HISTORY,
        "import past sessions of coding agents",
        "import_command",
        "configure_import",
    ),
    Command("export", _HISTORY, "write history to files", "history_commands", "configure_export"),
    Command(
        "seal",
        _HISTORY,
        "update the columnar copy of history",
        "history_commands",
        "configure_seal",
    ),
    Command("serve", _SERVER, "run the server", "serve.serve_command", "configure_serve"),
    Command(
        "demo",
        _SERVER,
        "run the server with simulated agents",
        "serve.serve_command",
        "configure_demo",
    ),
    Command(
        "status",
        _SERVER,
        "show the state of the running server",
        "status_command",
        "configure_status",
    ),
    Command(
        "token",
        _SERVER,
        "create, list and revoke tokens of the server",
        "access.token_command",
        "configure_token",
    ),
    Command(
        "space",
        _SERVER,
        "list the spaces of the server",
        "access.space_command",
        "configure_space",
    ),
    Command(
        "connect",
        _CONNECT,
        "add reporting hooks to the settings of a coding agent",
        "connect_command",
        "configure_connect",
    ),
    Command(
        "statusline",
        _CONNECT,
        "print a status line for Claude Code's JSON on stdin",
        "statusline_command",
        "configure_statusline",
    ),
    Command(
        "uninstall",
        _CONNECT,
        "remove hooks and status line from the settings of all agents",
        "uninstall_command",
        "configure_uninstall",
    ),
    Command(
        "doctor",
        _OTHER,
        "check the installation, and say what is not seen",
        "doctor.doctor_command",
        "configure_doctor",
    ),
    Command(
        "backup",
        _OTHER,
        "copy the database to a file, also while a server runs",
        "data.backup_commands",
        "configure_backup",
    ),
    Command(
        "restore",
        _OTHER,
        "replace the database by a backup",
        "data.backup_commands",
        "configure_restore",
    ),
    Command(
        "forget",
        _OTHER,
        "remove an agent, or delete what is stored of agents, sessions or projects",
        "data.forget_command",
        "configure_forget",
    ),
    Command("reset", _OTHER, "delete all stored data", "data.reset_command", "configure_reset"),
    Command(
        "completion",
        _OTHER,
        "print the completion script of a shell",
        "completion_command",
        "configure_completion",
    ),
)
