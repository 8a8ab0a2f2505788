"""What agents are called: the last known labels of groups of rows, and names for plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .columns import IntArray, encode_column, float_column, timestamp_micros
from .grouping import Groups, group_rows

_MAX_CHARS = 36
_MAX_ID_CHARS = 16
_END_CHARS = 8


def last_labels(
    df: pd.DataFrame, columns: Sequence[str], groups: Groups, order: IntArray
) -> dict[str, Any]:
    """Return columns of names with the last known name of each group.

    Args:
        columns: columns of names; one that the frame lacks is missing in each group.
        groups: groups of all rows of ``df``.
        order: as ``time_order`` returns it.
    """
    labels: dict[str, Any] = {}
    for column in columns:
        codes = encode_column(df, column).codes
        rows = _last_rows(groups, order[codes[order] >= 0])
        if column in df.columns:
            values = df[column].take(np.maximum(rows, 0)).reset_index(drop=True)
            labels[column] = values.mask(rows < 0)
        else:
            labels[column] = pd.Categorical([None] * len(rows), categories=pd.Index([], dtype=str))
    return labels


def context_columns(df: pd.DataFrame, groups: Groups, order: IntArray) -> dict[str, Any]:
    """Return context_tokens, the last of each group, and peak_context_tokens; both Int64.

    Args:
        groups, order: as for ``last_labels``.
    """
    tokens = float_column(df, "context_tokens")
    known = ~np.isnan(tokens)
    rows = _last_rows(groups, order[known[order]])
    peaks = np.full(len(groups.keys), np.nan)
    np.fmax.at(peaks, groups.ids[known], tokens[known])
    last = np.where(rows < 0, np.nan, tokens[rows]) if len(tokens) else peaks
    return {
        "context_tokens": pd.array(last, dtype="Int64"),
        "peak_context_tokens": pd.array(peaks, dtype="Int64"),
    }


def time_order(df: pd.DataFrame) -> IntArray:
    """Return the positions of the rows by time, and by order of arrival at the same time."""
    micros = timestamp_micros(df)
    if "seq" in df.columns:
        order = np.lexsort((df["seq"].to_numpy(dtype=np.int64), micros))
    else:
        order = np.argsort(micros, kind="stable")
    return order.astype(np.int64, copy=False)


def _last_rows(groups: Groups, ordered: IntArray) -> IntArray:
    """Return the last of these positions in each group; -1: none."""
    rows = np.full(len(groups.keys), -1)
    # Of the positions of one group, numpy keeps the one assigned last.
    rows[groups.ids[ordered]] = ordered
    return rows


def agent_labels(df: pd.DataFrame) -> dict[str, str]:
    """Return a short name for each agent: its title, else project and branch, else its id.

    Agents with the same name get their id, or the end of a long one, too.
    """
    groups = group_rows(df, ("agent_id",))
    labels = last_labels(df, ("title", "project", "branch"), groups, time_order(df))
    table = groups.with_columns(**labels)
    names: dict[str, str] = {}
    columns = ("agent_id", "title", "project", "branch")
    texts = [table[name].astype(object).where(table[name].notna(), "") for name in columns]
    for agent_id, title, project, branch in zip(*texts, strict=True):
        place = " · ".join(filter(None, (project, branch)))
        name = " ".join((title or place or agent_id).split())
        is_long = len(name) > _MAX_CHARS and name != agent_id
        names[agent_id] = f"{name[: _MAX_CHARS - 1].rstrip()}…" if is_long else name
    counts = Counter(names.values())
    return {
        agent_id: name if counts[name] == 1 or name == agent_id else f"{name} ({_end_of(agent_id)})"
        for agent_id, name in names.items()
    }


def _end_of(agent_id: str) -> str:
    return agent_id if len(agent_id) <= _MAX_ID_CHARS else f"…{agent_id[-_END_CHARS:]}"
