"""Find new and changed session files in the folders of the agents.

Only names and timestamps are read. A folder is listed again only after its own timestamp has
changed, and the files at rest are checked in rotation, so many past sessions cost next to nothing.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence, Sized
from itertools import islice

from ..coding_agents.registry import AGENTS
from ..coding_agents.session import SessionRoot

logger = logging.getLogger(__name__)

MAX_FOLDERS = 50_000
MAX_FILES = 200_000
HOT_S = 600.0
"""Seconds after a change during which a folder is checked in each step."""
_ALWAYS_HOT_DEPTH = 1
_ROTATION_SIZE = 125
"""Files at rest, and folders at rest, that are checked in one step."""
_STEP_S = 0.02
_SETTLED_NS = 2_000_000_000
"""Age in nanoseconds from which another change is certain to change a folder's timestamp."""


def default_roots() -> list[SessionRoot]:
    """Return the folders in which this user's agents store sessions, existing or not."""
    return [
        root._replace(path=os.path.realpath(root.path))
        for agent in AGENTS.values()
        for root in agent.session_roots()
    ]


def is_session_name(name: str) -> bool:
    """Return whether a file of this name can be a session."""
    return name.endswith(".jsonl") or (name.startswith("session-") and name.endswith(".json"))


def root_of(path: str, roots: Sequence[SessionRoot]) -> SessionRoot | None:
    """Return the root that contains a session file; None: it is not a regular file in any.

    Args:
        path: an untrusted path, as reported by a hook; symbolic links are resolved first.
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
    """A folder, when its timestamp last changed, and its depth below the root."""

    __slots__ = ("changed_at", "depth", "mtime_ns", "path", "root")

    def __init__(self, path: str, root: SessionRoot, depth: int) -> None:
        self.path = path
        self.root = root
        self.depth = depth
        self.mtime_ns = -1
        self.changed_at = 0.0


_ChangedFiles = list[tuple[str, SessionRoot]]


class SessionScanner:
    """The files below the roots, as of the last step.

    Args:
        roots: the folders, searched to any depth.
        since: seconds since 1970; files last changed before it are reported once they change.
    """

    def __init__(self, roots: Sequence[SessionRoot], since: float) -> None:
        self.roots = tuple(roots)
        self._since = since
        self._folders = {root.path: _Folder(root.path, root, 0) for root in roots}
        self._files: dict[str, tuple[int, int]] = {}
        self._unlisted: list[_Folder] = list(self._folders.values())
        self._folder_rotation: Iterator[_Folder] = iter(())
        self._file_rotation: Iterator[str] = iter(())
        self._limit_logged = False

    @property
    def n_files(self) -> int:
        """Number of session files below the roots."""
        return len(self._files)

    @property
    def behind(self) -> bool:
        """Whether some folders have not been listed yet."""
        return bool(self._unlisted)

    def poll(self, now: float) -> list[tuple[str, SessionRoot]]:
        """Return the files that are new or have changed since the last call.

        Args:
            now: monotonic seconds.
        """
        changed: _ChangedFiles = []
        end = time.monotonic() + _STEP_S
        if self._unlisted:
            while self._unlisted and time.monotonic() < end:
                self._list(self._unlisted.pop(), now, changed)
            return changed
        for folder in self._folders_to_check(now):
            self._check_folder(folder, now, changed)
        self._check_files(changed)
        return changed

    def _folders_to_check(self, now: float) -> list[_Folder]:
        hot = [
            folder
            for folder in self._folders.values()
            if folder.depth <= _ALWAYS_HOT_DEPTH or now - folder.changed_at < HOT_S
        ]
        others = list(islice(self._folder_rotation, _ROTATION_SIZE))
        if len(others) < _ROTATION_SIZE:
            self._folder_rotation = iter(list(self._folders.values()))
        # Too many hot folders to check them all in each step: the rotation covers them.
        return others if len(hot) > 4 * _ROTATION_SIZE else hot + others

    def _check_folder(self, folder: _Folder, now: float, changed: _ChangedFiles) -> None:
        try:
            mtime_ns = os.stat(folder.path).st_mtime_ns
        except OSError:
            folder.mtime_ns = -1
            if folder.depth:
                self._folders.pop(folder.path, None)
            return
        if mtime_ns != folder.mtime_ns:
            self._list(folder, now, changed)

    def _list(self, folder: _Folder, now: float, changed: _ChangedFiles) -> None:
        try:
            mtime_ns = os.stat(folder.path).st_mtime_ns
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    self._add_entry(entry, folder, changed)
        except OSError as error:
            logger.debug("cannot list %s: %s", folder.path, error)
            return
        if folder.mtime_ns != -1:
            folder.changed_at = now
        # A second change within one tick of the system clock would leave the same timestamp.
        settled = abs(time.time_ns() - mtime_ns) > _SETTLED_NS
        folder.mtime_ns = mtime_ns if settled else -2

    def _add_entry(self, entry: os.DirEntry[str], parent: _Folder, changed: _ChangedFiles) -> None:
        path, root = entry.path, parent.root
        if entry.is_dir(follow_symlinks=False):
            if path in self._folders or not self._has_room(self._folders, MAX_FOLDERS):
                return
            if root.only is not None and parent.depth == 1 and entry.name != root.only:
                return
            folder = self._folders[path] = _Folder(path, root, parent.depth + 1)
            self._unlisted.append(folder)
        elif path in self._files or not is_session_name(entry.name):
            return
        elif entry.is_file(follow_symlinks=False) and self._has_room(self._files, MAX_FILES):
            state = entry.stat(follow_symlinks=False)
            self._files[path] = state.st_mtime_ns, state.st_size
            if state.st_mtime >= self._since:
                changed.append((path, root))

    def _has_room(self, items: Sized, limit: int) -> bool:
        has_room = len(items) < limit
        if not has_room and not self._limit_logged:
            self._limit_logged = True
            logger.warning("more than %d session files or folders; ignoring the rest", limit)
        return has_room

    def _check_files(self, changed: _ChangedFiles) -> None:
        paths = list(islice(self._file_rotation, _ROTATION_SIZE))
        if len(paths) < _ROTATION_SIZE:
            self._file_rotation = iter(list(self._files))
        for path in paths:
            try:
                state = os.stat(path, follow_symlinks=False)
            except OSError:
                self._files.pop(path, None)
                continue
            stamp = state.st_mtime_ns, state.st_size
            if self._files.get(path) != stamp:
                self._files[path] = stamp
                root = next(root for root in self.roots if path.startswith(root.path + os.sep))
                changed.append((path, root))
