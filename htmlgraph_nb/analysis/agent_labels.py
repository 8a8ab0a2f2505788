"""What agents are called: the last known labels of rows and groups, and names for plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.reducer import NOT_FIRST_TYPES
from .agent_rows import last_marked
from .columns import (
    IntArray,
    column_isin,
    encode_column,
    float_column,
    timestamp_micros,
    topmost,
    with_roots,
)
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
    n = len(groups.keys)
    for column in columns:
        if column not in df.columns:
            labels[column] = pd.Categorical([None] * n, categories=pd.Index([], dtype=str))
        elif len(df):
            codes = encode_column(df, column).codes
            rows = _last_rows(groups, order[codes[order] >= 0])
            values = df[column].take(np.maximum(rows, 0)).reset_index(drop=True)
            labels[column] = values.mask(rows < 0)
        else:
            labels[column] = df[column].reset_index(drop=True).reindex(range(n))
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
    seq = df["seq"].to_numpy(dtype=np.int64) if "seq" in df.columns else np.arange(len(df))
    rises = micros[1:] > micros[:-1]
    if (rises | ((micros[1:] == micros[:-1]) & (seq[1:] >= seq[:-1]))).all():
        return np.arange(len(df))
    return np.lexsort((seq, micros)).astype(np.int64, copy=False)


def agent_order(df: pd.DataFrame) -> IntArray:
    """Return the positions of the rows by agent, in the order of ``time_order`` for each."""
    codes = encode_column(df, "agent_id").codes
    if codes.dtype.itemsize > 2 and codes.max(initial=0) < np.iinfo(np.int16).max:
        # Sorted by radix, in a fifth of the time.
        codes = codes.astype(np.int16)
    order = time_order(df)
    return order[np.argsort(codes[order], kind="stable")]


def root_codes(df: pd.DataFrame) -> IntArray:
    """Return the code of each row's topmost agent in the column ``agent_id``.

    All rows of an agent have the same: that of its last row with another topmost agent, as an
    agent's parent may be unknown at first. It is the agent itself if there is none, or if the
    frame has no event of the topmost one.
    """
    agents, roots = encode_column(df, "agent_id"), encode_column(with_roots(df), "root_agent_id")
    names = pd.Index(agents.values).astype(object)
    codes = np.append(names.get_indexer(pd.Index(roots.values).astype(object)), -1)
    row_codes = codes[roots.codes]
    own = agents.codes.astype(np.int64)
    other = np.flatnonzero((row_codes >= 0) & (own >= 0) & (row_codes != own))
    if not len(other):
        return own
    root_of = np.arange(len(names))
    occurs = np.bincount(own[own >= 0], minlength=len(names)) > 0
    other = other[occurs[row_codes[other]]]
    root_of[own[other]] = row_codes[other]
    return np.append(topmost(root_of), -1)[own]


def fill_forward(df: pd.DataFrame, column: str) -> pd.Series:
    """Return a column with each missing value replaced by the last value of the same agent.

    An event of ``session_id`` that only ends or describes a session, such as a late session_end,
    does not make it the agent's session.
    """
    if column not in df.columns:
        return pd.Series(np.full(len(df), None, object), index=df.index)
    codes = encode_column(df, column).codes
    if len(codes) and codes.min() >= 0:
        return df[column]
    order = agent_order(df)
    agents = encode_column(df, "agent_id").codes[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = agents[1:] != agents[:-1]
    starts = last_marked(begins)
    named = codes[order] >= 0
    if column == "session_id":
        passive = column_isin(df, "event_type", *NOT_FIRST_TYPES)[order]
        n_named = np.cumsum(named)
        first = named & (n_named - n_named[starts] + named[starts] == 1)
        enters = named & (first | ~passive)
    else:
        enters = named
    last = np.where(named, np.arange(len(order)), last_marked(enters | begins))
    source = np.empty(len(order), np.int64)
    source[order] = order[last]
    return df[column].take(source).set_axis(df.index)


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
