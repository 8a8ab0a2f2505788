"""The names of session files, plain and compressed. Pure functions.

Codex compresses the files of idle sessions to ``rollout-*.jsonl.zst``, and unpacks them again when
a session goes on (openai/codex, codex-rs/rollout/src/compression.rs). The other compressions are
those of people who keep old sessions.
"""

from __future__ import annotations

import os

SESSION_COMPRESSIONS = {".zst": "zstd", ".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
"""Suffix of a compressed file → the name of its format."""
_SUFFIXES = tuple(SESSION_COMPRESSIONS)
_UNREAD = frozenset({".lz4", ".lzma", ".br", ".zip", ".7z", ".z", ".lz", ".rar", ".tgz", ".tar"})
_TEMPORARY = (".tmp", ".lock", ".part", ".swp", "~")


def is_session_name(name: str) -> bool:
    """Return whether a file of this name can be a session."""
    return _is_plain(name) or (name.endswith(_SUFFIXES) and _is_plain(os.path.splitext(name)[0]))


def _is_plain(name: str) -> bool:
    return name.endswith(".jsonl") or (name.startswith("session-") and name.endswith(".json"))


def plain_path(path: str) -> str:
    """Return the path that a compressed session file has once it is unpacked; else ``path``."""
    return os.path.splitext(path)[0] if path.endswith(_SUFFIXES) else path


def compression_of(path: str) -> str | None:
    """Return the suffix of a compressed file; None: it is not compressed."""
    return os.path.splitext(path)[1] if path.endswith(_SUFFIXES) else None


def why_unread(name: str) -> str | None:
    """Return why a file that looks like a session by its name is not read.

    None: it is read, or does not look like one.
    """
    if name.startswith("rollout-") and name.endswith(".json"):
        return "the format of Codex before July 2025"
    if ".jsonl" not in name or is_session_name(name) or name.endswith(_TEMPORARY):
        return None
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _UNREAD:
        return f"compressed as {suffix}; unpack it, or use one of {', '.join(_SUFFIXES)}"
    return "its name does not end in .jsonl"
