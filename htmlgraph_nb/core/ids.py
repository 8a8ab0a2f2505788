"""Ids of agents and events that every source derives in the same way; names of projects, sources.

A project is stored under the name of its folder, such as ``api``. Two folders of that name are two
projects: the folder above tells them apart, so they are shown as ``acme/api`` and ``beta/api``
where both occur. A project is the same on all machines and for all accounts if its path is, without
the home folder.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from .validation import MAX_ID_CHARS

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)
_HEX = re.compile(r"[0-9a-f]{12,}", re.I)
_ISSUED = re.compile(r"(?:msg|req|toolu)_(?:bdrk_|vrtx_)?([0-9A-Za-z]{20,})")
"""Ids of Anthropic's API, also on Amazon Bedrock and Google's Vertex AI."""
CALL_STEPS = ("PreToolUse", "PostToolUse", "PermissionDenied")
"""Steps of a tool call: its start, its end (success or failure), and a denial."""
_MICROS_DIGITS = 16
_PREFIX_CHARS = 8
_MIN_DISTINCT_CHARS = 6
_DIGEST_CHARS = 16
_MAX_ANCESTORS = 64

Place = tuple[str, str | None]
"""The name of a project, and its folder; None: unknown."""
_HOME = re.compile(
    r"^(?:/mnt/[a-z]|[A-Za-z]:|//wsl(?:\$|\.localhost)/[^/]+)?/(?:var/)?(?:home|[Uu]sers)/[^/]+(?=/|$)"
    r"|^/root(?=/|$)"
)
_SEPARATORS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"^[A-Za-z]:")
# Agents and containers put any repository there, so these folders do not tell projects apart.
_SHARED = re.compile(r"^~/(?:\.codex|\.cursor)/worktrees/|^~/conductor/workspaces/|^/workspaces?/")
_WORKTREE = re.compile(
    r"/([^/]+)/\.(?:claude/)?worktrees/([^/]+)(?=/|$)"
    r"|/(?:\.cursor/worktrees|conductor/workspaces)/([^/]+)/([^/]+)(?=/|$)"
)


def shorten_id(identifier: str, limit: int = MAX_ID_CHARS) -> str:
    """Return ``identifier``, replacing the end of one that is too long with a hash of it.

    Args:
        limit: maximum number of characters of the result.
    """
    if len(identifier) <= limit:
        return identifier
    digest = sha256(identifier.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{identifier[: limit - _DIGEST_CHARS - 1]}-{digest}"


def agent_id_of(identifier: str, agent: str) -> str:
    """Return the agent id derived from the identifier of a session or subagent.

    A random identifier (a UUID version 4, or at least 12 hexadecimal digits) is cut to its first 8
    characters, unless these have fewer than four distinct characters (``00000000-…``). Any other
    identifier (``session-1``, ``agent-abc123``, a time-ordered UUID) may share its first characters
    with others, so it is kept whole.

    Args:
        agent: name of the kind of agent, the prefix of the id.
    """
    random = _UUID4.fullmatch(identifier) or _HEX.fullmatch(identifier)
    if random and len(set(identifier[:_PREFIX_CHARS].lower())) > 3:
        return f"{agent}-{identifier[:_PREFIX_CHARS]}"
    return f"{agent}-{shorten_id(identifier, MAX_ID_CHARS - len(agent) - 1)}"


def is_issued_id(identifier: str) -> bool:
    """Return whether Anthropic's API issued the id of an answer, request or tool call.

    Such ids are globally unique. Gateways, relays and other models repeat theirs (``Bash:0``,
    ``msg_proxy_stream``), so they identify nothing outside of their session.
    """
    match = _ISSUED.fullmatch(identifier)
    return match is not None and len(set(match[1])) >= _MIN_DISTINCT_CHARS


def call_key(session: str, call: str, step: str, child: str | None = None) -> str:
    """Return the event id of a step of a tool call; every source of the event derives the same id.

    A source that knows an earlier call with the same id in the session adds when the call started;
    see ``repeated_call``. For all others the store decides which of the calls it is.

    A forked session repeats the calls of the original under its own session id, so the session is
    not part of the key if the id of the call is globally unique.

    Args:
        call: id of the call.
        step: one of CALL_STEPS.
        child: id of the subagent that made the call; None: the main agent, or unknown.
    """
    if is_issued_id(call.partition("@")[0]):
        return shorten_id(f"{call}:{step}")
    plain = _plain_call(call)
    owner = "" if child is None else f"~{child}"
    return shorten_id(f"{session}:{plain}{owner}{call[len(plain) :]}:{step}")


def repeated_call(call: str, started_us: int) -> str:
    """Return the name of a call whose id an earlier call of the session had.

    Args:
        started_us: when it started, microseconds since 1970.
    """
    return f"{call}@{started_us:0{_MICROS_DIGITS}}"


class CallName(NamedTuple):
    """A call in an event id.

    Attributes:
        plain: session, id of the call and subagent.
        name: the same, and when the call started if an earlier one had the same id.
        step: one of CALL_STEPS.
    """

    plain: str
    name: str
    step: str


def call_name(event_id: str) -> CallName | None:
    """Return the call in an event id that ``call_key`` has made; None: it is another event id."""
    name, _, step = event_id.rpartition(":")
    if step not in CALL_STEPS or not name:
        return None
    return CallName(_plain_call(name), name, step)


def _plain_call(name: str) -> str:
    """Return the name of a call without the time that ``repeated_call`` has added."""
    plain, at, time = name.rpartition("@")
    is_repeated = at != "" and len(time) == _MICROS_DIGITS and time.isdecimal()
    return plain if is_repeated else name


def topmost_ancestor(
    agent_id: str, parent: str | None, parent_of: Callable[[str], str | None]
) -> str:
    """Return the id of the topmost known ancestor of an agent; without a parent its own id.

    An agent whose ancestors form a loop is its own ancestor. At most 64 levels are followed.

    Args:
        parent: id of its parent; None: it has none.
        parent_of: returns the id of the parent of another agent; None: it has none, or is unknown.
    """
    known = {agent_id}
    topmost = agent_id
    while parent is not None and len(known) <= _MAX_ANCESTORS:
        if parent in known:
            return agent_id
        known.add(parent)
        topmost, parent = parent, parent_of(parent)
    return topmost


def _slashes(path: str) -> str:
    is_windows = "\\" in path and (not path.startswith("/") or path.startswith("//"))
    return path.replace("\\", "/") if is_windows else path


def repository_name(name: str, cwd: str) -> str:
    """Return the name of a repository if ``name`` is that of a worktree of it, else ``name``.

    It knows the folders in which coding agents create worktrees, inside the repository (such as
    ``api/.claude/worktrees/fix``) or in the user's home.

    Args:
        cwd: the working folder.
    """
    for match in _WORKTREE.finditer(_slashes(cwd)):
        repository, worktree = match[1] or match[3], match[2] or match[4]
        if worktree == name:
            return repository
    return name


@lru_cache(maxsize=8192)
def project_folder(project: str, cwd: str) -> str | None:
    """Return the folder of a project with slashes and ``~`` for the home folder.

    Args:
        cwd: the working folder, which is the project's folder or below it.

    Returns:
        None if the working folder does not tell it.
    """
    path = _HOME.sub("~", _slashes(cwd).rstrip("/"))
    if _SHARED.match(path):
        return None
    parts = _DRIVE.sub(lambda drive: drive[0].upper(), path).split("/")
    return "/".join(parts[: parts.index(project) + 1]) if project in parts[1:] else None


def project_labels(places: Iterable[Place]) -> dict[Place, str]:
    """Return what the projects of a set are called: as short as it tells them apart.

    A project whose folder is unknown keeps its name.
    """
    folders: defaultdict[str, set[str]] = defaultdict(set)
    places = list(places)
    for name, folder in places:
        if folder is not None:
            folders[name].add(folder)
    ends: dict[str, Counter[str]] = {
        name: Counter(end for folder in group for end in _ends(folder))
        for name, group in folders.items()
        if len(group) > 1
    }
    return {
        (name, folder): name
        if folder is None or name not in ends
        else next((end for end in _ends(folder) if ends[name][end] == 1), folder)
        for name, folder in places
    }


def share_names(names: Iterable[str], folders: Iterable[str]) -> bool:
    """Return whether two of these working folders can be in different projects of one name."""
    known, places = set(names), dict[str, str]()
    for folder in folders:
        for name in known.intersection(_SEPARATORS.split(folder)):
            place = project_folder(name, folder)
            if place is not None and places.setdefault(name, place) != place:
                return True
    return False


def _ends(folder: str) -> list[str]:
    """Return the last two and more parts of a folder, the shortest first."""
    parts = folder.split("/")
    return ["/".join(parts[-n:]) for n in range(2, len(parts) + 1)]


def is_in_project(wanted: str, project: str | None, cwd: str | None) -> bool:
    """Return whether a name selects a project: its own, or with folders above, as ``acme/api``."""
    if project is None or wanted == project:
        return wanted == project
    if cwd is None or not wanted.endswith(f"/{project}"):
        return False
    folder = project_folder(project, cwd)
    return folder is not None and (folder == wanted or folder.endswith(f"/{wanted}"))


def agent_kind_of(source: str | None) -> str | None:
    """Return the kind of agent in a source such as "claude-hook"; None if it has none."""
    return parse_source(source)[0]


def report_form(source: str | None) -> str:
    """Return "hook" or "session" for a source such as "claude-hook"; "" for any other."""
    return parse_source(source)[1]


@lru_cache(maxsize=256)
def parse_source(source: str | None) -> tuple[str | None, str]:
    """Return the kind of agent and "hook" or "session"; (None, "") for any other source."""
    kind, _, form = (source or "").rpartition("-")
    return (kind, form) if kind and form in ("hook", "session") else (None, "")
