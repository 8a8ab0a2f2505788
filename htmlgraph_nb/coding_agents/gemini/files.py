"""Which reader a session file of Gemini CLI needs, by its path."""

from __future__ import annotations

import os

from ..fields import base_name
from .session import GeminiSession

_HASH_CHARS = 64


def reader_of(path: str) -> GeminiSession:
    """Return a new reader for the session file at ``path``.

    Files are in ``<project>/chats``, those of subagents in ``<project>/chats/<parent session>``.
    """
    folder, parent = os.path.dirname(path), None
    if os.path.basename(folder) != "chats" and os.path.basename(os.path.dirname(folder)) == "chats":
        folder, parent = os.path.split(folder)
    return GeminiSession(_project(os.path.dirname(folder)), parent)


def _project(folder: str) -> str | None:
    """Return the project of a folder that is named after the project or its hash."""
    try:
        with open(os.path.join(folder, ".project_root"), encoding="utf-8") as file:
            return base_name(file.read(4096).strip())
    except (OSError, UnicodeDecodeError):
        name = os.path.basename(folder)
        return None if len(name) == _HASH_CHARS or name in ("", "tmp") else name
