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
    """The file that registers the hooks of one kind of coding agent.

    It is either the agent's JSON settings, in which ``connect`` adds an entry for each hook, or,
    with ``program``, a file of its own that ``connect`` writes as a whole and ``--undo`` deletes,
    such as a plugin.

    Attributes:
        file: name of the file, or its path below the agent's folder.
        events: hook → whether the agent must wait until the hook has ended.
        handler: returns the entry of a hook from the command, the hook and whether the agent waits.
        has_http_hooks: whether the agent can POST hooks by itself.
        has_statusline: whether a command can report the status line.
        note: instructions to the user after connecting; "": none.
        home_variable, folder: where the file is, if not in the folder of the agent: as the
            attributes of CodingAgent of the same names; "": as there.
        project_folder: the folder below a project that contains ``file``; None: ``folder``; "": it
            cannot be connected for one project.
        program: returns the text of the whole file from the shell command of the hook.
        is_flat: whether the list of a hook has its entries themselves, without groups.
        existing: further files in which an agent looks for hooks; its ``file`` is a pattern. They
            are changed, but never created.
    """

    file: str
    events: Mapping[str, bool]
    handler: Callable[[str, str, bool], HandlerEntry] = lambda command, hook, waits: (
        command_handler(command, waits)
    )
    has_http_hooks: bool = False
    has_statusline: bool = False
    note: str = ""
    home_variable: str = ""
    folder: str = ""
    project_folder: str | None = None
    program: Callable[[str], str] | None = None
    is_flat: bool = False
    existing: HookSettings | None = None

    def of_path(self, path: str) -> HookSettings:
        """Return the settings that describe the file at ``path``: these or ``existing``."""
        is_own = self.existing is None or path.endswith(os.path.join(os.sep, self.file))
        return self if is_own or self.existing is None else self.existing


def command_handler(command: str, waits: bool, timeout_s: int = HOOK_TIMEOUT_S) -> HandlerEntry:
    """Return the common form of an entry: a command that runs in the background unless waited for.

    Args:
        timeout_s: seconds after which the agent stops the command.
    """
    handler: HandlerEntry = {"type": "command", "command": command, "timeout": timeout_s}
    return handler if waits else {**handler, "async": True}
