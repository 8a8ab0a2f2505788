"""Renders agents as plain text and as a static HTML table, where a widget cannot be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from ..client.agent_view import label_projects
from ..client.connection_state import ConnectionState
from ..core.agent_facts import CANNOT_WORK
from ..core.model import AgentPresence, PresenceStatus
from ..core.timestamps import to_rfc3339
from ..html_card import ATTENTION_COLOUR, COLOURS, SYMBOLS

_MAX_ROWS = 200
_ORDER = {PresenceStatus.ACTIVE: 1, PresenceStatus.IDLE: 2, PresenceStatus.OFFLINE: 3}
_TEXT = "text-align:left;white-space:nowrap"
_LONG = "text-align:left;min-width:12em;overflow-wrap:anywhere"
_NUMBER = "text-align:right;white-space:nowrap"
_BLOCKED_COLOUR = "#d1453b"
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
    shown = sorted(label_projects(agents.values()), key=_sort_key)[:_MAX_ROWS]
    n_omitted = len(agents) - len(shown)
    caption = f"{summary_line(agents, connection)} at {_utc_text(at)} UTC"
    if n_omitted:
        caption += f"; {n_omitted} agents are not shown"
    if connection.state != "connected" and connection.detail:
        caption += f"\n{connection.detail}"
    columns = {name: column for name, column in _COLUMNS.items() if any(map(column.text, shown))}
    head = "".join(
        f'<th scope="col" style="{_CELL};{column.style}">{name}</th>'
        for name, column in columns.items()
    )
    head = f'<th scope="col" style="{_CELL};{_TEXT}">Agent</th>{head}'
    body = "".join(_row(presence, columns) for presence in shown)
    lines = "<br>".join(escape(line) for line in caption.split("\n"))
    # Jupyter's style sheet gives all columns of a table the same width.
    return (
        '<table class="htmlgraph-snapshot" style="table-layout:auto;border-collapse:collapse;'
        'font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left;padding:3px 10px">{lines}</caption>'
        f'<thead><tr style="border-bottom:1px solid #808080">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _sort_key(presence: AgentPresence) -> tuple[bool, int, float, str]:
    newest_first = -presence.last_activity.timestamp()
    return not presence.attention, _ORDER[presence.status], newest_first, presence.agent_id


@dataclass(frozen=True, slots=True)
class _Column:
    """Returns the text of a cell, "" for none; a column without any text is omitted."""

    text: Callable[[AgentPresence], str]
    style: str = _TEXT


def _status(presence: AgentPresence) -> str:
    status = f"{presence.status}, waits for you" if presence.attention else presence.status.value
    return f"{SYMBOLS[presence.status]} {status}"


def _count(name: str) -> _Column:
    return _Column(lambda presence: f"{getattr(presence, name):,}", _NUMBER)


def _label(name: str, style: str = _TEXT) -> _Column:
    return _Column(lambda presence: getattr(presence, name) or "", style)


def _utc_text(time: datetime) -> str:
    return to_rfc3339(time)[:19].replace("T", " ")


def _cost(presence: AgentPresence) -> str:
    known = "" if presence.cost_usd is None else f"{presence.cost_usd:,.2f}"
    if not presence.unpriced_tokens:
        return known
    # As in the grid, where more tokens cost an unknown amount.
    return f"{known}+" if known else "?"


def _context(presence: AgentPresence) -> str:
    if presence.context_tokens is None or not presence.context_window:
        return ""
    return f"{presence.context_tokens / presence.context_window:.0%}"


_COLUMNS = {
    "Status": _Column(_status),
    "Cost (USD)": _Column(_cost, _NUMBER),
    "Title": _label("title", _LONG),
    "Project": _label("project"),
    "Branch": _label("branch"),
    "Reason": _label("reason", _LONG),
    "Last tool": _label("last_tool_name"),
    "Calls": _count("total_tools_executed"),
    "Errors": _count("total_errors"),
    "Tokens": _count("total_cost_tokens"),
    "Context": _Column(_context, _NUMBER),
    "Feature": _label("current_feature_id"),
    "Model": _label("model"),
    "Last activity (UTC)": _Column(lambda presence: _utc_text(presence.last_activity)),
}


def _row(presence: AgentPresence, columns: Mapping[str, _Column]) -> str:
    blocked = presence.detail in CANNOT_WORK
    if presence.attention or blocked:
        colour = ATTENTION_COLOUR if presence.attention else _BLOCKED_COLOUR
        status, border = f"color:{colour};font-weight:bold", colour
    else:
        status, border = f"color:{COLOURS[presence.status]}", "transparent"
    cells = "".join(
        f'<td style="{_CELL};{column.style}{f";{status}" if name == "Status" else ""}">'
        f"{escape(column.text(presence))}</td>"
        for name, column in columns.items()
    )
    head = (
        f'<th scope="row" style="{_CELL};{_TEXT};border-left:3px solid {border}">'
        f"{escape(presence.agent_id)}</th>"
    )
    return f"<tr>{head}{cells}</tr>"
