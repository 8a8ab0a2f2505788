"""What ``htmlgraph-nb top`` shows: rows and widths as functions of agents, settings and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from htmlgraph_nb.client.agent_view import (
    GROUP_KEYS,
    SORT_KEYS,
    agent_cells,
    agent_name,
    compact_count,
    count_states,
    dollar_text,
    group_of,
    label_projects,
    matches_text,
    reason_text,
    sort_agents,
    state_of,
    visible_text,
)
from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence

from ..text_table import plural

MAX_TOP_ROWS = 500
"""Agents in the table; a filter reaches the others."""
_COLUMNS = ("State", "Agent", "Project", "Branch", "Why", "Ctx", "Tokens", "Cost")
_FIXED = {"State": 14, "Ctx": 4, "Tokens": 6, "Cost": 10}
_SHARES = {"Agent": 3, "Project": 2, "Branch": 2, "Why": 3}
_RIGHT = ("Ctx", "Tokens", "Cost")
_CELLS = {"Ctx": "context"}
"""Column → name of its cells, where it is another."""
_WHY_FROM = 100
"""Narrower terminals have no column "Why"; the line below the table says it."""


@dataclass(frozen=True, slots=True)
class TopSettings:
    """What a person chose.

    Attributes:
        sort: one of SORT_KEYS; descending reverses it.
        group: one of GROUP_KEYS; "": no groups.
        text: words that an agent must have.
        show_offline: whether agents that are offline are listed.
    """

    sort: str = "attention"
    descending: bool = False
    group: str = ""
    text: str = ""
    show_offline: bool = False

    def next_sort(self) -> TopSettings:
        """Return the settings with the next order; numbers begin with the largest."""
        key = SORT_KEYS[(SORT_KEYS.index(self.sort) + 1) % len(SORT_KEYS)]
        descending = key in ("context", "tokens", "cost", "activity")
        return replace(self, sort=key, descending=descending)

    def next_group(self) -> TopSettings:
        """Return the settings with the next key to group by."""
        keys = ("", *GROUP_KEYS)
        return replace(self, group=keys[(keys.index(self.group) + 1) % len(keys)])


@dataclass(frozen=True, slots=True)
class TopRow:
    """One row.

    Attributes:
        key: the agent's id, or the group in a form that is no id.
        cells: a text for each column of ``top_columns``; of a group only the first.
        state: the state of the agent; "" for a group.
    """

    key: str
    cells: tuple[str, ...]
    state: str = ""


def top_columns(width: int) -> dict[str, int]:
    """Return the columns of a table and their widths, which fill a line with single gaps.

    Args:
        width: cells of a line.
    """
    names = [name for name in _COLUMNS if name != "Why" or width >= _WHY_FROM]
    free = width - sum(_FIXED.values()) - (len(names) - 1)
    shares = {name: _SHARES[name] for name in names if name in _SHARES}
    total = sum(shares.values())
    widths = {name: _FIXED.get(name) or max(4, free * shares[name] // total) for name in names}
    widths["Agent"] += max(0, free - sum(widths[name] for name in shares))
    return widths


def is_number_column(name: str) -> bool:
    """Return whether the values of a column are aligned at the right."""
    return name in _RIGHT


def top_agents(agents: Iterable[AgentPresence], settings: TopSettings) -> list[AgentPresence]:
    """Return the agents that the settings select, in their order, groups together."""
    found = [
        agent
        for agent in label_projects(agents)
        if (settings.show_offline or state_of(agent) != "offline")
        and matches_text(agent, settings.text)
    ]
    ordered = sort_agents(found, settings.sort, settings.descending)
    if not settings.group:
        return ordered
    if settings.group == "state":
        return sort_agents(ordered)
    key = settings.group
    return sorted(ordered, key=lambda agent: (not group_of(agent, key), group_of(agent, key)))


def top_rows(
    agents: Sequence[AgentPresence], settings: TopSettings, names: Sequence[str], now: datetime
) -> list[TopRow]:
    """Return the first MAX_TOP_ROWS agents as rows, with a row before each group.

    Args:
        agents: the result of ``top_agents``.
        names: the columns.
        now: the current time.
    """
    key, left = settings.group, MAX_TOP_ROWS
    rows: list[TopRow] = []
    for name, group in groupby(agents, lambda agent: group_of(agent, key) if key else ""):
        members = list(group)
        if key:
            rows.append(TopRow(f"\0{name}", (_group_text(name, key, members),)))
        rows += [_agent_row(agent, names, now) for agent in members[:left]]
        left -= len(members)
        if left <= 0:
            break
    return rows


def _group_text(name: str, key: str, members: Sequence[AgentPresence]) -> str:
    title = visible_text(name) if name else f"no {key}"
    return f"▾ {title} ({plural(len(members), 'agent')}, {total_text(members)})"


def _agent_row(agent: AgentPresence, names: Sequence[str], now: datetime) -> TopRow:
    # There is no column for titles, so that the name has the title.
    name = agent_name(agent)
    cells = agent_cells(agent, now)
    cells["agent"] = f"↳ {name}" if agent.parent_agent_id else name
    texts = tuple(cells[_CELLS.get(column, column.lower())] for column in names)
    return TopRow(agent.agent_id, texts, state_of(agent))


def total_text(agents: Iterable[AgentPresence]) -> str:
    """Return the tokens and dollars of agents, with the part whose price is unknown."""
    agents = list(agents)
    costs = [agent.cost_usd for agent in agents if agent.cost_usd is not None]
    unpriced = sum(agent.unpriced_tokens for agent in agents)
    tokens = compact_count(sum(agent.total_cost_tokens for agent in agents))
    known = dollar_text(sum(costs)) if costs else "no price"
    note = f" + {compact_count(unpriced)} tokens without a price" if unpriced else ""
    return f"{tokens} tokens, {known}{note}"


def head_lines(
    agents: Sequence[AgentPresence],
    shown: int,
    settings: TopSettings,
    connection: ConnectionState,
) -> tuple[str, str]:
    """Return the two lines above the table: connection and counts, settings and totals.

    Args:
        agents: all agents.
        shown: how many of them the settings select.
    """
    labels = {"waiting": "waiting for you", "cannot_work": "cannot work"}
    counts = " · ".join(f"{n} {labels.get(s, s)}" for s, n in count_states(agents).items())
    # In front, where a narrow terminal cuts nothing.
    state = "" if connection.state == "connected" else connection.state
    if connection.stale_since is not None:
        state += f", as of {connection.stale_since.astimezone():%H:%M:%S %Z}"
    direction = " reversed" if settings.descending else ""
    chosen = [f"sort: {settings.sort}{direction}"]
    chosen += [f"group: {settings.group}"] if settings.group else []
    chosen += [f"filter: {visible_text(settings.text, 40)}"] if settings.text else []
    hidden = len(agents) - min(shown, MAX_TOP_ROWS)
    chosen += [f"{hidden} not shown"] if hidden else []
    first = f"{state}{': ' if state else ''}{counts or 'no agents'}  ({connection.url})"
    return first, f"{total_text(agents)}  ({', '.join(chosen)})"


def detail_text(agent: AgentPresence) -> str:
    """Return what the table has no place for, in one line."""
    parts = (
        *(reason_text(agent), agent.model, agent.pr, agent.cwd, agent.agent_id),
        f"context from {agent.context_source}" if agent.context_source else "",
    )
    return visible_text(" · ".join(part for part in parts if part))
