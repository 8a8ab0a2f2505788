"""Gemini CLI: hooks, session files, telemetry, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot

_HASH_CHARS = 64
_NAMED_CHARS = 8
"""Number of characters of the session id in the name of a session file."""
_MAX_HEAD_BYTES = 8_192


class GeminiCli(CodingAgent):
    """Gemini CLI."""

    name = "gemini"
    label = "Gemini CLI"
    aliases = ("gemini-cli",)
    folder = ".gemini"
    home_variable = "GEMINI_CLI_HOME"
    home_is_parent = True
    has_hooks = True
    has_telemetry = True
    project_variable = "GEMINI_PROJECT_DIR"
    shares_call_ids = False
    session_pattern = r"\.gemini/tmp/[^/]+/chats/([^/]+/)?[^/]+\.jsonl?"
    commands = ("gemini",)
    packages = ("@google/gemini-cli",)

    def hook_session(self, payload: Mapping[str, Any]) -> str | None:
        """Return the session of the file that the input names.

        When it changes to another model, as for a used up quota, Gemini CLI gives hooks a new
        session id (from 0.54 on) but goes on with the session in the same file.
        """
        path, session = payload.get("transcript_path"), payload.get("session_id")
        if not (isinstance(path, str) and isinstance(session, str)):
            return None
        stem = os.path.basename(path).rpartition(".")[0]
        if not stem.startswith("session-") or stem.endswith(session[:_NAMED_CHARS]):
            return None
        import json

        from ...paths import open_regular

        try:
            with open_regular(path) as file:
                record = json.loads(file.readline(_MAX_HEAD_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        own = record.get("sessionId") if isinstance(record, dict) else None
        is_named = isinstance(own, str) and own and stem.endswith(own[:_NAMED_CHARS])
        return str(own) if is_named else None

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder whose subfolders, one for each project, hold ``chats``."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "tmp"), "chats")]

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the first of the folders in the first line."""
        from ..fields import string

        folders = record.get("directories")
        folder = folders[0] if isinstance(folders, list) and folders else None
        return string(record.get("sessionId")), string(folder, None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is the first line, or the whole, of a session file."""
        return (
            "sessionId" in record
            and ("projectHash" in record or "startTime" in record)
            and not isinstance(record.get("payload"), dict)
        )

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``.

        Files are in ``<project>/chats``, a subagent's in ``<project>/chats/<parent session>``.
        """
        from .session import GeminiSession

        folder, parent = os.path.dirname(path), None
        if os.path.basename(folder) != "chats":
            above, name = os.path.split(folder)
            if os.path.basename(above) == "chats":
                folder, parent = above, name
        project, cwd = _project(os.path.dirname(folder))
        return GeminiSession(project, parent, cwd, hash_input)


def _project(folder: str) -> tuple[str | None, str | None]:
    """Return project and working folder of a folder that is named after the project or its hash."""
    from ..fields import local_project_name, whole_path

    try:
        with open(os.path.join(folder, ".project_root"), encoding="utf-8") as file:
            path = file.read(4096).strip()
    except (OSError, UnicodeDecodeError):
        name = os.path.basename(folder)
        return None if len(name) == _HASH_CHARS or name in ("", "tmp") else name, None
    return local_project_name(path), whole_path(path)
