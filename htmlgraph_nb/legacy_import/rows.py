"""Rows of the older HtmlGraph project's database to Events, pure.

Source of the format: htmlgraph/db/ddl.py and the code that writes the tables, of the package
htmlgraph 0.33.96 on PyPI, and the smaller tables that its ``init`` made before (operations/
initialization.py). A row is a mapping of its columns; one that is missing counts as NULL.

What that project writes is taken for what it is:

- Every session of one program has the same agent there (``claude-code``). Here each is an agent of
  its own, with the id that the program's own hooks give it; other names stay as they are.
- Prompts, ends of turns and notices are rows of tools there (``UserQuery``, ``Stop`` …), and count
  as tools; here they do not.
- Its own bookkeeping (``SDK.create`` …) carries made-up token counts, which are left out.
- A migration has turned ids of models into display names, each kind into one of its versions
  (``Opus 4.6``). They get the ids of that version back, which may not be the one that was used.
- Times are UTC where SQLite or its hooks wrote them (``2025-01-14 14:50:30``) and local time where
  Python's ``isoformat`` did (``2025-01-14T09:50:30``): in agent_presence, and here and there in
  features.
- Agents do not become idle by themselves there. Here the clock decides, as for any other agent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..coding_agents.fields import (
    amount,
    count,
    identifier,
    moment,
    safe_keyword,
    text,
    without_none,
)
from ..coding_agents.registry import AGENTS, DEFAULT_AGENT
from ..core.ids import agent_id_of, call_key, shorten_id
from ..core.model import Event
from ..core.validation import format_value
from ..errors import InvalidEvent

LEGACY_SOURCE = "htmlgraph"
LegacyRow = Mapping[str, Any]

_PROGRAMS = {
    **{name: agent.name for agent in AGENTS.values() for name in (agent.name, *agent.aliases)},
    **dict.fromkeys(("user", "system", "orchestrator-hook"), DEFAULT_AGENT.name),
}
"""Names that all sessions of a program share."""
_WHOEVER = frozenset({"user", "system"})
"""Names in rows about a prompt, or of a program that was not known yet."""
_MODELS = {
    "opus 4.6": "claude-opus-4-6",
    "sonnet 4.5": "claude-sonnet-4-5",
    "haiku 4.5": "claude-haiku-4-5",
}
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_CALL_PREFIXES = ("toolu_", "call_")

_TOOL_TYPES = frozenset({"tool_call", "tool_result"})
_NOTICES = {
    "UserQuery": "prompt",
    "Stop": "stop",
    "SessionStart": "session_start",
    "SessionResume": "session_start",
    "SessionEnd": "session_end",
    "PermissionRequest": "permission_request",
    "PreCompact": "activity",
    "TaskCompleted": "subagent_stop",
    # They tell of other agents, or of nothing that an agent did.
    "InstructionsLoaded": None,
    "TeammateIdle": None,
}
"""Tools of that project that are none → event type; None: no event."""
_TYPES = {
    **dict.fromkeys(("delegation", "task_delegation"), "subagent_start"),
    "task_completed": "subagent_stop",
    "teammate_idle": None,
    "user_query": "prompt",
    "completion": "completion",
    "start": "session_start",
    "end": "session_end",
}
_OPEN = frozenset({"started", "running", "pending"})
_FAILED = frozenset({"failed", "error"})


def legacy_agent_id(name: object, session: str | None) -> str:
    """Return the agent id for a name of that project in a session."""
    known = text(name) or DEFAULT_AGENT.aliases[0]
    program = _PROGRAMS.get(known.lower())
    return agent_id_of(session, program) if program is not None and session else known


def is_unfinished(row: LegacyRow) -> bool:
    """Return whether a row of agent_events will be written again, as its call is not over."""
    return str(row.get("status")) in _OPEN


def events_from_row(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return what a row of agent_events is evidence for: none, one, or two events.

    Two where a delegation is over: its begin and its end.

    Args:
        row: its columns, and ``agent_assigned``, ``session_model`` and ``parent_session_id`` of
            its session.
        project: the project's name.

    Raises:
        InvalidEvent: the row has no id, no session or no time; ``field`` names it.
    """
    key, session, at = (
        required_id(row, "event_id"),
        required_id(row, "session_id"),
        required_time(row, "timestamp"),
    )
    kind = _kind(row)
    if kind is None:
        return []
    name = row.get("agent_id")
    if not isinstance(name, str) or name in _WHOEVER:
        name = row.get("agent_assigned") or name
    agent_id = legacy_agent_id(name, session)
    common = {
        "agent_id": agent_id,
        "session_id": session,
        "feature_id": identifier(row.get("feature_id")),
        "model": _model(row.get("model")) or _model(row.get("session_model")),
        "parent_agent_id": _parent(row, agent_id),
        "project": project,
        "source": LEGACY_SOURCE,
    }
    return [
        Event(**{**common, "event_type": kind, "timestamp": at, **fields})
        for fields in _fields(row, kind, shorten_id(f"{session}:{key}"))
    ]


def _kind(row: LegacyRow) -> str | None:
    """Return the event type of a row; None: it proves nothing."""
    name, kind = row.get("tool_name"), row.get("event_type")
    if isinstance(name, str) and name in _NOTICES:
        return _NOTICES[name]
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    if isinstance(name, str) and name.startswith(("SDK.", "HeadlessSpawner.")):
        return "activity"
    failed = str(row.get("status")) in _FAILED or _told(row).get("is_error") is True
    if kind == "error" or row.get("success") == 0 or failed:
        return "tool_error" if name else "error"
    if isinstance(kind, str) and kind not in _TOOL_TYPES:
        return "activity"
    return "tool_start" if is_unfinished(row) else "tool_execute"


def _fields(row: LegacyRow, kind: str, key: str) -> list[dict[str, Any]]:
    """Return what the events of a row have beside what they have in common."""
    if kind in ("tool_start", "tool_execute", "tool_error"):
        return [_tool(row, kind, key)]
    if kind == "subagent_start":
        about = without_none(agent_type=text(row.get("subagent_type"), 128))
        begin = {"tool_use_id": key, "event_id": key, "extra": about}
        if is_unfinished(row):
            return [begin]
        over = {"event_type": "subagent_stop", "timestamp": _end(row), "event_id": f"{key}:stop"}
        return [begin, {**begin, **over}]
    if kind == "subagent_stop":
        started = identifier(row.get("parent_event_id"))
        call = shorten_id(f"{row['session_id']}:{started}") if started else key
        return [{"tool_use_id": call, "event_id": f"{call}:stop"}]
    if kind == "permission_request":
        return [{"tool_name": text(_told(row).get("requested_tool")), "event_id": key}]
    if kind == "completion":
        return [{"cost_tokens": count(row.get("cost_tokens")) or None, "event_id": key}]
    about = (
        without_none(activity=safe_keyword(row.get("tool_name"))) if kind == "activity" else None
    )
    return [{"event_id": key, "extra": about}]


def _tool(row: LegacyRow, kind: str, key: str) -> dict[str, Any]:
    seconds = amount(row.get("execution_duration_seconds"))
    call = identifier(row.get("claude_task_id"))
    found = {
        "tool_name": text(row.get("tool_name")),
        "tool_use_id": key,
        "duration_ms": count(round(seconds * 1_000)) if seconds else None,
    }
    if kind == "tool_start":
        return {**found, "event_id": f"{key}:start"}
    failed = kind == "tool_error"
    if call is not None and call.startswith(_CALL_PREFIXES):
        # As hooks and session files name the same call.
        key = call_key(str(row["session_id"]), call, "PostToolUse")
        found["tool_use_id"] = call
    return {
        **found,
        "event_id": key,
        "status": "error" if failed else "ok",
        "cost_tokens": count(row.get("cost_tokens")) or None,
    }


def _end(row: LegacyRow) -> datetime:
    """Return when the delegation of a row was over: it is written then again, to the second."""
    begun = required_time(row, "timestamp")
    written = parse_legacy_time(row.get("updated_at")) if row.get("status") == "completed" else None
    return max(begun, written) if written is not None else begun


def _parent(row: LegacyRow, agent_id: str) -> str | None:
    session = identifier(row.get("parent_session_id"))
    name = row.get("parent_agent_id")
    if name is None and session is None:
        return None
    found = legacy_agent_id(name, session or identifier(row.get("session_id")))
    return None if found == agent_id else found


def _told(row: LegacyRow) -> Mapping[str, Any]:
    try:
        context = json.loads(row.get("context") or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return context if isinstance(context, dict) else {}


def events_from_session(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return the begin of a session and, where it is told, its end.

    Raises:
        InvalidEvent: the row has no session_id.
    """
    session = required_id(row, "session_id")
    agent_id = legacy_agent_id(row.get("agent_assigned") or row.get("agent"), session)
    begun = parse_legacy_time(row.get("started_at")) or parse_legacy_time(row.get("created_at"))
    ended = parse_legacy_time(row.get("completed_at")) or parse_legacy_time(row.get("ended_at"))
    common: dict[str, Any] = {
        "agent_id": agent_id,
        "session_id": session,
        "parent_agent_id": _parent({**row, "parent_agent_id": None}, agent_id),
        "project": project,
        "model": _model(row.get("model")),
        "feature_id": identifier(row.get("active_feature_id")),
        "source": LEGACY_SOURCE,
    }
    return [
        Event(**common, event_type=kind, timestamp=at, event_id=shorten_id(f"{session}:{kind}"))
        for kind, at in (("session_start", begun), ("session_end", ended))
        if at is not None
    ]


def events_from_presence(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return the last sign of an agent, and that somebody marked it as offline.

    The totals of the row are left out: they count each notice as a tool.

    Raises:
        InvalidEvent: the row has no agent_id or no time.
    """
    session = identifier(row.get("session_id"))
    agent_id = legacy_agent_id(required_id(row, "agent_id"), session)
    at = required_time(row, "last_activity")
    common: dict[str, Any] = {
        "agent_id": agent_id,
        "session_id": session,
        "feature_id": identifier(row.get("current_feature_id")),
        "project": project,
        "source": LEGACY_SOURCE,
    }
    key = shorten_id(f"presence:{agent_id}", 200)
    found = [Event(**common, timestamp=at, event_id=f"{key}:{at.isoformat()}")]
    marked = parse_legacy_time(row.get("updated_at")) if row.get("status") == "offline" else None
    if marked is not None:
        event_id = f"{key}:offline:{marked.isoformat()}"
        found.append(Event(**common, event_type="offline", timestamp=marked, event_id=event_id))
    return found


def required_id(row: LegacyRow, name: str) -> str:
    """Return a column as an identifier; InvalidEvent where it is none."""
    found = identifier(row.get(name))
    if found is None:
        raise InvalidEvent(f"{name}: expected a string, got {format_value(row.get(name))}", name)
    return found


def required_time(row: LegacyRow, name: str) -> datetime:
    """Return a column as UTC time; InvalidEvent where it is none."""
    found = parse_legacy_time(row.get(name))
    if found is None:
        raise InvalidEvent(f"{name}: expected a timestamp, got {format_value(row.get(name))}", name)
    return found


def parse_legacy_time(value: object) -> datetime | None:
    """Return a time as that project writes it; None if it is none."""
    if isinstance(value, str) and value[10:11] == " " and not _OFFSET.search(value):
        value += "+00:00"
    return moment(value)


def _model(value: object) -> str | None:
    found = text(value)
    return None if found is None else _MODELS.get(found.lower(), found)
