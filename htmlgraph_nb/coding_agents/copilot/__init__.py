"""GitHub Copilot CLI: hooks, session files, settings, telemetry."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot

_SESSION_PATH = re.compile(r"[/\\]session-state[/\\]([^/\\]+)[/\\]events\.jsonl$")


class CopilotCli(CodingAgent):
    """GitHub Copilot CLI."""

    name = "copilot"
    label = "Copilot CLI"
    aliases = ("copilot-cli",)
    folder = ".copilot"
    home_variable = "COPILOT_HOME"
    has_hooks = True
    has_telemetry = True
    project_variable = "COPILOT_PROJECT_DIR"
    shares_call_ids = False
    session_pattern = r"session-state/[^/]+/events\.jsonl"
    commands = ("copilot",)
    packages = ("@github/copilot",)

    def hook_session(self, payload: Mapping[str, Any]) -> str | None:
        """Return the main session of a subagent's hook, which names the subagent as its session."""
        parent = payload.get("parent_agent_id")
        if payload.get("agent_id") is None or not isinstance(parent, str):
            return None
        return session_of_path(payload.get("transcript_path")) or parent

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder with one folder for each session.

        Their own folders hold files of the user's project.
        """
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "session-state"), "")]

    def sidecars(self, path: str) -> tuple[str, ...]:
        """Return the path of the file with the name of the session."""
        from .session import WORKSPACE_FILE

        return (os.path.join(os.path.dirname(path), WORKSPACE_FILE),)

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the folder in the line ``session.start``."""
        from ..fields import mapping, string

        if record.get("type") != "session.start":
            return None, None
        data = mapping(record.get("data"))
        context = mapping(data.get("context"))
        return string(data.get("sessionId")), string(context.get("cwd"), None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of Copilot CLI's session files."""
        kind = record.get("type")
        is_line = isinstance(record.get("data"), dict) and "parentId" in record
        return is_line and isinstance(kind, str) and "." in kind

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader; the path of the file says nothing about the session."""
        from .session import CopilotSession

        return CopilotSession(hash_input)


def session_of_path(path: object) -> str | None:
    """Return the session whose file has a path; None: it is no such path."""
    match = _SESSION_PATH.search(path) if isinstance(path, str) else None
    return None if match is None else match[1]
