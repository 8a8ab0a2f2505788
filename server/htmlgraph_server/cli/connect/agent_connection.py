"""Where an agent is connected, and whether the commands in its settings still run.

After an environment has moved, they do not.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.errors import InvalidJson

from .hook_program import program_command
from .settings_file import OwnEntries, read_settings

_TIMEOUT_S = 20.0
"""Seconds that a cold start on a slow disk may take."""


@dataclass(frozen=True, slots=True)
class CommandProblem:
    """A command in an agent's settings that does not run.

    Attributes:
        text: the file, the program and the cause.
        remedy: what to type to write the command again.
    """

    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class AgentConnection:
    """Where an agent is connected.

    Attributes:
        hooks, statusline: paths of the settings with our hooks, and with our status line.
        problems: the commands in them that do not run.
    """

    hooks: list[str]
    statusline: list[str]
    problems: list[CommandProblem]


def settings_paths(agent: CodingAgent, environ: Mapping[str, str], project: str) -> list[str]:
    """Return the paths of an agent's settings: those of the user, then those of a project."""
    user, own = agent.settings_paths(environ, None), agent.settings_paths(environ, project)
    return list(dict.fromkeys([*user, *own]))


def connection_of(agent: CodingAgent, environ: Mapping[str, str], project: str) -> AgentConnection:
    """Return where an agent is connected, in the settings of the user and of a project.

    Raises:
        ConfigError: a settings file cannot be read.
    """
    paths = settings_paths(agent, environ, project)
    user_paths = agent.settings_paths(environ, None)
    settings = agent.hook_settings()
    programs = [
        path
        for path in paths
        if settings is not None and settings.of_path(path).program is not None
    ]
    whole = _program_connection(agent, programs, user_paths)
    entries = {path: _entries_of(path) for path in paths if path not in programs}
    hooks = [path for path, own in entries.items() if own.groups]
    lines = [path for path, own in entries.items() if own.statusline]
    problems = [
        CommandProblem(f"{path}: {problem}", _connect_again(agent, program, path in user_paths))
        for path in dict.fromkeys([*hooks, *lines])
        for program in _own_programs(entries[path])
        if (problem := _problem_of(program))
    ]
    return AgentConnection([*whole.hooks, *hooks], lines, [*whole.problems, *problems])


def _program_connection(
    agent: CodingAgent, paths: Sequence[str], user_paths: Sequence[str]
) -> AgentConnection:
    programs = {path: program_command(path) for path in paths}
    hooks = {path: program for path, program in programs.items() if program is not None}
    problems = [
        CommandProblem(f"{path}: {problem}", _connect_again(agent, program, path in user_paths))
        for path, program in hooks.items()
        if (problem := _problem_of(program))
    ]
    return AgentConnection(list(hooks), [], problems)


def _entries_of(path: str) -> OwnEntries:
    """Return what connect added to a settings file; nothing if the file is missing or broken."""
    try:
        return OwnEntries.of(read_settings(path) or "")
    except InvalidJson:
        return OwnEntries()


def _connect_again(agent: CodingAgent, program: str, is_user: bool) -> str:
    option = " --statusline" if "htmlgraph-statusline" in program else ""
    return f"htmlgraph-nb connect {agent.name}{option}{'' if is_user else ' --project'}"


def _own_programs(entries: OwnEntries) -> list[str]:
    """Return the programs that the entries in the settings run, each once, without arguments."""
    commands = [
        handler["command"]
        for group in entries.groups.values()
        for handler in group.get("hooks", [group])
        if isinstance(handler.get("command"), str) and "htmlgraph-hook" in handler["command"]
    ]
    if entries.statusline:
        commands.append(entries.statusline)
    return list(dict.fromkeys(map(_first_word, commands)))


def _first_word(command: str) -> str:
    if os.name == "nt":
        return command.split('"')[1] if command.startswith('"') else command.split()[0]
    try:
        return shlex.split(command)[0]
    except (ValueError, IndexError):
        return command


def _problem_of(program: str) -> str:
    """Return why a program does not run; "" if it does.

    It is started with ``--help``, which reports nothing.
    """
    path = shutil.which(os.path.expanduser(program))
    if path is None:
        exists = os.path.exists(os.path.expanduser(program))
        return f"{program} {'cannot be run' if exists else 'does not exist'}"
    try:
        done = subprocess.run(  # noqa: S603  a program of this package, by its name
            [path, "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not run: {error}"
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"{program} does not run: {lines[-1] if lines else f'status {done.returncode}'}"
    return ""
