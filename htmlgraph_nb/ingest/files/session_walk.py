"""List the files below a folder that look like sessions, through symbolic links, each once."""

from __future__ import annotations

import contextlib
import os
import stat

from .session_names import compression_of, is_session_name, plain_path, why_unread
from .session_roots import is_below

MAX_LINKED = 10_000
"""Folders below one symbolic link that are read."""
MAX_DEPTH = 100

_FileId = tuple[int, int] | str


def walk_sessions(root: str, skipped: dict[str, str]) -> list[str]:
    """Return the paths of the files below a folder whose names are those of sessions.

    A path ends in a file that is no symbolic link. A compressed file beside its plain one is left
    out.

    Args:
        root: a folder, or one file of any name.
        skipped: path → reason, to which the files that look like sessions and are not returned are
            added.
    """
    if not os.path.isdir(root):
        return [_target(root)]
    walk = _Walk(root, skipped)
    walk.read(root, 0, None)
    # What is reached without a link keeps its path.
    while walk.links:
        link, real = walk.links.pop(0)
        walk.n_linked = 0
        walk.read(real, 0, link)
    found = {*walk.files.values()}
    return [
        path
        for path in walk.files.values()
        if compression_of(path) is None or plain_path(path) not in found
    ]


def _target(path: str) -> str:
    return os.path.realpath(path) if os.path.islink(path) else path


def _file_id(path: str, state: os.stat_result) -> _FileId:
    # Listing a folder on Windows returns no inode.
    return (state.st_dev, state.st_ino) if state.st_ino else path


class _Walk:
    """The files and links that were found so far."""

    def __init__(self, root: str, skipped: dict[str, str]) -> None:
        self.files: dict[_FileId, str] = {}
        self.links: list[tuple[str, str]] = []
        self.n_linked = 0
        self._root = os.path.realpath(root)
        self._skipped = skipped
        self._folders: set[_FileId] = set()

    def read(self, folder: str, depth: int, link: str | None) -> None:
        """Read a folder and those below it.

        Args:
            link: the symbolic link that led to it; None: there was none.
        """
        folders = [(folder, depth)]
        while folders:
            path, depth = folders.pop()
            try:
                state = os.stat(path)
                if _file_id(path, state) in self._folders:
                    continue
                self._folders.add(_file_id(path, state))
                if link is not None:
                    self.n_linked += 1
                    if self.n_linked > MAX_LINKED:
                        self._skipped[link] = (
                            f"more than {MAX_LINKED:,} folders are below this link; the rest of "
                            "them is not read"
                        )
                        return
                with os.scandir(path) as entries:
                    below = [name for entry in entries if (name := self._add(entry, link))]
            except OSError as error:
                self._skipped[path] = f"cannot list it: {error.strerror or error}"
                continue
            if depth < MAX_DEPTH:
                folders += [(each, depth + 1) for each in below]
            elif below:
                self._skipped[path] = f"its folders are more than {MAX_DEPTH} levels deep"

    def _add(self, entry: os.DirEntry[str], link: str | None) -> str | None:
        """Add a file or link; return the path of a folder."""
        if entry.is_dir(follow_symlinks=False):
            return entry.path
        if entry.is_symlink():
            self._add_link(entry.path, entry.name, link)
        elif is_session_name(entry.name):
            # Deleted meanwhile, it is no session any more.
            with contextlib.suppress(FileNotFoundError):
                self._add_file(entry.path, entry.path, entry.stat(follow_symlinks=False))
        elif (reason := why_unread(entry.name)) is not None:
            self._skipped[entry.path] = reason
        return None

    def _add_file(self, path: str, shown: str, state: os.stat_result) -> None:
        if stat.S_ISREG(state.st_mode):
            self.files.setdefault(_file_id(path, state), path)
        else:
            self._skipped[shown] = "it is not a regular file"

    def _add_link(self, path: str, name: str, link: str | None) -> None:
        try:
            real = os.path.realpath(path, strict=True)
            state = os.stat(real)
        except OSError as error:
            if is_session_name(name):
                self._skipped[path] = f"a broken link: {error.strerror or error}"
            return
        if stat.S_ISDIR(state.st_mode):
            if is_below(self._root, real):
                self._skipped[path] = f"a link to {real}, which contains this folder"
            elif link is None:
                self.links.append((path, real))
        elif is_session_name(name):
            self._add_file(real, path, state)
