"""Select and order the session files of a backfill. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..coding_agents.registry import AGENTS
from ..storage.file_table import FileStamp, stored_path
from .session_files import SessionFile

DAY_S = 86_400.0


def stamp_of(file: SessionFile) -> FileStamp:
    """Return the stamp by which a later start recognizes that the file is unchanged."""
    return file.size, file.mtime_ns


def import_order(files: Iterable[SessionFile], now: float) -> list[SessionFile]:
    """Return the files in the order of import.

    Files that changed in the last 24 hours come first, then those of the 24 hours before, and so
    on. Of each day the oldest come first, because an event that several files repeat is taken from
    the file that was written first, and the files of subagents last.

    Args:
        now: seconds since 1970.
    """

    def sort_key(file: SessionFile) -> tuple[int, bool, float, str]:
        age_days = max(0, int((now - file.modified) // DAY_S))
        return age_days, file.is_of_subagent, file.modified, file.path

    return sorted(files, key=sort_key)


def changed_files(
    files: Iterable[SessionFile], imported: Mapping[str, FileStamp]
) -> list[SessionFile]:
    """Return the files that are new or changed since their import.

    Args:
        imported: stored path → the stamp of the file when it was imported.
    """
    return [file for file in files if imported.get(stored_path(file.path)) != stamp_of(file)]


def count_sessions(files: Iterable[SessionFile]) -> dict[str, int]:
    """Return the number of sessions of each agent, without those of subagents, the most first."""
    counts = Counter(file.agent for file in files if not file.is_of_subagent)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], [*AGENTS].index(item[0]))))
