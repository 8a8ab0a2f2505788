"""Renders one object as a small HTML table: a heading and its facts, as notebooks show it.

The module knows no other module of the package, so that all of them can use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

SYMBOLS = {"active": "●", "idle": "◐", "offline": "○"}
"""A symbol for each status of an agent."""
COLOURS = {"active": "#1a7f4b", "idle": "#6e7781", "offline": "#808080"}
"""A colour for each status, legible on white and on black.

Viewers keep style attributes and remove style sheets, so it cannot depend on the theme.
"""
ATTENTION_COLOUR = "#b36b00"

_MAX_AGENTS = 20
_CELL = "padding:2px 10px;vertical-align:top;text-align:left"
_LABEL = f"{_CELL};white-space:nowrap;font-weight:normal;color:#808080"
_VALUE = f"{_CELL};overflow-wrap:anywhere"


def html_card(heading: str, facts: Iterable[tuple[str, str]], border: str = "#808080") -> str:
    """Return an HTML table with one row for each fact; all text is escaped.

    Args:
        heading: its caption.
        facts: labels and values; facts with an empty value are omitted.
        border: CSS colour of the line at its left.
    """
    rows = "".join(
        f'<tr><th scope="row" style="{_LABEL}">{escape(label)}</th>'
        f'<td style="{_VALUE}">{escape(value)}</td></tr>'
        for label, value in facts
        if value
    )
    # Jupyter's style sheet gives all columns of a table the same width.
    return (
        '<table class="htmlgraph-card" style="table-layout:auto;border-collapse:collapse;'
        f'border-left:3px solid {border};font-variant-numeric:tabular-nums">'
        f'<caption style="{_CELL};font-weight:bold;caption-side:top;overflow-wrap:anywhere">'
        f"{escape(heading)}</caption><tbody>{rows}</tbody></table>"
    )


def presence_card(presence: Mapping[str, Any]) -> str:
    """Return the card of an agent.

    Args:
        presence: the JSON object of an AgentPresence.
    """
    text = {name: "" if value is None else str(value) for name, value in presence.items()}
    status, agent_id = text["status"], text["agent_id"]
    host = "@".join(filter(None, (text["user"], text["host"])))
    facts = [
        ("Status", status_phrase(presence)),
        ("Since", _time(text["detail_since"] or text["since"])),
        ("Project", text["project"]),
        ("Branch", text["branch"]),
        ("Worktree", text["worktree"]),
        ("Folder", text["cwd"]),
        ("Pull request", text["pr"]),
        ("Feature", text["current_feature_id"]),
        ("Kind", text["agent_kind"]),
        ("Model", text["model"]),
        ("Context", _context(presence)),
        ("Last tool", text["last_tool_name"]),
        ("Calls", f"{presence['total_tools_executed']:,}"),
        ("Errors", f"{presence['total_errors']:,}"),
        ("Tokens", f"{presence['total_cost_tokens']:,}"),
        ("Cost", _dollars(presence["cost_usd"], presence["unpriced_tokens"])),
        ("Parent", text["parent_agent_id"]),
        ("Session", text["session_id"]),
        ("Host", host),
        ("Last activity", _time(text["last_activity"])),
    ]
    heading = f"{text['title']} ({agent_id})" if text["title"] else agent_id
    border = ATTENTION_COLOUR if presence["attention"] else COLOURS[status]
    return html_card(heading, facts, border)


def manager_card(db_path: str, presences: Sequence[Mapping[str, Any]]) -> str:
    """Return the card of a PresenceManager: its file and the agents that were active last.

    Args:
        presences: the JSON objects of all agents.
    """
    newest = sorted(presences, key=lambda presence: str(presence["last_activity"]), reverse=True)
    newest.sort(key=lambda presence: not presence["attention"])
    counts = Counter(str(presence["status"]) for presence in presences)
    counted = ", ".join(f"{counts[status]:,} {status}" for status in SYMBOLS if counts[status])
    facts = [("Database", db_path), ("Agents", f"{len(presences):,}: {counted}".rstrip(": "))]
    facts += [(str(agent["agent_id"]), status_phrase(agent)) for agent in newest[:_MAX_AGENTS]]
    if len(newest) > _MAX_AGENTS:
        facts.append(("…", f"{len(newest) - _MAX_AGENTS:,} more"))
    return html_card("PresenceManager", facts)


def status_phrase(presence: Mapping[str, Any]) -> str:
    """Return the status of an agent for people, as ``● active: waits for permission to use Bash``.

    Args:
        presence: the JSON object of an AgentPresence.
    """
    status = str(presence["status"])
    reason = presence["reason"] or ("waits for you" if presence["attention"] else "")
    return f"{SYMBOLS[status]} {status}{': ' if reason else ''}{reason}"


def _time(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC" if text else ""


def _dollars(cost: float | None, unpriced_tokens: int) -> str:
    known = "" if cost is None else f"${cost:,.2f}"
    unknown = f"{unpriced_tokens:,} tokens without a price" if unpriced_tokens else ""
    return " + ".join(filter(None, (known, unknown)))


def _context(presence: Mapping[str, Any]) -> str:
    used, window = presence["context_tokens"], presence["context_window"]
    if used is None:
        return ""
    if not window:
        return f"{used:,} tokens"
    return f"{used / window:.0%} ({used:,} of {window:,} tokens)"
