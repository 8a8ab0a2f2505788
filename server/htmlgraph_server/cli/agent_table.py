"""Agents as the lines of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from htmlgraph_nb.client.agent_view import AGENT_CELLS, agent_cells, state_of
from htmlgraph_nb.core.model import AgentPresence

from .text_table import Column, table_lines

_SHRINKS = ("title", "project", "branch", "why")
_RIGHT = ("context", "tokens", "cost")
_COLUMNS = [Column(name.upper(), name in _RIGHT, name in _SHRINKS) for name in AGENT_CELLS]


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
    rows = [list(agent_cells(agent, now).values()) for agent in agents]
    return table_lines(_COLUMNS, rows, width, [state_of(agent) for agent in agents])
