"""Which facts of a declared coverage the events of an agent contain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def seen_facts(events: Iterable[Event]) -> set[str]:
    """Return the names of the facts, as in Coverage, that these events report."""
    found: set[str] = set()
    roster = Roster()
    for seq, event in enumerate(events, 1):
        kind = event.event_type
        extra = event.extra or {}
        checks = {
            "status": kind in ("prompt", "idle", "stop", "completion"),
            "tools": kind in ("tool_start", "tool_execute"),
            "tokens": kind == "completion" and bool(event.output_tokens),
            "dollars": bool(event.cost_usd),
            "title": event.title is not None and not extra.get("title_default"),
            "branch": event.branch is not None,
            "context": event.context_tokens is not None,
            "quota": kind == "quota",
            "subagents": event.parent_agent_id is not None or kind == "subagent_start",
            "ends": kind == "session_end" and event.parent_agent_id is None,
        }
        found |= {name for name, is_seen in checks.items() if is_seen}
        presence = roster.apply(event, seq, event.timestamp or _EPOCH).presence
        if presence is not None and presence.attention:
            found.add("waits")
    return found
