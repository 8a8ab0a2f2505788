"""Which reader a session file of Claude Code needs, by its path."""

from __future__ import annotations

import os
from functools import partial

from .session import ClaudeSession


def reader_of(path: str) -> ClaudeSession:
    """Return a new reader for the session file at ``path``.

    A session's file is named after its id, a subagent's is ``agent-<id>.jsonl``.
    """
    folder, name = os.path.split(path)
    stem = name.partition(".")[0]
    if stem.startswith("agent-"):
        return ClaudeSession()
    return ClaudeSession(stem, partial(_has_own_file, folder, stem))


def _has_own_file(folder: str, session: str, subagent: str) -> bool:
    name = f"agent-{os.path.basename(subagent)}.jsonl"
    folders = (os.path.join(folder, session, "subagents"), folder)
    return any(os.path.exists(os.path.join(each, name)) for each in folders)
