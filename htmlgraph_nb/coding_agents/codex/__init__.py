"""Codex: hooks, session files, telemetry, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot


class Codex(CodingAgent):
    """Codex."""

    name = "codex"
    label = "Codex"
    folder = ".codex"
    home_variable = "CODEX_HOME"
    has_hooks = True
    has_telemetry = True
    subagents_are_sessions = True
    session_pattern = r"(sessions/\d{4}/\d\d/\d\d|archived_sessions)/rollout-[^/]+\.jsonl"
    commands = ("codex",)
    packages = ("@openai/codex",)

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folders of current and of archived sessions."""
        from ..session import SessionRoot

        names = ("sessions", "archived_sessions")
        return [SessionRoot(self.name, os.path.join(home, name)) for name in names]

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the id and the folder in the line ``session_meta``."""
        from ..fields import mapping, string

        if record.get("type") != "session_meta":
            return None, None
        payload = mapping(record.get("payload"))
        return string(payload.get("id")), string(payload.get("cwd"), None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of Codex's session files."""
        return isinstance(record.get("payload"), dict) and "type" in record

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader; the path of the file says nothing about the session."""
        from .session import CodexSession

        return CodexSession(hash_input)
