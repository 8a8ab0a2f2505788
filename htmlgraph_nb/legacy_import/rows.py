"""Convert rows of the older HtmlGraph project's database to Events. Pure functions.

The format is that of the package htmlgraph 0.33.96 on PyPI (``htmlgraph/db/ddl.py`` and the code
that writes the tables), and of the smaller tables that its ``init`` created before (``operations/
initialization.py``). A row is a mapping of its columns; a missing column counts as NULL.

Differences between the two projects:

- All sessions of a program share one agent there (``claude-code``). Here each session is an agent,
  with the id that the program's own hooks assign. Other agent names stay unchanged.
- Prompts, ends of turns and notifications are stored there as tools (``UserQuery``, ``Stop`` …) and
  count as tools. Here they do not.
- Its bookkeeping rows (``SDK.create`` …) contain invented token counts, which are ignored.
- A migration replaced model ids by display names, each family by one version (``Opus 4.6``). They
  are converted to the id of that version, which may differ from the model that was used.
- Timestamps are UTC where SQLite or its hooks wrote them (``2025-01-14 14:50:30``), and local time
  where Python's ``isoformat`` did (``2025-01-14T09:50:30``): in agent_presence, and in some rows of
  features.
- Agents never become idle there. Here a timer decides, as for all agents.
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
    safe_keyword,
    string,
    timestamp,
    without_none,
)
from ..coding_agents.registry import AGENTS, DEFAULT_AGENT
from ..core.ids import agent_id_of, call_key, shorten_id
from ..core.model import Event
from ..core.validation import format_value
from ..errors import InvalidEvent
from ..ingest.session_origin import LEGACY_SOURCE

LegacyRow = Mapping[str, Any]

_PROGRAMS = {
    **{name: agent.name for agent in AGENTS.values() for name in (agent.name, *agent.aliases)},
    **dict.fromkeys(("user", "system", "orchestrator-hook"), DEFAULT_AGENT),
}
"""Agent names that all sessions of a program share."""
_UNSPECIFIC_NAMES = frozenset({"user", "system"})
"""Agent names in rows of prompts, and in rows written before the program was detected."""
_MODELS = {
    "opus 4.6": "claude-opus-4-6",
    "sonnet 4.5": "claude-sonnet-4-5",
    "haiku 4.5": "claude-haiku-4-5",
}
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_CALL_PREFIXES = ("toolu_", "call_")

_TOOL_TYPES = frozenset({"tool_call", "tool_result"})
_PSEUDO_TOOLS = {
    "UserQuery": "prompt",
    "Stop": "stop",
    "SessionStart": "session_start",
    "SessionResume": "session_start",
    "SessionEnd": "session_end",
    "PermissionRequest": "permission_request",
    "PreCompact": "activity",
    "TaskCompleted": "subagent_stop",
    # These rows concern other agents, or no action of an agent.
    "InstructionsLoaded": None,
    "TeammateIdle": None,
}
"""Names in the tool column that are not tools → event type; None: no event."""
_EVENT_TYPES = {
    **dict.fromkeys(("delegation", "task_delegation"), "subagent_start"),
    "task_completed": "subagent_stop",
    "teammate_idle": None,
    "user_query": "prompt",
    "completion": "completion",
    "start": "session_start",
    "end": "session_end",
}
_UNFINISHED = frozenset({"started", "running", "pending"})
_FAILED = frozenset({"failed", "error"})


def legacy_agent_id(name: object, session: str | None) -> str:
    """Return the agent id for an agent name of the older project in a session."""
    legacy_name = string(name) or AGENTS[DEFAULT_AGENT].aliases[0]
    program = _PROGRAMS.get(legacy_name.lower())
    return agent_id_of(session, program) if program is not None and session else legacy_name


def is_unfinished(row: LegacyRow) -> bool:
    """Return whether the call of a row of agent_events has not ended, so the row will change."""
    return str(row.get("status")) in _UNFINISHED


def events_from_row(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return the events of a row of agent_events: two for an ended delegation, otherwise 0 or 1.

    Args:
        row: the columns of the row, and ``agent_assigned``, ``session_model`` and
            ``parent_session_id`` of its session.
        project: the project's name.

    Raises:
        InvalidEvent: the row has no id, session or timestamp; ``field`` names the column.
    """
    key, session, at = (
        required_id(row, "event_id"),
        required_id(row, "session_id"),
        required_time(row, "timestamp"),
    )
    event_type = _event_type(row)
    if event_type is None:
        return []
    name = row.get("agent_id")
    if not isinstance(name, str) or name in _UNSPECIFIC_NAMES:
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
        Event(**{**common, "event_type": event_type, "timestamp": at, **fields})
        for fields in _fields(row, event_type, shorten_id(f"{session}:{key}"))
    ]


def _event_type(row: LegacyRow) -> str | None:
    """Return the event type of a row; None: it is not an event."""
    name, kind = row.get("tool_name"), row.get("event_type")
    if isinstance(name, str) and name in _PSEUDO_TOOLS:
        return _PSEUDO_TOOLS[name]
    if isinstance(kind, str) and kind in _EVENT_TYPES:
        return _EVENT_TYPES[kind]
    if isinstance(name, str) and name.startswith(("SDK.", "HeadlessSpawner.")):
        return "activity"
    failed = str(row.get("status")) in _FAILED or _context(row).get("is_error") is True
    if kind == "error" or row.get("success") == 0 or failed:
        return "tool_error" if name else "error"
    if isinstance(kind, str) and kind not in _TOOL_TYPES:
        return "activity"
    return "tool_start" if is_unfinished(row) else "tool_execute"


def _fields(row: LegacyRow, kind: str, key: str) -> list[dict[str, Any]]:
    """Return the fields in which the events of a row differ."""
    if kind in ("tool_start", "tool_execute", "tool_error"):
        return [_tool(row, kind, key)]
    if kind == "subagent_start":
        extra = without_none(agent_type=string(row.get("subagent_type"), 128))
        start = {"tool_use_id": key, "event_id": key, "extra": extra}
        if is_unfinished(row):
            return [start]
        stop = {"event_type": "subagent_stop", "timestamp": _end(row), "event_id": f"{key}:stop"}
        return [start, {**start, **stop}]
    if kind == "subagent_stop":
        started = identifier(row.get("parent_event_id"))
        call = shorten_id(f"{row['session_id']}:{started}") if started else key
        return [{"tool_use_id": call, "event_id": f"{call}:stop"}]
    if kind == "permission_request":
        return [{"tool_name": string(_context(row).get("requested_tool")), "event_id": key}]
    if kind == "completion":
        return [{"cost_tokens": count(row.get("cost_tokens")) or None, "event_id": key}]
    activity = safe_keyword(row.get("tool_name")) if kind == "activity" else None
    return [{"event_id": key, "extra": without_none(activity=activity)}]


def _tool(row: LegacyRow, kind: str, key: str) -> dict[str, Any]:
    seconds = amount(row.get("execution_duration_seconds"))
    call = identifier(row.get("claude_task_id"))
    fields = {
        "tool_name": string(row.get("tool_name")),
        "tool_use_id": key,
        "duration_ms": count(round(seconds * 1_000)) if seconds else None,
    }
    if kind == "tool_start":
        return {**fields, "event_id": f"{key}:start"}
    failed = kind == "tool_error"
    if call is not None and call.startswith(_CALL_PREFIXES):
        # Use the ids of hooks and session files for the same call.
        key = call_key(str(row["session_id"]), call, "PostToolUse")
        fields["tool_use_id"] = call
    return {
        **fields,
        "event_id": key,
        "status": "error" if failed else "ok",
        "cost_tokens": count(row.get("cost_tokens")) or None,
    }


def _end(row: LegacyRow) -> datetime:
    """Return the end of a delegation: when its row was updated, with a precision of one second."""
    started = required_time(row, "timestamp")
    updated = parse_legacy_time(row.get("updated_at")) if row.get("status") == "completed" else None
    return max(started, updated) if updated is not None else started


def _parent(row: LegacyRow, agent_id: str) -> str | None:
    session = identifier(row.get("parent_session_id"))
    name = row.get("parent_agent_id")
    if name is None and session is None:
        return None
    parent_id = legacy_agent_id(name, session or identifier(row.get("session_id")))
    return None if parent_id == agent_id else parent_id


def _context(row: LegacyRow) -> Mapping[str, Any]:
    try:
        context = json.loads(row.get("context") or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return context if isinstance(context, dict) else {}


def events_from_session(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return the start of a session and, if it is known, its end.

    Raises:
        InvalidEvent: the row has no session_id.
    """
    session = required_id(row, "session_id")
    agent_id = legacy_agent_id(row.get("agent_assigned") or row.get("agent"), session)
    started = parse_legacy_time(row.get("started_at")) or parse_legacy_time(row.get("created_at"))
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
        Event(
            **common,
            event_type=event_type,
            timestamp=at,
            event_id=shorten_id(f"{session}:{event_type}"),
        )
        for event_type, at in (("session_start", started), ("session_end", ended))
        if at is not None
    ]


def events_from_presence(row: LegacyRow, *, project: str | None = None) -> list[Event]:
    """Return an agent's last activity and, if it was marked as offline, the offline event.

    The totals of the row are ignored, because they count each notification as a tool.

    Raises:
        InvalidEvent: the row has no agent_id or no timestamp.
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
    events = [Event(**common, timestamp=at, event_id=f"{key}:{at.isoformat()}")]
    marked = parse_legacy_time(row.get("updated_at")) if row.get("status") == "offline" else None
    if marked is not None:
        event_id = f"{key}:offline:{marked.isoformat()}"
        events.append(Event(**common, event_type="offline", timestamp=marked, event_id=event_id))
    return events


def required_id(row: LegacyRow, name: str) -> str:
    """Return a column as an identifier; raise InvalidEvent if it is not one."""
    value = identifier(row.get(name))
    if value is None:
        raise InvalidEvent(f"{name}: expected a string, got {format_value(row.get(name))}", name)
    return value


def required_time(row: LegacyRow, name: str) -> datetime:
    """Return a column as a UTC timestamp; raise InvalidEvent if it is not one."""
    value = parse_legacy_time(row.get(name))
    if value is None:
        raise InvalidEvent(f"{name}: expected a timestamp, got {format_value(row.get(name))}", name)
    return value


def parse_legacy_time(value: object) -> datetime | None:
    """Return a timestamp in a format of the older project; None if it is not one."""
    if isinstance(value, str) and value[10:11] == " " and not _OFFSET.search(value):
        value += "+00:00"
    return timestamp(value)


def _model(value: object) -> str | None:
    name = string(value)
    return None if name is None else _MODELS.get(name.lower(), name)
