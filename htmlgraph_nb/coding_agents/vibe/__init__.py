"""Mistral Vibe: hooks, session files, settings."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot
    from .meta import Meta

META_FILE = "meta.json"
_ROLES = ("user", "assistant", "tool")
_NAMED = re.compile(r"(.+)_\d{8}_\d{6}_[^_]+")
"""Name of the folder of a session: the kind of agent, the time and the start of the session id."""
_NAMED_CHARS = 8


class MistralVibe(CodingAgent):
    """Mistral Vibe."""

    name = "vibe"
    label = "Mistral Vibe"
    aliases = ("mistral-vibe",)
    folder = ".vibe"
    home_variable = "VIBE_HOME"
    has_hooks = True
    session_pattern = r"\.vibe/logs/session/.+/messages\.jsonl"
    commands = ("vibe", "vibe-acp")

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder with one folder for each session."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "logs", "session"))]

    def sidecars(self, path: str) -> tuple[str, ...]:
        """Return the path of the file with the facts about a session."""
        return (os.path.join(os.path.dirname(path), META_FILE),)

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a message of a session."""
        is_message = record.get("role") in _ROLES and "type" not in record
        return is_message and ("injected" in record or "message_id" in record)

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session with the messages at ``path``.

        Sessions are in ``logs/session/<session>``, those of subagents in ``<session>/agents``.
        """
        from .session import VibeSession

        folder = os.path.dirname(path)
        above, name = os.path.split(folder)
        match = _NAMED.fullmatch(name)
        is_subagent = os.path.basename(above) == "agents"
        return VibeSession(
            name,
            match[1] if is_subagent and match else None,
            os.path.basename(os.path.dirname(above)) if is_subagent else None,
            lambda: _modified(path),
            lambda session: _meta_beside(above, session),
            hash_input,
        )


def _modified(path: str) -> datetime | None:
    from ..fields import timestamp_of_seconds

    try:
        return timestamp_of_seconds(os.stat(path).st_mtime)
    except OSError:
        return None


def _meta_beside(folder: str, session: str) -> Meta | None:
    """Return the facts about another session in a folder of sessions; None if there is none."""
    from ...paths import open_regular
    from ..session import MAX_SIDECAR_BYTES
    from .meta import parse_meta

    try:
        names = [name for name in os.listdir(folder) if name.endswith(session[:_NAMED_CHARS])]
    except OSError:
        return None
    for name in names:
        try:
            with open_regular(os.path.join(folder, name, META_FILE)) as file:
                meta = parse_meta(file.read(MAX_SIDECAR_BYTES))
        except OSError:
            continue
        if meta is not None and meta.session == session:
            return meta
    return None
