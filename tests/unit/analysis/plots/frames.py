"""Frames that the plots are tested with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.unit.analysis.test_examples import example

NEW_YORK = "America/New_York"


def events(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a frame of events; ``at`` is an ISO time."""
    columns = {
        "timestamp": pd.to_datetime([row["at"] for row in rows], utc=True).as_unit("us"),
        "agent_id": [row.get("agent", "claude-1") for row in rows],
        "event_type": [row["type"] for row in rows],
        "session_id": [row.get("session", "s-1") for row in rows],
        "tool_name": [row.get("tool") for row in rows],
        "tool_use_id": [row.get("call") for row in rows],
        "parent_agent_id": [row.get("parent") for row in rows],
        "model": [row.get("model") for row in rows],
        "status": [row.get("status") for row in rows],
        "extra": [row.get("extra") for row in rows],
    }
    for name in ("input_tokens", "output_tokens", "duration_ms", "context_tokens"):
        columns[name] = pd.array([row.get(name) for row in rows], dtype="Int64")
    columns["context_window"] = pd.array([200_000] * len(rows), dtype="Int64")
    columns["cost_usd"] = np.array([row.get("usd", np.nan) for row in rows], np.float64)
    return pd.DataFrame(columns)


def repeated_hour() -> pd.DataFrame:
    """Return a wait from 01:50 EDT to 01:10 EST, 20 minutes, and two tools around it."""
    return events(
        {"at": "2026-11-01T05:30Z", "type": "prompt"},
        {"at": "2026-11-01T05:40Z", "type": "tool_execute", "tool": "Read"},
        {"at": "2026-11-01T05:50Z", "type": "permission_request", "tool": "Bash"},
        {"at": "2026-11-01T06:10Z", "type": "answered"},
        {"at": "2026-11-01T06:20Z", "type": "tool_execute", "tool": "Bash"},
        {"at": "2026-11-01T06:30Z", "type": "stop"},
    )


def labelled() -> pd.DataFrame:
    """Return the example, in which one agent has a title and the other a project and branch."""
    frame = example()
    is_claude = frame["agent_id"] == "claude-1"
    title, other = "Price in $x_ and ${y\n<b>" + "long " * 20, "_private"
    return frame.assign(
        title=pd.Categorical(np.where(is_claude, title, None)),
        project=pd.Categorical(np.where(is_claude, "shop", other)),
        branch=pd.Categorical(["main"] * len(frame)),
    )
