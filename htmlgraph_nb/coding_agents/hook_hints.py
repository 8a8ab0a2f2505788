"""What a hook's input says of the agent's file and process, pure.

Claims of whoever sent it: who uses them checks that the file is a session's and the process alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.ids import agent_id_of, shorten_id
from .agent import CodingAgent
from .fields import mapping, string

_MAX_PATH_CHARS = 4_096
_MAX_ANCESTORS = 6
_LAST_S = 7_258_118_400.0


class HookHints(NamedTuple):
    """What a hook's input points at.

    Attributes:
        agent_id, session_id: whose hook it is; the main agent's also where a subagent's hook fired.
        host: the machine on which the hook ran; None: not told.
        files: session files with something new to read; ``ended``: the session is over.
        ancestors: process ids above the hook, the nearest first, and when each began, seconds since
            1970; None: not told.
    """

    agent_id: str
    session_id: str
    host: str | None
    files: tuple[str, ...]
    ended: bool
    ancestors: tuple[tuple[int, float | None], ...]


def hook_hints_of(agent: CodingAgent, payload: Mapping[str, Any]) -> HookHints | None:
    """Return what the input of a hook of this kind of agent points at; None: at nothing."""
    session = string(payload.get("session_id"), None)
    if session is None:
        return None
    added = mapping(payload.get("htmlgraph"))
    hook = payload.get("hook_event_name")
    files: tuple[str, ...] = ()
    if hook in agent.hooks_after_write:
        named = (payload.get("agent_transcript_path"), payload.get("transcript_path"))
        files = tuple(
            path for path in named if isinstance(path, str) and 0 < len(path) <= _MAX_PATH_CHARS
        )
    ancestors = _ancestors(added.get("ancestors"))
    if not files and not ancestors:
        return None
    session = shorten_id(session)
    name = string(added.get("agent_id")) or agent_id_of(session, agent.name)
    host = string(added.get("host"))
    return HookHints(name, session, host, files, hook == "SessionEnd", ancestors)


def _ancestors(value: object) -> tuple[tuple[int, float | None], ...]:
    """Read ``[[pid, began], …]``; what does not fit is left out."""
    if not isinstance(value, list):
        return ()
    found = []
    for item in value[:_MAX_ANCESTORS]:
        if not isinstance(item, list) or len(item) != 2 or type(item[0]) is not int:
            continue
        pid, began = item
        if 1 < pid < 2**31 and (began is None or _is_time(began)):
            found.append((pid, None if began is None else float(began)))
    return tuple(found)


def _is_time(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < _LAST_S  # type: ignore[operator]
