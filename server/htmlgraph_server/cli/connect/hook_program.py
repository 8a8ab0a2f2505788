"""Hooks that are a file of their own, such as a plugin: plan to write it and to delete it."""

from __future__ import annotations

import re

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.errors import ConfigError

from .settings_file import SettingsPlan, plan_disconnect, read_settings

_MARK = "htmlgraph-hook"
"""Every program runs it, so a file without it is the user's own."""
_PROGRAM = re.compile(r"""[^\s"'`]*htmlgraph-hook(?:\.exe)?""")


def plan_program(path: str, text: str) -> SettingsPlan:
    """Return the plan after which the file has this text.

    Raises:
        ConfigError: the file cannot be read, or htmlgraph-nb did not write it.
    """
    before = read_settings(path)
    if before is not None and _MARK not in before:
        raise ConfigError(
            f"{path} exists, and htmlgraph-nb did not write it; rename it, then connect again"
        )
    return SettingsPlan(path, before, text)


def plan_program_removal(path: str) -> SettingsPlan:
    """Return the plan that deletes the file if htmlgraph-nb wrote it.

    Raises:
        ConfigError: the file cannot be read.
    """
    before = read_settings(path)
    is_own = before is not None and _MARK in before
    return SettingsPlan(path, before, None if is_own else before)


def plan_removal(agent: CodingAgent, path: str) -> SettingsPlan:
    """Return the plan that removes all that ``connect`` added to a file of an agent.

    Raises:
        ConfigError: the file cannot be read or is not JSON; the message names the line.
    """
    settings = agent.hook_settings()
    is_program = settings is not None and settings.of_path(path).program is not None
    return plan_program_removal(path) if is_program else plan_disconnect(path)


def program_command(path: str) -> str | None:
    """Return the path of the program that the file runs; None: htmlgraph-nb did not write it.

    Raises:
        ConfigError: the file cannot be read.
    """
    match = _PROGRAM.search(read_settings(path) or "")
    return None if match is None else match[0]
