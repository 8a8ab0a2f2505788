"""The folders of session files: those of the agents, further ones, and those that hooks name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ...coding_agents.agent import CodingAgent
from ...coding_agents.registry import AGENTS
from ...coding_agents.session import SessionRoot
from ...core.validation import shorten
from ...errors import InvalidEvent
from .session_names import is_session_name, plain_path

FOLDERS_VARIABLE = "HTMLGRAPH_SESSION_FOLDER"
"""Environment variable with further folders, as ``parse_folders`` reads them."""
_MAX_LEVELS = 8
_SETTINGS_FILES = ("settings.json", "config.toml", "auth.json", ".credentials.json", ".claude.json")

SessionFolder = tuple[str, str]
"""Name of an agent and a further folder of it."""


def parse_folders(text: str) -> tuple[SessionFolder, ...]:
    """Return the folders in ``claude=PATH,codex=PATH``; ``~`` is expanded.

    Raises:
        ValueError: an agent is unknown, or a path is missing.
    """
    if not text.strip():
        return ()
    names = "|".join(map(re.escape, AGENTS))
    folders = []
    # A comma can be part of a path.
    for part in re.split(rf",(?=\s*(?:{names})=)", text):
        agent, _, path = part.strip().partition("=")
        if agent not in AGENTS or not path.strip():
            raise ValueError(f"expected AGENT=FOLDER with an AGENT of {', '.join(AGENTS)}")
        folders.append((agent, os.path.expanduser(path.strip())))
    return tuple(folders)


def folders_of_environ() -> tuple[SessionFolder, ...]:
    """Return the folders in FOLDERS_VARIABLE.

    Raises:
        InvalidEvent: it has another form.
    """
    text = os.environ.get(FOLDERS_VARIABLE, "")
    try:
        return parse_folders(text)
    except ValueError as error:
        raise InvalidEvent(f"{FOLDERS_VARIABLE}: {error}, got {shorten(text)}") from None


def default_roots(further: Iterable[SessionFolder] | None = None) -> list[SessionRoot]:
    """Return the folders in which this user's agents store sessions, existing or not.

    Args:
        further: folders beside those that the agents' own variables name: each like one of these,
            or a folder of session files. None: those in FOLDERS_VARIABLE.

    Raises:
        InvalidEvent: as ``folders_of_environ``.
    """
    roots = [root for agent in AGENTS.values() for root in agent.session_roots()]
    for name, path in folders_of_environ() if further is None else further:
        roots += roots_at(AGENTS[name], path)
    found: dict[str, SessionRoot] = {}
    for root in roots:
        real = os.path.realpath(root.path)
        if not any(is_below(real, other) for other in found):
            found = {path: other for path, other in found.items() if not is_below(path, real)}
            found[real] = root._replace(path=real)
    return list(found.values())


def status_folders(further: Iterable[SessionFolder] | None = None) -> dict[str, str]:
    """Return path → agent of the folders of status files, existing or not.

    Args:
        further: as for ``default_roots``.

    Raises:
        InvalidEvent: as ``default_roots``.
    """
    homes = [(agent, home) for agent in AGENTS.values() for home in agent.homes()]
    for name, path in folders_of_environ() if further is None else further:
        homes.append((AGENTS[name], _home_in(AGENTS[name], path)))
    folders = ((agent.status_dir(home), agent.name) for agent, home in homes)
    return {os.path.realpath(folder): agent for folder, agent in folders if folder is not None}


def own_folders(agent: str | None = None) -> dict[str, str]:
    """Return path → agent of the existing folders in which this user's agents store sessions.

    Args:
        agent: only those of this agent; None: of all.

    Raises:
        InvalidEvent: as ``default_roots``.
    """
    roots = [root for root in default_roots() if agent in (None, root.agent)]
    found = {root.path: root.agent for root in roots if os.path.isdir(root.path)}
    for name, folder in database_folders():
        if agent in (None, name) and any(map(os.path.exists, _databases(name, folder))):
            found[os.path.realpath(folder)] = name
    return found


def database_folders(further: Iterable[SessionFolder] | None = None) -> list[SessionFolder]:
    """Return the folders in which this user's agents have a session database, existing or not.

    Args:
        further: as for ``default_roots``; a path can be that of a database.

    Raises:
        InvalidEvent: as ``default_roots``.
    """
    named = folders_of_environ() if further is None else further
    own = [(agent.name, home) for agent in AGENTS.values() for home in agent.homes()]
    return [(name, path) for name, path in (*own, *named) if AGENTS[name].has_databases]


def _databases(agent: str, path: str) -> list[str]:
    return AGENTS[agent].session_databases(path) if os.path.isdir(path) else [path]


def folder_names(agent: str | None = None) -> str:
    """Return the names of the folders of ``own_folders``, also of those that do not exist."""
    roots = [root for each in AGENTS.values() for root in each.session_roots()]
    folders = [(root.agent, root.path) for root in roots] + database_folders(())
    return ", ".join(path for name, path in folders if agent in (None, name))


def roots_at(agent: CodingAgent, path: str) -> list[SessionRoot]:
    """Return the folders of session files that a user means by a folder of an agent."""
    path = _home_in(agent, path)
    roots = agent.roots_in(path)
    name = os.path.basename(os.path.normpath(path))
    for root in roots:
        if name == os.path.basename(root.path):
            return [root._replace(path=path)]
    files = (os.path.join(path, file) for file in _SETTINGS_FILES)
    is_home = any(os.path.isdir(root.path) for root in roots) or any(map(os.path.isfile, files))
    return roots if is_home or not os.path.isdir(path) else [SessionRoot(agent.name, path)]


def _home_in(agent: CodingAgent, path: str) -> str:
    """Return the folder of an agent if a user names the home folder that contains it."""
    below = os.path.join(path, agent.folder)
    return below if agent.folder and os.path.isdir(below) else path


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is that of a folder, or of something in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class NamedFile(NamedTuple):
    """A session file that a hook names.

    Attributes:
        path: without symbolic links.
        agent: name of the agent.
        home: the folder of the agent if it is none of the followed ones; else None.
    """

    path: str
    agent: str
    home: str | None = None


FindRoot = Callable[[str], SessionRoot | None]
"""Returns the root from which a folder was reached, possibly through a link; None: it was not."""


def named_file(
    path: str, agent: str, roots: Sequence[SessionRoot], find_root: FindRoot | None = None
) -> NamedFile:
    """Return the session file at a path that a hook reported, or say why it is not read.

    It must be a regular file of this user, in one of the roots, in a folder that a link in a root
    leads to, or at a path as the agent's own. Reading it checks again that it is a regular file.

    Args:
        path: an untrusted path.
        agent: name of the agent whose hook it was; "": unknown.
        roots: the followed folders, without symbolic links.
        find_root: further followed folders.

    Raises:
        ValueError: the file is not read; the message says why.
    """
    real = _real_path(path)
    if not is_session_name(os.path.basename(real)):
        raise ValueError("its name is not that of a session file")
    try:
        state = os.lstat(real)
    except FileNotFoundError:
        raise ValueError("it does not exist on this machine") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is not a regular file")
    root = next((root for root in roots if is_below(real, root.path)), None)
    if root is not None:
        return NamedFile(real, root.agent)
    if hasattr(os, "geteuid") and state.st_uid != os.geteuid():
        raise ValueError("it belongs to another user and is in none of the agents' folders")
    root = _linked_root(path, roots) or _found_root(os.path.dirname(real), find_root)
    if root is not None:
        return NamedFile(real, root.agent)
    home = _home_of(real, agent)
    if home is None:
        label = AGENTS[agent].label if agent in AGENTS else "an agent"
        raise ValueError(
            f"it is in none of the agents' folders, and its path is not one of {label}; to read "
            f"it, set --session-folder {agent or 'AGENT'}=FOLDER"
        )
    return NamedFile(real, agent, home)


def _real_path(path: str) -> str:
    try:
        # A lone surrogate has no file name.
        os.fsencode(path)
        if os.path.isabs(path) and "\0" not in path:
            return os.path.realpath(path)
    except (UnicodeError, ValueError, OSError):
        pass
    raise ValueError("it is not an absolute path on this machine")


def _linked_root(path: str, roots: Sequence[SessionRoot]) -> SessionRoot | None:
    """Return the root in which a folder above the file is a symbolic link."""
    if os.pardir in path.split(os.sep) or os.path.islink(path):
        return None
    folder = os.path.dirname(path)
    for _ in range(_MAX_LEVELS):
        if os.path.islink(folder):
            parent = os.path.realpath(os.path.dirname(folder))
            return next((root for root in roots if is_below(parent, root.path)), None)
        folder = os.path.dirname(folder)
    return None


def _found_root(folder: str, find_root: FindRoot | None) -> SessionRoot | None:
    for _ in range(_MAX_LEVELS if find_root is not None else 0):
        if find_root is not None and (root := find_root(folder)) is not None:
            return root
        folder = os.path.dirname(folder)
    return None


def _home_of(path: str, agent: str) -> str | None:
    """Return the folder of an agent in which a file is where the agent would write it."""
    if agent not in AGENTS or not AGENTS[agent].session_pattern:
        return None
    pattern = rf"(.*)/{AGENTS[agent].session_pattern}"
    match = re.fullmatch(pattern, plain_path(path).replace(os.sep, "/"))
    return path[: match.end(1)] if match else None
