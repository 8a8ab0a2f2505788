"""The repository of a git worktree, whose agents work on the same project; imports little.

A worktree has a file ``.git`` that names the repository
(https://git-scm.com/docs/gitrepository-layout#Documentation/gitrepository-layout.txt-gitfile).
"""

from __future__ import annotations

import os
import re
import stat
from functools import lru_cache

MAX_GIT_FILE_BYTES = 4_096
_GIT_FILE = re.compile(r"gitdir: *(.+?)(?:[/\\]\.git|(?<=\w)\.git)[/\\]worktrees[/\\][^/\\\n]+\s*")


@lru_cache(maxsize=1024)
def repository_folder(folder: str) -> str:
    """Return the folder of the repository of which a folder is a worktree, else the folder itself.

    Call it where the agent runs: a path of another machine is a different folder here.

    Args:
        folder: full path of the top folder of the worktree.
    """
    path = os.path.join(folder, ".git")
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_GIT_FILE_BYTES:
            return folder
        with open(path, encoding="utf-8") as file:
            match = _GIT_FILE.fullmatch(file.read(MAX_GIT_FILE_BYTES))
    except (OSError, ValueError):
        # No repository, or none that can be read.
        return folder
    return folder if match is None else os.path.normpath(os.path.join(folder, match[1]))
