"""Codex: hooks, session files, telemetry, settings."""

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


class Codex(CodingAgent):
    """Codex."""

    name = "codex"
    label = "Codex"
    subagents_are_sessions = True
    demo_models = ("gpt-5.2-codex",)

    @property
    def hook_fields(self) -> Mapping[str, tuple[str, ...]]:
        """Hook → the fields that ``htmlgraph-hook`` sends."""
        from .constants import EXTRA_FIELDS

        return EXTRA_FIELDS

    @property
    def hooks_after_write(self) -> frozenset[str]:
        """Hooks that run after a line was written to the session file."""
        from .constants import HOOKS_AFTER_WRITE

        return HOOKS_AFTER_WRITE

    def events_from_hook(self, payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
        """Return the events that one hook input reports."""
        from .hooks import events_from_hook

        return events_from_hook(payload, received_at=received_at)

    def sessions_dir(self) -> str:
        """Return ``CODEX_HOME`` or ``~/.codex``."""
        return user_folder("CODEX_HOME", "~/.codex")

    def session_roots(self) -> list[SessionRoot]:
        """Return the folders of current and of archived sessions."""
        from ..session import SessionRoot

        home = self.sessions_dir()
        names = ("sessions", "archived_sessions")
        return [SessionRoot(self.name, os.path.join(home, name)) for name in names]

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of Codex's session files."""
        return isinstance(record.get("payload"), dict) and "type" in record

    def session_reader(self, path: str) -> SessionReader:
        """Return a new reader; the path of the file says nothing about the session."""
        from .session import CodexSession

        return CodexSession()

    def telemetry(self) -> AgentTelemetry:
        """Return how Codex's logs and metrics are read."""
        from .telemetry import TELEMETRY

        return TELEMETRY

    def hook_settings(self) -> HookSettings:
        """Return how hooks are registered in Codex's hooks.json."""
        from .settings import SETTINGS

        return SETTINGS
