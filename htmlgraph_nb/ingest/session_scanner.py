"""The folders in which agents keep their sessions: which files are new there, which have changed.

Nothing but names and times is read. A folder is listed again only when its own time has changed,
and the times of files that rest are looked at in turn, so many past sessions cost next to nothing.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence, Sized
from itertools import islice

from ..coding_agents.agent import SessionRoot
from ..coding_agents.registry import AGENTS

logger = logging.getLogger("htmlgraph.sessions")

MAX_FOLDERS = 50_000
MAX_FILES = 200_000
HOT_S = 600.0
"""Seconds for which a folder that has changed is looked at each time."""
_ALWAYS_HOT_DEPTH = 1
_IN_TURN = 125
"""Files and folders at rest that are looked at in one step."""
_STEP_S = 0.02
_SETTLED_NS = 2_000_000_000
"""Nanoseconds after which a folder's time would have changed with its next entry for certain."""


def default_roots() -> list[SessionRoot]:
    """Return the folders in which the agents of this user keep their sessions, there or not."""
    return [
        root._replace(path=os.path.realpath(root.path))
        for agent in AGENTS.values()
        for root in agent.session_roots()
    ]


def is_session_name(name: str) -> bool:
    """Return whether a file of this name can be a session."""
    return name.endswith(".jsonl") or (name.startswith("session-") and name.endswith(".json"))


def root_of(path: str, roots: Sequence[SessionRoot]) -> SessionRoot | None:
    """Return the root below which a session file is; None: it is no regular file below any.

    Args:
        path: whatever a hook named; links in it are followed first.
    """
    if not os.path.isabs(path) or "\0" in path:
        return None
    real = os.path.realpath(path)
    for root in roots:
        if real.startswith(root.path + os.sep) and is_session_name(os.path.basename(real)):
            try:
                return root if stat.S_ISREG(os.lstat(real).st_mode) else None
            except OSError:
                return None
    return None


class _Folder:
    """A folder, when its time last changed, and how deep below its root it is."""

    __slots__ = ("changed", "depth", "mtime_ns", "path", "root")

    def __init__(self, path: str, root: SessionRoot, depth: int) -> None:
        self.path = path
        self.root = root
        self.depth = depth
        self.mtime_ns = -1
        self.changed = 0.0


class SessionScanner:
    """What is in the roots, as it was last seen.

    Args:
        roots: the folders, searched to any depth.
        since: seconds since 1970; a file that was last changed before it is of the past.
    """

    def __init__(self, roots: Sequence[SessionRoot], since: float) -> None:
        self.roots = tuple(roots)
        self._since = since
        self._folders = {root.path: _Folder(root.path, root, 0) for root in roots}
        self._files: dict[str, tuple[int, int]] = {}
        self._unread: list[_Folder] = list(self._folders.values())
        self._folders_in_turn: Iterator[_Folder] = iter(())
        self._files_in_turn: Iterator[str] = iter(())
        self._full = False

    @property
    def n_files(self) -> int:
        """Session files that are there."""
        return len(self._files)

    @property
    def behind(self) -> bool:
        """Whether there are folders that were never listed yet."""
        return bool(self._unread)

    def poll(self, now: float) -> list[tuple[str, SessionRoot]]:
        """Return the files that are new or have changed since the last call.

        Args:
            now: monotonic seconds.
        """
        found: list[tuple[str, SessionRoot]] = []
        end = time.monotonic() + _STEP_S
        if self._unread:
            while self._unread and time.monotonic() < end:
                self._list(self._unread.pop(), now, found)
            return found
        for folder in self._due(now):
            self._look(folder, now, found)
        self._look_at_files(found)
        return found

    def _due(self, now: float) -> list[_Folder]:
        hot = [
            folder
            for folder in self._folders.values()
            if folder.depth <= _ALWAYS_HOT_DEPTH or now - folder.changed < HOT_S
        ]
        others = list(islice(self._folders_in_turn, _IN_TURN))
        if len(others) < _IN_TURN:
            self._folders_in_turn = iter(list(self._folders.values()))
        # Too many for each time: then all of them take turns.
        return others if len(hot) > 4 * _IN_TURN else hot + others

    def _look(self, folder: _Folder, now: float, found: list[tuple[str, SessionRoot]]) -> None:
        try:
            mtime_ns = os.stat(folder.path).st_mtime_ns
        except OSError:
            folder.mtime_ns = -1
            if folder.depth:
                self._folders.pop(folder.path, None)
            return
        if mtime_ns != folder.mtime_ns:
            self._list(folder, now, found)

    def _list(self, folder: _Folder, now: float, found: list[tuple[str, SessionRoot]]) -> None:
        try:
            mtime_ns = os.stat(folder.path).st_mtime_ns
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    self._meet(entry, folder, found)
        except OSError as error:
            logger.debug("%s cannot be listed: %s", folder.path, error)
            return
        if folder.mtime_ns != -1:
            folder.changed = now
        # Within one step of the system's clock a second change would leave the same time.
        settled = abs(time.time_ns() - mtime_ns) > _SETTLED_NS
        folder.mtime_ns = mtime_ns if settled else -2

    def _meet(
        self, entry: os.DirEntry[str], above: _Folder, found: list[tuple[str, SessionRoot]]
    ) -> None:
        path, root = entry.path, above.root
        if entry.is_dir(follow_symlinks=False):
            if path in self._folders or not self._has_room(self._folders, MAX_FOLDERS):
                return
            if root.only is not None and above.depth == 1 and entry.name != root.only:
                return
            folder = self._folders[path] = _Folder(path, root, above.depth + 1)
            self._unread.append(folder)
        elif path in self._files or not is_session_name(entry.name):
            return
        elif entry.is_file(follow_symlinks=False) and self._has_room(self._files, MAX_FILES):
            state = entry.stat(follow_symlinks=False)
            self._files[path] = state.st_mtime_ns, state.st_size
            if state.st_mtime >= self._since:
                found.append((path, root))

    def _has_room(self, known: Sized, most: int) -> bool:
        room = len(known) < most
        if not room and not self._full:
            self._full = True
            logger.warning("more than %d session files or folders: the rest is not followed", most)
        return room

    def _look_at_files(self, found: list[tuple[str, SessionRoot]]) -> None:
        paths = list(islice(self._files_in_turn, _IN_TURN))
        if len(paths) < _IN_TURN:
            self._files_in_turn = iter(list(self._files))
        for path in paths:
            try:
                state = os.stat(path, follow_symlinks=False)
            except OSError:
                self._files.pop(path, None)
                continue
            seen = state.st_mtime_ns, state.st_size
            if self._files.get(path) != seen:
                self._files[path] = seen
                root = next(one for one in self.roots if path.startswith(one.path + os.sep))
                found.append((path, root))
