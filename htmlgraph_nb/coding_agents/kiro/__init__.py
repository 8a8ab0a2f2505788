"""Kiro CLI, and Kiro IDE, which shares its session files: hooks, session files, settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..agent import CodingAgent
from ..input_hash import no_hash
from .constants import AGENT_CONFIG_OPTION, CHILD_FOLDER, MESSAGES_FILE, WORKSPACE_SESSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..input_hash import HashInput
    from ..session import SessionReader, SessionRoot
    from .session import FileState
    from .sidecar import Sidecar

_KINDS = frozenset(
    {"Prompt", "AssistantMessage", "ToolResults", "Compaction", "Clear", "ResetTo"}
    | {"CancelledPrompt"}
)
_MAX_SIDECAR_BYTES = 8 << 20


class KiroCli(CodingAgent):
    """Kiro CLI."""

    name = "kiro"
    label = "Kiro CLI"
    aliases = ("kiro-cli",)
    folder = ".kiro"
    home_variable = "KIRO_HOME"
    has_hooks = True
    shares_call_ids = False
    session_pattern = r"sessions/(cli/[^/]+|[^/]+/[^/]+/(messages|sub-executions/[^/]+))\.jsonl"
    commands = ("kiro-cli", "kiro-cli-chat")

    def leaves_out_hook(self, payload: Mapping[str, Any], options: Sequence[str]) -> bool:
        """Return whether the input names no session, or CLI 3 has run the hook of an agent config.

        Without a terminal CLI 2 names no session, and stores it in no session file. CLI 3 also runs
        the hooks of agent configs, but reads those in ``hooks`` as well.
        """
        session = payload.get("session_id")
        if not isinstance(session, str):
            return True
        return AGENT_CONFIG_OPTION in options and session.startswith(WORKSPACE_SESSION)

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folder of the sessions of version 2 and, by workspace, of version 3."""
        from ..session import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "sessions"))]

    def sidecars(self, path: str) -> tuple[str, ...]:
        """Return the path of the file that describes the session."""
        from .workspace_session import SESSION_FILE

        folder, name = os.path.split(path)
        if os.path.basename(folder) == CHILD_FOLDER:
            return ()
        if name == MESSAGES_FILE:
            return (os.path.join(folder, SESSION_FILE),)
        return (_sidecar_of(path),)

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return neither: the lines name no session and no folder."""
        return None, None

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of Kiro's session files."""
        if isinstance(record.get("data"), dict):
            return record.get("version") == "v1" and record.get("kind") in _KINDS
        payload = record.get("payload")
        is_message = isinstance(payload, dict) and isinstance(payload.get("type"), str)
        return is_message and "id" in record and "timestamp" in record and "type" not in record

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``, by its name.

        A session of version 2 has its folder, its parent and the times of its turns only in the
        file beside it, so that is read first.
        """
        from .session import KiroSession
        from .workspace_session import KiroWorkspaceSession

        folder, name = os.path.split(path)
        stem = name.partition(".jsonl")[0]
        if os.path.basename(folder) == CHILD_FOLDER:
            parent = os.path.basename(os.path.dirname(folder))
            return KiroWorkspaceSession(stem, parent or None, hash_input)
        if name.startswith(MESSAGES_FILE):
            return KiroWorkspaceSession(os.path.basename(folder) or stem, None, hash_input)
        return KiroSession(stem, _read_sidecar(path), hash_input, lambda: _state_of(path))


def _sidecar_of(path: str) -> str:
    return f"{path.partition('.jsonl')[0]}.json"


def _read_sidecar(path: str) -> Sidecar:
    """Return what the file beside a session file says; nothing if there is none."""
    from ...paths import open_regular
    from .sidecar import Sidecar

    try:
        with open_regular(_sidecar_of(path)) as file:
            return Sidecar.of(file.read(_MAX_SIDECAR_BYTES)) or Sidecar()
    except OSError:
        return Sidecar()


def _state_of(path: str) -> FileState | None:
    """Return when a session file was last written, and its size; None: unknown."""
    from ..fields import timestamp_of_seconds

    try:
        state = os.stat(path)
    except OSError:
        return None
    at = timestamp_of_seconds(state.st_mtime)
    return None if at is None else (at, state.st_size)
