"""Find new and changed session files in the folders of the agents.

Only names and timestamps are read. A folder is listed again only after its own timestamp has
changed, and the files at rest are checked in rotation, so many past sessions cost next to nothing.

A symbolic link to a folder is followed where agents have their folders of projects or dates. Paths
are those without links, so that what two links lead to is found once.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence, Sized
from itertools import islice

from ..coding_agents.session import SessionRoot
from .files.session_names import compression_of, is_session_name, plain_path, why_unread
from .files.session_roots import is_below
from .files.skipped_files import SkippedFiles

logger = logging.getLogger(__name__)

MAX_FOLDERS = 50_000
MAX_FILES = 200_000
MAX_LINKED_FOLDERS = 1_000
"""Folders below a symbolic link that are read; one of a project has a few for each session."""
HOT_S = 600.0
"""Seconds after a change during which a folder is checked in each step."""
_ALWAYS_HOT_DEPTH = 1
_MAX_LINK_DEPTH = 2
"""Depth of the folders in which links are followed: those of Codex are ``YYYY/MM/DD``."""
_MAX_DEPTH = 40
_ROTATION_SIZE = 125
"""Files at rest, and folders at rest, that are checked in one step."""
_STEP_S = 0.02
_SETTLED_S = 2.0
"""Seconds after which another change is certain to change a folder's timestamp. They are counted
here, because the clock of a file system can differ."""
_OLD_NS = 2 * 86_400 * 1_000_000_000
"""Age in nanoseconds from which no clock makes a folder look that changed just now."""


class _LinkedTree:
    """The folders that are reached through one symbolic link."""

    __slots__ = ("link", "n_folders")

    def __init__(self, link: str) -> None:
        self.link = link
        self.n_folders = 0


class _Folder:
    """A folder, when its timestamp last changed, and its depth below the root.

    Attributes:
        mtime_ns: its timestamp, once all changes with it were seen; -1: it was not listed, -2: it
            is to be listed again.
        seen_ns, seen_at: its timestamp, and since when it has that, in monotonic seconds.
    """

    __slots__ = (
        *("changed_at", "depth", "mtime_ns", "path", "root", "seen_at", "seen_ns", "skipped"),
        "tree",
    )

    def __init__(
        self, path: str, root: SessionRoot, depth: int, tree: _LinkedTree | None = None
    ) -> None:
        self.path = path
        self.root = root
        self.depth = depth
        self.tree = tree
        self.mtime_ns = self.seen_ns = -1
        self.seen_at = 0.0
        self.changed_at = 0.0
        self.skipped: list[str] = []


_ChangedFiles = list[tuple[str, SessionRoot]]


class SessionScanner:
    """The files below the roots, as of the last step.

    Args:
        roots: the folders, searched to any depth.
        since: seconds since 1970; files last changed before it are reported once they change.
        skipped: where to add the files that look like sessions and are not reported; None: nowhere.
    """

    def __init__(
        self, roots: Sequence[SessionRoot], since: float, skipped: SkippedFiles | None = None
    ) -> None:
        self._skipped = skipped or SkippedFiles()
        self.roots = tuple(roots)
        self._since = since
        self._folders = {root.path: _Folder(root.path, root, 0) for root in roots}
        self._files: dict[str, tuple[int, int, SessionRoot]] = {}
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

    def root_at(self, folder: str) -> SessionRoot | None:
        """Return the root from which a folder was reached; None: it was not."""
        found = self._folders.get(folder)
        return None if found is None else found.root

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
        return others if len(hot) > 4 * _ROTATION_SIZE else list(dict.fromkeys(hot + others))

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
        for path in folder.skipped:
            self._skipped.remove(path)
        folder.skipped.clear()
        try:
            mtime_ns = os.stat(folder.path).st_mtime_ns
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    self._add_entry(entry, folder, changed)
        except FileNotFoundError:
            return
        except OSError as error:
            self._skip(folder.path, folder, f"cannot list it: {error.strerror or error}")
            return
        if folder.mtime_ns != -1:
            folder.changed_at = now
        # A second change within one tick of the file system's clock leaves the same timestamp.
        is_old = folder.seen_ns == -1 and abs(time.time_ns() - mtime_ns) > _OLD_NS
        if mtime_ns != folder.seen_ns:
            folder.seen_ns, folder.seen_at = mtime_ns, now
        is_settled = is_old or now - folder.seen_at > _SETTLED_S
        folder.mtime_ns = mtime_ns if is_settled else -2

    def _add_entry(self, entry: os.DirEntry[str], parent: _Folder, changed: _ChangedFiles) -> None:
        path, name = entry.path, entry.name
        if entry.is_dir(follow_symlinks=False):
            self._add_folder(path, name, parent, parent.tree)
        elif path in self._files:
            return
        elif entry.is_symlink():
            self._add_link(path, name, parent)
        elif not is_session_name(name):
            if (reason := why_unread(name)) is not None:
                self._skip(path, parent, reason)
        elif not entry.is_file(follow_symlinks=False):
            self._skip(path, parent, "it is not a regular file")
        elif compression_of(name) is not None and os.path.lexists(plain_path(path)):
            # Being compressed or unpacked just now: the plain file is complete.
            return
        elif self._has_room(self._files, MAX_FILES):
            state = entry.stat(follow_symlinks=False)
            self._files[path] = state.st_mtime_ns, state.st_size, parent.root
            if state.st_mtime >= self._since:
                changed.append((path, parent.root))

    def _add_folder(self, path: str, name: str, parent: _Folder, tree: _LinkedTree | None) -> None:
        root = parent.root
        if path in self._folders or not self._has_room(self._folders, MAX_FOLDERS):
            return
        if root.only is not None and parent.depth == 1 and name != root.only:
            return
        if tree is not None:
            tree.n_folders += 1
            if tree.n_folders > MAX_LINKED_FOLDERS or parent.depth >= _MAX_DEPTH:
                limit = f"more than {MAX_LINKED_FOLDERS:,} folders are below this link"
                self._skip(tree.link, parent, f"{limit}; the rest of them is not read")
                return
        folder = self._folders[path] = _Folder(path, root, parent.depth + 1, tree)
        self._unlisted.append(folder)

    def _add_link(self, path: str, name: str, parent: _Folder) -> None:
        """Follow a symbolic link to a folder; name one to a file, unless it is found anyway."""
        looks_like_session = is_session_name(name)
        if not looks_like_session and (parent.tree or parent.depth > _MAX_LINK_DEPTH):
            return
        try:
            real = os.path.realpath(path, strict=True)
            mode = os.stat(real).st_mode
        except OSError as error:
            if looks_like_session:
                self._skip(path, parent, f"a broken link: {error.strerror or error}")
            return
        is_inside = any(is_below(real, root.path) for root in self.roots)
        if not stat.S_ISDIR(mode):
            if looks_like_session and not (is_inside and stat.S_ISREG(mode)):
                self._skip(
                    path,
                    parent,
                    "a link to a file in another folder; link that folder instead"
                    if stat.S_ISREG(mode)
                    else "a link to something that is not a regular file",
                )
        elif any(is_below(root.path, real) for root in self.roots):
            self._skip(path, parent, f"a link to {real}, which contains the session files")
        elif parent.tree is None and parent.depth <= _MAX_LINK_DEPTH and not is_inside:
            self._add_folder(real, name, parent, _LinkedTree(path))

    def _skip(self, path: str, parent: _Folder, reason: str) -> None:
        parent.skipped.append(path)
        self._skipped.add(path, reason)

    def _has_room(self, items: Sized, limit: int) -> bool:
        has_room = len(items) < limit
        if not has_room and not self._limit_logged:
            self._limit_logged = True
            text = f"more than {limit:,} session files or folders; the rest is not read"
            self._skipped.add(self.roots[0].path, text)
            logger.warning("%s", text)
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
            known = self._files.get(path)
            if known is not None and known[:2] != (state.st_mtime_ns, state.st_size):
                self._files[path] = state.st_mtime_ns, state.st_size, known[2]
                changed.append((path, known[2]))


def subagents_last(files: list[tuple[str, SessionRoot]]) -> list[tuple[str, SessionRoot]]:
    """Return the files of subagents last and older files first, as ``find_sessions`` does."""

    def sort_key(file: tuple[str, SessionRoot]) -> tuple[bool, float]:
        try:
            return "subagents" in file[0].split(os.sep), os.stat(file[0]).st_mtime
        except OSError:
            return True, 0.0

    return sorted(files, key=sort_key)
