"""The tables of the magics ``%agents`` and ``%agent_costs``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..analysis.costs import token_costs
from ..analysis.local_times import readable
from ..client.agent_view import (
    AGENT_CELLS,
    agent_cells,
    label_projects,
    matches_text,
    sort_agents,
    state_of,
    visible_text,
)
from ..core.timestamps import utc_now
from ..history.load import load_agents, load_history
from ..history.sources import resolve_source
from ..reports.report_arguments import COST_ALIASES
from ..storage.schema import HISTORY_COLUMNS

_UNUSED = frozenset({"event_id", "tool_use_id", "extra", "pr"})
_COST_COLUMNS = "input output cache_write cache_read total usd unpriced_tokens".split()


def agents_table(text: str = "", *, offline: bool = False) -> pd.DataFrame:
    """Return the agents now as text for people, those that wait for a person first.

    Args:
        text: words that an agent must have.
        offline: also agents that are offline.

    Raises: as ``load_history``.
    """
    now = utc_now()
    shown = sort_agents(
        agent
        for agent in label_projects(load_agents(resolve_source(None)))
        if (offline or state_of(agent) != "offline") and matches_text(agent, text)
    )
    rows = [list(map(visible_text, agent_cells(agent, now).values())) for agent in shown]
    return pd.DataFrame(rows, columns=list(AGENT_CELLS))


def costs_table(since: str, by: Sequence[str] = (), *, daily: bool = False) -> pd.DataFrame:
    """Return the costs of the recent history as text for people, the highest cost first.

    Args:
        since: first time to include, as for ``load_history``.
        by: columns, or names of COST_ALIASES; (): the model, or only the day with ``daily``.
        daily: a row per day, in order of time.

    Raises: as ``load_history`` and ``token_costs``.
    """
    keys = [COST_ALIASES.get(name, name) for name in by] or ([] if daily else ["model"])
    columns = [name for name in HISTORY_COLUMNS if name in keys or name not in _UNUSED]
    events = load_history(since=since, columns=columns)
    costs = token_costs(events, by=keys, freq="D" if daily else None)
    if not daily:
        costs = costs.sort_values(["usd", "total"], ascending=False, ignore_index=True)
    costs["cache_write"] = costs["cache_write_5m"] + costs["cache_write_1h"]
    first = ["timestamp"] if daily else []
    return readable(costs[[*first, *keys, *_COST_COLUMNS]])
