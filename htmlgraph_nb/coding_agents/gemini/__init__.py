"""Gemini CLI: hooks, session files, telemetry, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent, user_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ...core.model import Event
    from ..hook_settings import HookSettings
    from ..session import SessionReader, SessionRoot
    from ..telemetry import AgentTelemetry

_HASH_CHARS = 64


class GeminiCli(CodingAgent):
    """Gemini CLI."""

    name = "gemini"
    label = "Gemini CLI"
    aliases = ("gemini-cli",)
    project_variable = "GEMINI_PROJECT_DIR"
    shares_call_ids = False
    demo_models = ("gemini-3-pro",)

    @property
    def hook_fields(self) -> Mapping[str, tuple[str, ...]]:
        """Hook → the fields that ``htmlgraph-hook`` sends."""
        from .constants import EXTRA_FIELDS

        return EXTRA_FIELDS

    @property
    def hooks_after_write(self) -> frozenset[str]:
        """Hooks that run after a message was written to the session file."""
        from .constants import HOOKS_AFTER_WRITE

        return HOOKS_AFTER_WRITE

    def events_from_hook(self, payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
        """Return the events that one hook input reports."""
        from .hooks import events_from_hook

        return events_from_hook(payload, received_at=received_at)

    def sessions_dir(self) -> str:
        """Return ``~/.gemini/tmp``."""
        return user_folder("", "~/.gemini/tmp")

    def session_roots(self) -> list[SessionRoot]:
        """Return the folder whose subfolders, one for each project, hold ``chats``."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, self.sessions_dir(), "chats")]

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is the first line, or the whole, of a session file."""
        return (
            "sessionId" in record
            and ("projectHash" in record or "startTime" in record)
            and not isinstance(record.get("payload"), dict)
        )

    def session_reader(self, path: str) -> SessionReader:
        """Return a new reader for the session file at ``path``.

        Files are in ``<project>/chats``, a subagent's in ``<project>/chats/<parent session>``.
        """
        from .session import GeminiSession

        folder, parent = os.path.dirname(path), None
        if os.path.basename(folder) != "chats":
            above, name = os.path.split(folder)
            if os.path.basename(above) == "chats":
                folder, parent = above, name
        return GeminiSession(_project(os.path.dirname(folder)), parent)

    def telemetry(self) -> AgentTelemetry:
        """Return how Gemini CLI's logs and metrics are read."""
        from .telemetry import TELEMETRY

        return TELEMETRY

    def hook_settings(self) -> HookSettings:
        """Return how hooks are registered in Gemini CLI's settings.json."""
        from .settings import SETTINGS

        return SETTINGS


def _project(folder: str) -> str | None:
    """Return the project of a folder that is named after the project or its hash."""
    from ..fields import base_name

    try:
        with open(os.path.join(folder, ".project_root"), encoding="utf-8") as file:
            return base_name(file.read(4096).strip())
    except (OSError, UnicodeDecodeError):
        name = os.path.basename(folder)
        return None if len(name) == _HASH_CHARS or name in ("", "tmp") else name
