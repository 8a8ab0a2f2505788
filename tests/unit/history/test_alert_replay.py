"""replay_alerts: what rules would have reported about a history."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.alerts.alert_rule import AlertRule
from htmlgraph_nb.errors import ConfigError, InvalidEvent
from tests.helpers.event_frames import event_frame


def history() -> pd.DataFrame:
    """Return an agent that waits, answers, then repeats a call and spends much."""
    rows: list[dict[str, Any]] = [
        {"agent_id": "a", "event_type": "prompt", "at": 0},
        {"agent_id": "a", "event_type": "permission_request", "at": 10},
        {"agent_id": "a", "event_type": "tool_execute", "at": 100, "tool_name": "Bash"},
    ]
    rows += [
        {
            "agent_id": "a",
            "event_type": "tool_execute",
            "at": 200 + 10 * number,
            "tool_name": "Edit",
            "input_hash": 7,
        }
        for number in range(6)
    ]
    rows += [
        {"agent_id": "a", "event_type": "completion", "at": 400, "cost_usd": 8.0},
        {"agent_id": "b", "event_type": "completion", "at": 401, "cost_usd": 8.0},
    ]
    return event_frame(rows)


def test_replay_alerts_of_the_default_rules() -> None:
    """The default rules fire at the time at which they would have fired."""
    frame = hg.replay_alerts(history(), tz="UTC")
    assert frame["rule"].tolist() == ["waits"]
    (row,) = frame.to_dict("records")
    assert (row["fired_at"] - row["since"]).total_seconds() == 31
    assert (row["resolved_at"] - row["since"]).total_seconds() == 90


def test_replay_alerts_of_own_rules() -> None:
    """Rules are settings of the file or objects; budgets and loops count the events."""
    rules = [
        {"kind": "loop", "threshold": 4},
        AlertRule(name="money", kind="budget", threshold=10.0, by="all", period="day"),
    ]
    frame = hg.replay_alerts(history(), rules, tz="UTC")
    assert frame["rule"].tolist() == ["loop", "money"]
    assert frame["subject"].tolist() == ["a", "all"]
    assert frame["message"].tolist() == [
        "a made the same call of Edit 4 times.",
        "All agents used $16.00 today of $10.00.",
    ]


def test_replay_alerts_refuses() -> None:
    """Invalid rules and frames are named."""
    with pytest.raises(ConfigError, match="rule, kind: expected one of"):
        hg.replay_alerts(history(), [{"kind": "x"}])
    with pytest.raises(ConfigError, match="two are named 'waits'"):
        hg.replay_alerts(history(), [{"kind": "waits"}, {"kind": "waits"}])
    with pytest.raises(InvalidEvent, match="agent_id"):
        hg.replay_alerts(pd.DataFrame({"timestamp": []}))
