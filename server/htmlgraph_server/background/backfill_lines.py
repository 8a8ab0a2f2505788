"""What a backfill found and imported, as lines for the terminal or the log. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from htmlgraph_nb.coding_agents.registry import AGENTS

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def found_line(report: Mapping[str, Any]) -> str:
    """Return what was found: the sessions of each agent, and what is read now.

    Args:
        report: the first report of the process.
    """
    period = _period(report["days"])
    sessions = report["sessions"]
    if not sessions:
        return f"found no sessions {period}"
    names = ", ".join(f"{AGENTS[agent].label} {n:,}" for agent, n in sessions.items())
    found = f"found {_count(sum(sessions.values()), 'session')}: {names}"
    if not report["files"]:
        return f"{found}; nothing new since the last start"
    return f"{found}; reading {'all' if report['days'] is None else period.removeprefix('of ')}"


def done_line(report: Mapping[str, Any]) -> str:
    """Return what was imported and the cost of the last seven days.

    Args:
        report: the last report of the process.
    """
    cost = f"${report['cost_7d_usd'] or 0.0:,.2f} in the last 7 days"
    if unpriced := report["unpriced_7d_tokens"]:
        cost += f" (+ {short_number(unpriced)} tokens without a price)"
    if not report["files"]:
        return cost
    sessions = _count(report["sessions_read"], "session")
    return f"imported {_count(report['events'], 'event')} of {sessions}; {cost}"


def kept_lines(report: Mapping[str, Any]) -> list[str]:
    """Return, for each agent that deletes its session files, that the history stays here."""
    return [
        f"{AGENTS[agent].label} deletes its session files after {_count(days, 'day')}; their "
        "history is kept here"
        for agent in report["sessions"]
        if (days := AGENTS[agent].kept_days()) is not None
    ]


def short_number(number: int) -> str:
    """Return a number in at most four characters, such as 950, 12k or 1.2M."""
    for unit, suffix in _UNITS:
        if number >= unit:
            scaled = math.floor(number / unit * 10) / 10
            text = f"{scaled:.1f}".removesuffix(".0") if scaled < 10 else f"{scaled:.0f}"
            return text + suffix
    return str(number)


def _period(days: float | None) -> str:
    return "on this machine" if days is None else f"of the last {_count(round(days, 2), 'day')}"


def _count(number: float, noun: str) -> str:
    text = f"{number:,g}" if isinstance(number, float) else f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}"
