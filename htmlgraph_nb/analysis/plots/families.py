"""Agents and their subagents: order of the rows of a plot, and the agents that are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..agent_labels import last_labels, time_order
from ..columns import column_isin
from ..grouping import group_rows

_MAX_DEPTH = 32
_MAX_LANES = 3


class FamilyRow(NamedTuple):
    """An agent as a row of a plot.

    Attributes:
        agent_id: its id.
        root: the topmost agent of its family.
        depth: 0 for a root, 1 for its subagents, and so on.
    """

    agent_id: str
    root: str
    depth: int


def parents_of(df: pd.DataFrame) -> dict[str, str]:
    """Return the parent of each agent that has one."""
    if "parent_agent_id" not in df.columns:
        return {}
    groups = group_rows(df, ("agent_id",))
    parents = last_labels(df, ("parent_agent_id",), groups, time_order(df))["parent_agent_id"]
    pairs = zip(groups.keys["agent_id"], parents, strict=True)
    return {str(child): parent for child, parent in pairs if isinstance(parent, str)}


def family_rows(starts: Mapping[str, object], parents: Mapping[str, str]) -> list[FamilyRow]:
    """Return agents so that subagents follow their parent; siblings by their first event.

    Args:
        starts: the agents in order of their first event.
        parents: as ``parents_of`` returns them; a parent that is not in ``starts`` is ignored.
    """
    children: dict[str | None, list[str]] = {}
    for agent in starts:
        parent = parents.get(agent)
        known = parent in starts and not _is_own_ancestor(agent, parents)
        children.setdefault(parent if known else None, []).append(agent)
    rows: list[FamilyRow] = []
    stack = [FamilyRow(agent, agent, 0) for agent in reversed(children.get(None, []))]
    while stack:
        row = stack.pop()
        rows.append(row)
        below = reversed(children.get(row.agent_id, []))
        stack += [FamilyRow(agent, row.root, row.depth + 1) for agent in below]
    return rows


def pack_lanes(
    rows: Sequence[FamilyRow], spans: Mapping[str, tuple[float, float]]
) -> dict[str, int]:
    """Return a row number for each agent so that subagents that do not overlap share a row.

    A family has at most _MAX_LANES rows below its root; more subagents at once overlap.

    Args:
        rows: as ``family_rows`` returns them.
        spans: first and last time of each agent.
    """
    numbers: dict[str, int] = {}
    n_rows = 0
    for _, family in groupby(rows, key=lambda row: row.root):
        members = list(family)
        numbers[members[0].agent_id] = n_rows
        ends: list[float] = []
        for row in sorted(members[1:], key=lambda row: spans[row.agent_id][0]):
            start, end = spans[row.agent_id]
            free = [lane for lane, until in enumerate(ends) if until <= start]
            if not free and len(ends) < _MAX_LANES:
                free = [len(ends)]
                ends.append(end)
            lane = free[0] if free else int(np.argmin(ends))
            ends[lane] = max(ends[lane], end)
            numbers[row.agent_id] = n_rows + 1 + lane
        n_rows += 1 + len(ends)
    return numbers


def _is_own_ancestor(agent: str, parents: Mapping[str, str]) -> bool:
    ancestor = parents.get(agent)
    for _ in range(_MAX_DEPTH):
        if ancestor is None or ancestor == agent:
            break
        ancestor = parents.get(ancestor)
    return ancestor is not None


def most_active(
    intervals: pd.DataFrame, roots: Mapping[str, str], top: int | None
) -> list[str] | None:
    """Return the roots of the families that were active and waiting the longest; None: all.

    Args:
        intervals: as ``timeline`` returns them.
        roots: the root of each agent.
        top: number of families.
    """
    if top is None:
        return None
    busy = intervals["status"].isin(["active", "waiting"])
    family = intervals["agent_id"].astype(str).map(roots)
    lengths = intervals["duration"].where(busy, pd.Timedelta(0)).groupby(family).sum()
    return list(lengths.sort_values(ascending=False, kind="stable").index[:top])


def of_busiest_agents(df: pd.DataFrame, top: int | None) -> tuple[pd.DataFrame, int]:
    """Return the events of the families with the most events, and the number of families left out.

    Args:
        top: number of families. None: all.
    """
    if top is None or not len(df):
        return df, 0
    parents = parents_of(df)
    counts = df["agent_id"].value_counts()
    counts = counts[counts > 0]
    agents = {str(agent): None for agent in counts.index}
    roots = {row.agent_id: row.root for row in family_rows(agents, parents)}
    totals = counts.groupby([roots[str(agent)] for agent in counts.index]).sum()
    kept = set(totals.sort_values(ascending=False, kind="stable").index[:top])
    names = [agent for agent, root in roots.items() if root in kept]
    return df[np.asarray(column_isin(df, "agent_id", *names))], max(len(totals) - top, 0)
