"""Claude Code: hooks, session files, telemetry, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...errors import InvalidEvent
from ..agent import CodingAgent, json_settings
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot

_MAX_META_BYTES = 65_536
_SESSION_KEYS = frozenset({"sessionId", "leafUuid", "messageId", "uuid"})
# Codex's lines have a payload, Qwen Code's system lines a systemPayload, and the first line of
# Gemini CLI's files has the other two.
_FOREIGN_KEYS = frozenset({"payload", "systemPayload", "projectHash", "startTime"})
_KEPT_DAYS = 30
"""Days after which Claude Code deletes session files if its settings name no other number."""


class ClaudeCode(CodingAgent):
    """Claude Code."""

    name = "claude"
    label = "Claude Code"
    aliases = ("claude-code",)
    folder = ".claude"
    home_variable = "CLAUDE_CONFIG_DIR"
    has_hooks = True
    has_telemetry = True
    project_variable = "CLAUDE_PROJECT_DIR"
    session_pattern = (
        r"projects/[^/]+/"
        r"([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|([^/]+/subagents/(.+/)?)?agent-[^/]+)"
        r"\.jsonl"
    )
    commands = ("claude",)
    packages = ("@anthropic-ai/claude-code",)

    def homes(self) -> list[str]:
        """Return its folders; unless they are named, also that of some versions in 2025."""
        homes = super().homes()
        if os.environ.get(self.home_variable):
            return homes
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return [*homes, os.path.join(config, "claude")]

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return ``projects``."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "projects"))]

    def status_dir(self, home: str) -> str:
        """Return the folder with ``<pid>.json`` of each running session."""
        return os.path.join(home, "sessions")

    def kept_days(self) -> int | None:
        """Return ``cleanupPeriodDays`` of its settings.json, 30 if it is not set."""
        days = json_settings(os.path.join(self.homes()[0], "settings.json")).get(
            "cleanupPeriodDays"
        )
        return days if type(days) is int and days >= 0 else _KEPT_DAYS

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the fields ``sessionId`` and ``cwd``."""
        from ..fields import string

        return string(record.get("sessionId")), string(record.get("cwd"), None)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of Claude Code's session files."""
        keys, message = record.keys(), record.get("message")
        if not isinstance(record.get("type"), str) or not keys & _SESSION_KEYS:
            return False
        # Qwen Code's lines have the same names, but messages of Google's form.
        return not keys & _FOREIGN_KEYS and not (isinstance(message, dict) and "parts" in message)

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``.

        A session's file is named after its id, a subagent's is ``agent-<id>.jsonl``.
        """
        from functools import partial

        from .session import ClaudeSession

        folder, name = os.path.split(path)
        stem = name.partition(".")[0]
        if stem.startswith("agent-"):
            facts = os.path.join(folder, f"{stem}.meta.json")
            return ClaudeSession(subagent=partial(_subagent_facts, facts), hash_input=hash_input)
        return ClaudeSession(stem, partial(_has_own_file, folder, stem), hash_input=hash_input)


def _subagent_facts(path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file beside a subagent's session; an empty one if there is none.

    Seen in 2.1.90 and later; ``agentType``, and ``description`` as its parent's model wrote it.
    """
    from ..session import parse_record

    try:
        with open(path, "rb") as file:
            return parse_record(file.read(_MAX_META_BYTES))
    except (OSError, InvalidEvent):
        return {}


def _has_own_file(folder: str, session: str, subagent: str) -> bool:
    name = f"agent-{os.path.basename(subagent)}.jsonl"
    folders = (os.path.join(folder, session, "subagents"), folder)
    return any(os.path.exists(os.path.join(each, name)) for each in folders)
