"""Renders agents as plain text and as a static HTML table, where a widget cannot be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence, PresenceStatus
from ..core.timestamps import to_rfc3339

_MAX_ROWS = 200
_ORDER = {PresenceStatus.ACTIVE: 1, PresenceStatus.IDLE: 2, PresenceStatus.OFFLINE: 3}
_TEXT, _NUMBER = "text-align:left", "text-align:right"
_COLUMNS = {
    "Agent": _TEXT,
    "Status": _TEXT,
    "Reason": _TEXT,
    "Last tool": _TEXT,
    "Last activity": _TEXT,
    "Tools": _NUMBER,
    "Errors": _NUMBER,
    "Tokens": _NUMBER,
    "Cost (USD)": _NUMBER,
    "Feature": _TEXT,
    "Session": _TEXT,
    "Model": _TEXT,
}
# Legible on white and on black: viewers keep style attributes and remove style sheets.
_COLOURS = {
    PresenceStatus.ACTIVE: "#1a7f4b",
    PresenceStatus.IDLE: "#9a6700",
    PresenceStatus.OFFLINE: "#808080",
}
_ATTENTION = "#d1453b"
_SYMBOLS = {PresenceStatus.ACTIVE: "●", PresenceStatus.IDLE: "◐", PresenceStatus.OFFLINE: "○"}
_CELL = "padding:3px 10px;vertical-align:top"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The agents of a grid at one time; a notebook shows it as HTML, a terminal as one line.

    Attributes:
        text: one line.
        html: a table.
    """

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def summary_line(agents: Mapping[str, AgentPresence], connection: ConnectionState) -> str:
    """Return one line, as ``AgentGrid(3 agents: 2 active, 1 idle; http://127.0.0.1:8000)``."""
    by_status = Counter(presence.status for presence in agents.values())
    counts = [f"{by_status[status]} {status}" for status in PresenceStatus if by_status[status]]
    waiting = sum(presence.attention for presence in agents.values())
    if waiting:
        counts.append(f"{waiting} waiting for you")
    noun = "agent" if len(agents) == 1 else "agents"
    connected = connection.state == "connected"
    where = (connection.url or connection.detail) if connected else connection.state
    listed = f": {', '.join(counts)}" if counts else ""
    return f"AgentGrid({len(agents)} {noun}{listed}; {where})"


def html_table(
    agents: Mapping[str, AgentPresence], connection: ConnectionState, at: datetime
) -> str:
    """Return an HTML table, sorted: waiting for a person first, then active, idle, offline.

    All text is escaped. It has no script and only inline styles, and is readable without them,
    because notebook viewers remove markup that they do not allow.

    Args:
        at: time of the snapshot, UTC; shown in the caption.
    """
    shown = sorted(agents.values(), key=_sort_key)[:_MAX_ROWS]
    n_omitted = len(agents) - len(shown)
    caption = f"{summary_line(agents, connection)} at {to_rfc3339(at)[:19]}Z"
    if n_omitted:
        caption += f"; {n_omitted} agents are not shown"
    if connection.state != "connected" and connection.detail:
        caption += f"\n{connection.detail}"
    head = "".join(
        f'<th scope="col" style="{_CELL};{style}">{name}</th>' for name, style in _COLUMNS.items()
    )
    body = "".join(_row(presence) for presence in shown)
    lines = "<br>".join(escape(line) for line in caption.split("\n"))
    return (
        '<table class="htmlgraph-snapshot" style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left;padding:3px 10px">{lines}</caption>'
        f'<thead><tr style="border-bottom:1px solid #808080">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _sort_key(presence: AgentPresence) -> tuple[bool, int, float, str]:
    newest_first = -presence.last_activity.timestamp()
    return not presence.attention, _ORDER[presence.status], newest_first, presence.agent_id


def _row(presence: AgentPresence) -> str:
    status = f"{presence.status}, waits for you" if presence.attention else presence.status.value
    texts = (
        f"{_SYMBOLS[presence.status]} {status}",
        presence.reason or "",
        presence.last_tool_name or "",
        to_rfc3339(presence.last_activity)[:19] + "Z",
        f"{presence.total_tools_executed:,}",
        f"{presence.total_errors:,}",
        f"{presence.total_cost_tokens:,}",
        "" if presence.cost_usd is None else f"{presence.cost_usd:,.4f}",
        presence.current_feature_id or "",
        presence.session_id or "",
        presence.model or "",
    )
    name, *styles = _COLUMNS.values()
    colour = _ATTENTION if presence.attention else _COLOURS[presence.status]
    styles[0] += f";white-space:nowrap;color:{colour}"
    if presence.attention:
        styles[0] += ";font-weight:bold"
    cells = "".join(
        f'<td style="{_CELL};{style}">{escape(text)}</td>'
        for text, style in zip(texts, styles, strict=True)
    )
    border = "border-left:3px solid " + (_ATTENTION if presence.attention else "transparent")
    head = f'<th scope="row" style="{_CELL};{name};{border}">{escape(presence.agent_id)}</th>'
    return f"<tr>{head}{cells}</tr>"
