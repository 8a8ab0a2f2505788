"""Agents as plain text and as a static HTML table, for places where no widget can live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from html import escape

from .connection import Connection
from .model import AgentPresence, PresenceStatus
from .times import to_rfc3339

MAX_ROWS = 200
_COLUMNS = (
    "Agent",
    "Status",
    "Reason",
    "Last tool",
    "Last activity",
    "Tools",
    "Tokens",
    "Cost (USD)",
    "Feature",
    "Session",
)


def summary(agents: Mapping[str, AgentPresence], connection: Connection) -> str:
    """Return one line, as ``AgentGrid(3 agents: 2 active, 1 idle; http://127.0.0.1:8000)``."""
    counts = Counter(one.status for one in agents.values())
    parts = ", ".join(f"{counts[status]} {status}" for status in PresenceStatus if counts[status])
    noun = "agent" if len(agents) == 1 else "agents"
    where = connection.url if connection.state == "connected" else connection.state
    return f"AgentGrid({len(agents)} {noun}{': ' if parts else ''}{parts}; {where})"


def table(agents: Mapping[str, AgentPresence], connection: Connection, at: datetime) -> str:
    """Return an HTML table of at most 200 agents, the latest activity first.

    Every text is escaped; there is no style and no script in it, because notebook viewers drop
    both.

    Args:
        at: time of the snapshot, UTC; named in the caption.
    """
    shown = sorted(agents.values(), key=lambda one: one.last_activity, reverse=True)[:MAX_ROWS]
    left_out = len(agents) - len(shown)
    caption = f"{summary(agents, connection)} at {to_rfc3339(at)[:19]}Z"
    if left_out:
        caption += f"; {left_out} agents are not shown"
    if connection.state != "connected" and connection.detail:
        caption += f"\n{connection.detail}"
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    body = "".join(_row(one) for one in shown)
    lines = "<br>".join(escape(line) for line in caption.split("\n"))
    return (
        f"<table><caption>{lines}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _row(one: AgentPresence) -> str:
    cells = (
        f"{one.status}, waits for you" if one.attention else one.status.value,
        one.reason or "",
        one.last_tool_name or "",
        to_rfc3339(one.last_activity)[:19] + "Z",
        f"{one.total_tools_executed:,}",
        f"{one.total_cost_tokens:,}",
        "" if one.cost_usd is None else f"{one.cost_usd:,.4f}",
        one.current_feature_id or "",
        one.session_id or "",
    )
    name = f'<th scope="row">{escape(one.agent_id)}</th>'
    return f"<tr>{name}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
