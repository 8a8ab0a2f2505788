"""Qwen Code: hooks, session files, telemetry, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot

_TYPES = ("user", "assistant", "tool_result", "system")


class QwenCode(CodingAgent):
    """Qwen Code."""

    name = "qwen"
    label = "Qwen Code"
    aliases = ("qwen-code",)
    folder = ".qwen"
    home_variable = "QWEN_HOME"
    has_hooks = True
    has_telemetry = True
    project_variable = "QWEN_PROJECT_DIR"
    session_pattern = r"\.qwen/projects/[^/]+/(chats|subagents/[^/]+)/[^/]+\.jsonl"
    commands = ("qwen",)
    packages = ("@qwen-code/qwen-code",)

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder whose subfolders, one for each project, hold ``chats``."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "projects"))]

    def sidecars(self, path: str) -> tuple[str, ...]:
        """Return the path of the file with the facts about a subagent; () for a session."""
        stem, _, rest = path.partition(".jsonl")
        is_subagent = os.path.basename(stem).startswith("agent-") and not rest
        return (f"{stem}.meta.json",) if is_subagent else ()

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the working folder in a line."""
        from ..fields import string

        return string(record.get("sessionId")), string(record.get("cwd"), None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of a session file.

        Claude Code's lines have the same names, but other messages.
        """
        if record.get("type") not in _TYPES or "uuid" not in record or "sessionId" not in record:
            return False
        message = record.get("message")
        if isinstance(message, dict):
            return isinstance(message.get("parts"), list)
        return record.get("type") == "system" and "systemPayload" in record

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``, named after the session."""
        from ..agent import json_settings
        from .session import QwenSession

        stem = os.path.basename(path).partition(".jsonl")[0]
        if not stem.startswith("agent-"):
            return QwenSession(stem, hash_input=hash_input)
        meta = os.path.join(os.path.dirname(path), f"{stem}.meta.json")
        return QwenSession(None, lambda: json_settings(meta), hash_input)
