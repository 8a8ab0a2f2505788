"""Agents as plain text and as a static HTML table, for places where no widget can live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence, PresenceStatus
from ..core.timestamps import to_rfc3339

MAX_ROWS = 200
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
# Colours that can be read on white and on black: viewers keep attributes and drop style sheets.
_COLOURS = {
    PresenceStatus.ACTIVE: "#1a7f4b",
    PresenceStatus.IDLE: "#9a6700",
    PresenceStatus.OFFLINE: "#808080",
}
_WAITS = "#d1453b"
_SIGNS = {PresenceStatus.ACTIVE: "●", PresenceStatus.IDLE: "◐", PresenceStatus.OFFLINE: "○"}
_CELL = "padding:3px 10px;vertical-align:top"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A grid at one moment; a notebook shows it as HTML, a terminal as one line.

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


def summary(agents: Mapping[str, AgentPresence], connection: ConnectionState) -> str:
    """Return one line, as ``AgentGrid(3 agents: 2 active, 1 idle; http://127.0.0.1:8000)``."""
    counts = Counter(one.status for one in agents.values())
    found = [f"{counts[status]} {status}" for status in PresenceStatus if counts[status]]
    waiting = sum(one.attention for one in agents.values())
    if waiting:
        found.append(f"{waiting} waiting for you")
    noun = "agent" if len(agents) == 1 else "agents"
    at_work = connection.state == "connected"
    where = (connection.url or connection.detail) if at_work else connection.state
    parts = f": {', '.join(found)}" if found else ""
    return f"AgentGrid({len(agents)} {noun}{parts}; {where})"


def table(agents: Mapping[str, AgentPresence], connection: ConnectionState, at: datetime) -> str:
    """Return an HTML table of at most 200 agents: who waits first, then active, idle, offline.

    Every text is escaped. There is no script in it and no style but in attributes, and it can be
    read without them, because notebook viewers drop what they do not know.

    Args:
        at: time of the snapshot, UTC; named in the caption.
    """
    shown = sorted(agents.values(), key=_rank)[:MAX_ROWS]
    left_out = len(agents) - len(shown)
    caption = f"{summary(agents, connection)} at {to_rfc3339(at)[:19]}Z"
    if left_out:
        caption += f"; {left_out} agents are not shown"
    if connection.state != "connected" and connection.detail:
        caption += f"\n{connection.detail}"
    head = "".join(
        f'<th scope="col" style="{_CELL};{style}">{name}</th>' for name, style in _COLUMNS.items()
    )
    body = "".join(_row(one) for one in shown)
    lines = "<br>".join(escape(line) for line in caption.split("\n"))
    return (
        '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left;padding:3px 10px">{lines}</caption>'
        f'<thead><tr style="border-bottom:1px solid #808080">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _rank(one: AgentPresence) -> tuple[bool, int, float, str]:
    since = -one.last_activity.timestamp()
    return not one.attention, _ORDER[one.status], since, one.agent_id


def _row(one: AgentPresence) -> str:
    said = f"{one.status}, waits for you" if one.attention else one.status.value
    texts = (
        f"{_SIGNS[one.status]} {said}",
        one.reason or "",
        one.last_tool_name or "",
        to_rfc3339(one.last_activity)[:19] + "Z",
        f"{one.total_tools_executed:,}",
        f"{one.total_errors:,}",
        f"{one.total_cost_tokens:,}",
        "" if one.cost_usd is None else f"{one.cost_usd:,.4f}",
        one.current_feature_id or "",
        one.session_id or "",
        one.model or "",
    )
    name, *styles = _COLUMNS.values()
    colour = _WAITS if one.attention else _COLOURS[one.status]
    styles[0] += f";white-space:nowrap;color:{colour}"
    if one.attention:
        styles[0] += ";font-weight:bold"
    cells = "".join(
        f'<td style="{_CELL};{style}">{escape(text)}</td>'
        for text, style in zip(texts, styles, strict=True)
    )
    border = "border-left:3px solid " + (_WAITS if one.attention else "transparent")
    head = f'<th scope="row" style="{_CELL};{name};{border}">{escape(one.agent_id)}</th>'
    return f"<tr>{head}{cells}</tr>"
