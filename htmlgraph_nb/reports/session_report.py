"""The sessions that worked in a range of time: search, filters, order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..analysis.agent_labels import fill_forward, last_labels, time_order
from ..analysis.columns import column_isin
from ..analysis.grouping import group_rows
from ..analysis.totals import sessions
from ..core.ids import is_in_project
from ..history.load import load_history, load_presence
from ..storage.query import MAX_QUERY_NAMES
from ..storage.schema import HISTORY_COLUMNS
from .report_arguments import SESSION_COLUMNS, SESSION_FILTERS, SessionSelection, check_session_sort

SEARCHED = ("title", "agent_id", "session_id", "agent_kind", "project", "branch", "model")
"""Columns that the search reads."""
MAX_FACET_VALUES = 50
ENDED = "ended"
"""Status of a session whose agent has another session now, or was removed."""
_UNUSED = frozenset({"event_id", "worktree", "user", "pr"})
_LABELS = ("model", "cwd", "host", "parent_agent_id")


def load_sessions(
    path: str, since: datetime | None, until: datetime | None, zone: str
) -> pd.DataFrame:
    """Return the sessions with an event in a range of time, each with all of its events.

    Args:
        path: the database file.
        since, until: first time, and time after the last one; None: no bound.
        zone: name of the time zone of start and end.

    Returns:
        One row per session with the columns SESSION_COLUMNS: those of ``sessions``, which include
        subagents, model, cwd,
        host and parent_agent_id (the last of the session; missing if not reported), turns (int64:
        its prompts), and status (of the agent now: ``waiting``, ``active``, ``idle`` or
        ``offline``; ENDED if the agent has another session or was removed).

    Raises:
        StoreError: the file cannot be read.
    """
    agents = _families(path, since, until)
    columns = [name for name in HISTORY_COLUMNS if name not in _UNUSED]
    events = load_history(path, agents=agents, columns=columns, progress=False)
    events = events.assign(timestamp=events["timestamp"].dt.tz_convert(zone))
    table = session_table(events, load_presence(path))
    keep = np.ones(len(table), np.bool_)
    if since is not None:
        keep &= ~(table["end"] < since)
    if until is not None:
        keep &= ~(table["start"] >= until)
    selected = table[keep].reset_index(drop=True)
    selected.attrs.update(table.attrs)
    return selected


def _families(path: str, since: datetime | None, until: datetime | None) -> list[str] | None:
    """Return the agents of the sessions of a range.

    These are the agents with an event in the range, their topmost agents, and all subagents of
    those; None: all agents.
    """
    if since is None and until is None:
        return None
    found = load_history(path, since=since, until=until, columns=["root_agent_id"], progress=False)
    roots = {str(name) for name in found["root_agent_id"].dropna().unique()}
    if not roots:
        return []
    if len(roots) >= MAX_QUERY_NAMES:
        return None
    times = load_history(path, agents=sorted(roots), columns=["timestamp"], progress=False)
    oldest = times["timestamp"].min()
    first = since if pd.isna(oldest) else min(oldest, since or oldest)
    columns = ["timestamp", "agent_id", "root_agent_id"]
    later = load_history(path, since=first, columns=columns, progress=False)
    # An agent without later events counts as active or idle up to the newest event of all.
    roots.add(str(later["root_agent_id"].iloc[int(later["timestamp"].to_numpy().argmax())]))
    family = later.loc[later["root_agent_id"].isin(list(roots)), "agent_id"].unique()
    names = sorted({*map(str, family), *roots})
    return names if len(names) <= MAX_QUERY_NAMES else None


def session_table(df: pd.DataFrame, presence: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions of a frame with the columns SESSION_COLUMNS.

    Args:
        df: events, as for ``sessions``.
        presence: the agents now, as ``load_presence`` returns them.
    """
    table = sessions(df, subagents="include")
    keys = ["agent_id", "session_id"]
    filled = df.assign(session_id=fill_forward(df, "session_id"))
    groups = group_rows(filled, keys)
    more = groups.with_columns(
        **last_labels(df, _LABELS, groups, time_order(df)),
        turns=groups.count(column_isin(df, "event_type", "prompt")),
    )
    known = {
        agent_id: (session_id, "waiting" if attention else status)
        for agent_id, session_id, status, attention in zip(
            presence["agent_id"].astype(str),
            presence["session_id"].astype(object).where(presence["session_id"].notna(), ""),
            presence["status"].astype(str),
            presence["attention"],
            strict=True,
        )
    }
    merged = table.merge(more, on=keys, how="left")
    merged["status"] = [
        status if session_id == current else ENDED
        for (current, status), session_id in zip(
            (known.get(agent_id, (None, "")) for agent_id in merged["agent_id"].astype(str)),
            merged["session_id"].astype(object).where(merged["session_id"].notna(), ""),
            strict=True,
        )
    ]
    merged = merged[list(SESSION_COLUMNS)]
    merged.attrs.update(table.attrs)
    return merged


def select_sessions(table: pd.DataFrame, selection: SessionSelection) -> pd.DataFrame:
    """Return the selected rows of ``load_sessions``, all of them, in order.

    Missing values come last in each order.

    Raises:
        InvalidEvent: ``sort`` names no column.
    """
    check_session_sort(selection.sort)
    keep = np.ones(len(table), np.bool_)
    if selection.sessions is not None:
        keep &= table["session_id"].isin(list(selection.sessions)).to_numpy()
    for column, values in selection.filters.items():
        keep &= texts_of(table, column).isin(list(values)).to_numpy() | (
            _in_projects(table, values) if column == "project" else False
        )
    words = selection.search.casefold().split()
    if words:
        lines = texts_of(table, SEARCHED[0])
        for column in SEARCHED[1:]:
            lines = lines + "\n" + texts_of(table, column)
        lines = lines.str.casefold()
        for word in words:
            keep &= lines.str.contains(word, regex=False).to_numpy(np.bool_)
    found = table[keep]
    column = selection.sort.removeprefix("-")
    key = found[column]
    if key.dtype.name in ("category", "object", "string", "str"):
        key = texts_of(found, column).str.casefold()
        key = key.mask(key == "")
    order = key.reset_index(drop=True).sort_values(
        ascending=not selection.sort.startswith("-"), kind="stable", na_position="last"
    )
    return found.take(order.index.to_numpy()).reset_index(drop=True)


def _in_projects(table: pd.DataFrame, wanted: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return whether a project is one of these, however its name is shown now."""
    # ``.str.rpartition`` has no third column without rows.
    names = [text.rpartition("/")[2] for text in texts_of(table, "project")]
    folders = texts_of(table, "cwd")
    return np.array(
        [
            any(is_in_project(one, name or None, cwd or None) for one in wanted)
            for name, cwd in zip(names, folders, strict=True)
        ],
        np.bool_,
    )


def facets_of(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the values of the columns SESSION_FILTERS and their number of sessions.

    The values are sorted by number, at most MAX_FACET_VALUES of each column; "" is a missing one.
    """
    return {
        column: {
            str(name): int(n)
            for name, n in texts_of(table, column).value_counts().head(MAX_FACET_VALUES).items()
        }
        for column in SESSION_FILTERS
    }


def texts_of(table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of names as text, "" where one is missing."""
    values = table[column].astype(object)
    return values.where(values.notna(), "").astype(str)
