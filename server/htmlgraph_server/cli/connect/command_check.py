"""Checks that the commands in an agent's settings still run, as after an environment has moved."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from .settings_file import OwnEntries

_TIMEOUT_S = 20.0
"""Seconds that a cold start on a slow disk may take."""


def own_programs(entries: OwnEntries) -> list[str]:
    """Return the programs that the entries in the settings run, each once, without arguments."""
    commands = [
        handler["command"]
        for group in entries.groups.values()
        for handler in group["hooks"]
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


def problem_of(program: str) -> str:
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
