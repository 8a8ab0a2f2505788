"""How ``htmlgraph-nb connect`` registers hooks in a coding agent's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HOOK_TIMEOUT_S = 5

HandlerEntry = dict[str, Any]
"""JSON object that names the command of a hook."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """The settings file of one kind of coding agent.

    Attributes:
        home_variable: environment variable that names its folder.
        folder: its folder below the user's home, and below a project.
        file: name of the file that holds the hooks.
        events: hook → whether the agent must wait until the hook has ended.
        handler: returns the entry of a hook from the command, the hook and whether the agent waits.
        has_http_hooks: whether the agent can POST hooks by itself.
        has_statusline: whether a command can report the status line.
        note: instructions to the user after connecting; "": none.
        home_is_parent: whether the variable names the folder that contains ``folder``.
    """

    home_variable: str
    folder: str
    file: str
    events: Mapping[str, bool]
    handler: Callable[[str, str, bool], HandlerEntry]
    has_http_hooks: bool = False
    has_statusline: bool = False
    note: str = ""
    home_is_parent: bool = False

    def paths(self, environ: Mapping[str, str], project: str | None) -> list[str]:
        """Return the paths of the settings file: of the user one in each of the agent's folders.

        Args:
            project: the project folder; None: the settings of the user.
        """
        if project is not None:
            return [os.path.join(os.path.abspath(project), self.folder, self.file)]
        return [os.path.join(home, self.file) for home in self.homes(environ)]

    def homes(self, environ: Mapping[str, str]) -> list[str]:
        """Return the agent's folders of the user, which may not exist.

        The variable can list several, separated by commas. A folder whose name contains a comma
        can be named alone.
        """
        value = os.path.expanduser(environ.get(self.home_variable, ""))
        parts = [value] if os.path.isdir(value) else value.split(",")
        homes = [os.path.expanduser(part.strip()) for part in parts if part.strip()]
        below = self.folder if self.home_is_parent else ""
        homes = [os.path.join(home, below) if below else home for home in homes]
        return homes or [os.path.join(os.path.expanduser("~"), self.folder)]


def command_handler(command: str, waits: bool, timeout_s: int = HOOK_TIMEOUT_S) -> HandlerEntry:
    """Return the common form of an entry: a command that runs in the background unless waited for.

    Args:
        timeout_s: seconds after which the agent stops the command.
    """
    handler: HandlerEntry = {"type": "command", "command": command, "timeout": timeout_s}
    return handler if waits else {**handler, "async": True}
