"""History frames without decisions, drawn by hypothesis or written by hand, for the analysis."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import strategies as st

START = pd.Timestamp("2026-01-14T14:50Z")
PARENTS = {"a": None, "a/1": "a", "a/1/x": "a/1", "b": None, "c/1": "c"}
"""Agent → its parent; "c" has no events."""
_NAMES = (
    *("agent_id", "event_type", "session_id", "tool_name", "tool_use_id", "model", "status"),
    *("parent_agent_id", "source", "title", "project", "branch", "feature_id"),
)
_COUNTS = (
    *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "cost_tokens", "context_tokens", "input_hash"),
)


def event_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame of the dtypes of ``load_history``.

    Args:
        rows: fields of events; ``at`` is the time in seconds after START.
    """
    columns: dict[str, Any] = {"seq": range(1, len(rows) + 1)}
    columns["timestamp"] = pd.Series(
        [START + pd.Timedelta(seconds=row["at"]) for row in rows], dtype="datetime64[us, UTC]"
    )
    for name in _NAMES:
        columns[name] = pd.Categorical([row.get(name) for row in rows])
    for name in _COUNTS:
        columns[name] = pd.array([row.get(name) for row in rows], dtype="Int64")
    columns["cost_usd"] = pd.Series([row.get("cost_usd") for row in rows], dtype="float64")
    columns["extra"] = pd.Series([row.get("extra") for row in rows], dtype="string")
    return pd.DataFrame(columns)


_types = st.sampled_from(
    "prompt prompt completion completion tool_start tool_execute tool_execute tool_error stop stop "
    "error interrupt session_start session_end session_info idle lint".split()
)
_row = st.fixed_dictionaries(
    {
        "agent_id": st.sampled_from(["a", "a", "a", "a/1", "a/1", "a/1/x", "b", "c/1"]),
        "event_type": _types,
        "step": st.sampled_from([0, 0.5, 1, 2, 30, 400, 4000]),
        "late": st.sampled_from([0, 0, 0, 0, 45]),
        "session_id": st.sampled_from([None, None, "s1", "s1", "s2"]),
        "tool_name": st.sampled_from([None, "Bash", "Edit"]),
        "parent": st.sampled_from([True, True, False]),
        "source": st.sampled_from(["claude-hook", "claude-hook", "otlp", "timer", "family"]),
        "status": st.sampled_from([None, "ok", "error"]),
        "input_hash": st.sampled_from([None, 1, 1, 2]),
        "feature_id": st.sampled_from([None, "f1", "f2"]),
        "title": st.sampled_from([None, "t1", "t2"]),
        "tokens": st.sampled_from([0, 0, 10, 1000]),
        "extra": st.sampled_from([None, '{"cannot_work": "usage_limited"}', '{"other": 1}']),
    }
)


@st.composite
def event_rows(draw: st.DrawFn, max_size: int = 25) -> list[dict[str, Any]]:
    """Draw events of some agents and subagents in the order of their arrival."""
    rows, at = [], 0.0
    for drawn in draw(st.lists(_row, max_size=max_size)):
        at += drawn["step"]
        row = {**drawn, "at": max(0.0, at - drawn["late"])}
        row["parent_agent_id"] = PARENTS[row["agent_id"]] if row["parent"] else None
        if row["event_type"] == "completion" or row["tokens"]:
            row["input_tokens"] = row["tokens"]
            row["cache_read_tokens"] = 3 * row["tokens"]
            row["output_tokens"] = 7
            row["model"] = "claude-opus-4-5" if row["tokens"] == 10 else "unpriced"
            row["context_tokens"] = 4 * row["tokens"] or None
        rows.append(row)
    return rows


def in_time(rows: list[dict[str, Any]]) -> list[int]:
    """Return the positions of rows by time, and by order of arrival at the same time."""
    return sorted(range(len(rows)), key=lambda number: (rows[number]["at"], number))
