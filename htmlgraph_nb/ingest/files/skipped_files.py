"""The files that look like sessions and are not read, for the log and for status reports."""

from __future__ import annotations

import logging
import threading
from typing import Any

logger = logging.getLogger(__name__)

MAX_SKIPPED = 1_000
"""Most files that are remembered; all others are counted."""
MAX_REPORTED = 50
_MAX_LOGGED = 3
"""Files that are named at once; of more, the log names one and their number."""
_MAX_LOG_LINES = 30
_MAX_HOMES = 20


class SkippedFiles:
    """Path → why the file, or the rest of it, is not read. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._n_more = 0
        self._unlogged: list[str] = []
        self._homes: list[str] = []
        self._logged: set[str] = set()
        self._n_lines = 0

    def __contains__(self, path: str) -> bool:
        return path in self._reasons

    def add(self, path: str, reason: str) -> None:
        """Remember a file, or another reason for it."""
        if self._reasons.get(path) == reason:
            return
        with self._lock:
            if path not in self._reasons and len(self._reasons) >= MAX_SKIPPED:
                self._n_more += 1
                return
            self._reasons[path] = reason
            if path not in self._logged and len(self._logged) < 2 * MAX_SKIPPED:
                self._logged.add(path)
                self._unlogged.append(path)

    def remove(self, path: str) -> None:
        """Forget a file that is read now, or is gone."""
        if path in self._reasons:
            with self._lock:
                self._reasons.pop(path, None)

    def add_home(self, agent: str, home: str) -> None:
        """Remember a folder of an agent of which only the files that hooks name are read."""
        folder = f"{agent}={home}"
        with self._lock:
            if folder in self._homes or len(self._homes) >= _MAX_HOMES:
                return
            self._homes.append(folder)
        logger.warning(
            "hooks name session files in %r; to read all of them, also those without hooks, start "
            "the server with --session-folder %s",
            *(home, folder),
        )

    def log(self) -> None:
        """Write the files to the log that it does not name yet."""
        if not self._unlogged:
            return
        with self._lock:
            paths, self._unlogged = self._unlogged, []
            found = [(path, self._reasons[path]) for path in paths if path in self._reasons]
        if not found or self._n_lines >= _MAX_LOG_LINES:
            return
        if len(found) > _MAX_LOGGED:
            path, reason = found[0]
            lines = [
                f"{len(found):,} files that look like sessions are not read, such as {path!r}: "
                f"{reason}; htmlgraph-nb doctor lists them"
            ]
        else:
            lines = [f"session file {path!r} is not read: {reason}" for path, reason in found]
        for line in lines:
            self._n_lines += 1
            logger.warning("%s", line)

    def report(self) -> dict[str, Any]:
        """Return what is not read: ``skipped`` names the first MAX_REPORTED files.

        ``unfollowed`` lists the folders of ``add_home`` as ``--session-folder`` takes them.
        """
        with self._lock:
            files = list(self._reasons.items())
            count = len(files) + self._n_more
            homes = list(self._homes)
        named = [
            {"path": _text(path), "reason": _text(reason)} for path, reason in files[:MAX_REPORTED]
        ]
        return {
            "skipped": {"count": count, "files": named},
            "unfollowed": [_text(home) for home in homes],
        }


def _text(text: str) -> str:
    """Return a text that can be encoded, as not every path can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
