"""Agents as the lines of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from htmlgraph_nb.client.agent_view import (
    compact_count,
    context_share,
    reason_text,
    short_agent_id,
    state_of,
    state_text,
)
from htmlgraph_nb.core.model import AgentPresence

from .text_table import Column, dollar_text, table_lines

_COLUMNS = (
    Column("STATE"),
    Column("AGENT"),
    Column("TITLE", shrinks=True),
    Column("PROJECT", shrinks=True),
    Column("BRANCH", shrinks=True),
    Column("WHY", shrinks=True),
    Column("CONTEXT", right=True),
    Column("TOKENS", right=True),
    Column("COST", right=True),
)


def agent_lines(
    agents: Sequence[AgentPresence], now: datetime, width: int | None = None
) -> list[str]:
    """Return agents as the lines of a table; none if there are no agents.

    Args:
        now: the current time.
        width: most cells of a line; None: nothing is cut.
    """
    if not agents:
        return []
    rows = [_row(agent, now) for agent in agents]
    return table_lines(_COLUMNS, rows, width, [state_of(agent) for agent in agents])


def _row(agent: AgentPresence, now: datetime) -> tuple[str, ...]:
    short = short_agent_id(agent.agent_id)
    context = context_share(agent)
    return (
        state_text(agent, now),
        f"↳ {short}" if agent.parent_agent_id else short,
        agent.title or "",
        agent.project or "",
        agent.branch or "",
        reason_text(agent),
        "" if context is None else f"{context:.0%}",
        compact_count(agent.total_cost_tokens) if agent.total_cost_tokens else "",
        dollar_text(agent.cost_usd, agent.unpriced_tokens),
    )
