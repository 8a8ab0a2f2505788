"""What a hook input says about the agent's session files and process, pure.

The values are unverified: check that a file is a session file and that a process runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.ids import agent_id_of, shorten_id
from ..core.validation import MAX_INTEGER, parse_time
from ..errors import InvalidEvent
from .agent import CodingAgent
from .fields import mapping, string

_MAX_PATH_CHARS = 4_096
_MAX_ANCESTORS = 6
_MAX_TIME_S = 7_258_118_400.0
"""The year 2200."""


Ancestor = tuple[int, float | None, int | None]
"""Id of a process, its start time, and its start in clock ticks since boot."""


class HookHints(NamedTuple):
    """Session files and processes that a hook input names.

    Attributes:
        agent_id, session_id: those of the main agent, even if a subagent ran the hook.
        host: the machine that ran the hook; None if unknown.
        files: paths of session files with new lines.
        ended: whether the session is over.
        ancestors: ids of the hook's ancestor processes, the parent first, and their start times in
            seconds since 1970 and in clock ticks since boot; None if unknown.
        agent: name of the kind of agent; "": unknown.
        at: when the hook ran, in seconds since 1970; None if unknown.
    """

    agent_id: str
    session_id: str
    host: str | None
    files: tuple[str, ...]
    ended: bool
    ancestors: tuple[Ancestor, ...]
    agent: str = ""
    at: float | None = None


def hook_hints_of(agent: CodingAgent, payload: Mapping[str, Any]) -> HookHints | None:
    """Return the files and processes that a hook input names; None if it names none."""
    session = string(payload.get("session_id"), None)
    if session is None:
        return None
    added = mapping(payload.get("htmlgraph"))
    hook = payload.get("hook_event_name")
    files: tuple[str, ...] = ()
    if hook in agent.hooks_after_write:
        paths = (payload.get("agent_transcript_path"), payload.get("transcript_path"))
        files = tuple(
            path for path in paths if isinstance(path, str) and 0 < len(path) <= _MAX_PATH_CHARS
        )
    ancestors = _ancestors(added.get("ancestors"))
    if not files and not ancestors:
        return None
    session = shorten_id(session)
    agent_id = string(added.get("agent_id")) or agent_id_of(session, agent.name)
    host = string(added.get("host"))
    at = _time(added.get("timestamp")) if ancestors else None
    ended = hook == "SessionEnd"
    return HookHints(agent_id, session, host, files, ended, ancestors, agent.name, at)


def _time(value: object) -> float | None:
    try:
        at = parse_time(value, "timestamp")
    except InvalidEvent:
        # Any program can send a hook input; the time is optional.
        return None
    return None if at is None else at.timestamp()


def _ancestors(value: object) -> tuple[Ancestor, ...]:
    """Parse ``[[pid, start_time, ticks], …]``, ticks optional; invalid items are skipped."""
    if not isinstance(value, list):
        return ()
    ancestors: list[Ancestor] = []
    for item in value[:_MAX_ANCESTORS]:
        if not isinstance(item, list) or len(item) not in (2, 3) or type(item[0]) is not int:
            continue
        pid, start_time, ticks = (*item, None)[:3]
        if 1 < pid < 2**31 and (start_time is None or _is_time(start_time)):
            is_count = type(ticks) is int and 0 <= ticks <= MAX_INTEGER
            started_at = None if start_time is None else float(start_time)
            ancestors.append((pid, started_at, ticks if is_count else None))
    return tuple(ancestors)


def _is_time(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < _MAX_TIME_S  # type: ignore[operator]
