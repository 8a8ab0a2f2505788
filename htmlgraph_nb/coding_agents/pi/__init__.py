"""Pi: extension, session files, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot

_ENTRIES = ("message", "model_change", "thinking_level_change", "compaction", "session_info")


class Pi(CodingAgent):
    """Pi, the coding agent of the packages pi-coding-agent."""

    name = "pi"
    label = "Pi"
    aliases = ("pi-coding-agent",)
    folder = ".pi/agent"
    home_variable = "PI_CODING_AGENT_DIR"
    has_hooks = True
    session_pattern = r"\.pi/agent/sessions/[^/]+/[^/]+\.jsonl"
    commands = ("pi",)
    packages = ("@earendil-works/pi-coding-agent", "@mariozechner/pi-coding-agent")

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder with one folder of session files for each project."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "sessions"))]

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the working folder in the first line."""
        from ..fields import string

        if record.get("type") != "session":
            return None, None
        return string(record.get("id")), string(record.get("cwd"), None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is the first line of a session file, or an entry of it."""
        if record.get("type") == "session":
            return isinstance(record.get("cwd"), str) and isinstance(record.get("timestamp"), str)
        return record.get("type") in _ENTRIES and "id" in record and "parentId" in record

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``, named after time and session."""
        from .session import PiSession

        stem = os.path.basename(path).partition(".jsonl")[0]
        return PiSession(stem.partition("_")[2] or stem, hash_input)
