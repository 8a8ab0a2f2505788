"""sample_history: deterministic, and each agent shows its pattern."""

from __future__ import annotations

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.history.load import HISTORY_DTYPES


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    """Return the sample."""
    return hg.sample_history()


def test_sample_history_is_the_same_on_each_call(events: pd.DataFrame) -> None:
    """It has the columns and dtypes of load_history, statuses included."""
    pd.testing.assert_frame_equal(events, hg.sample_history())
    assert list(events.columns) == list(HISTORY_DTYPES)
    assert events["agent_status"].notna().all()
    assert events[["title", "branch"]].notna().all().all()


def test_sample_history_shows_its_patterns(events: pd.DataFrame) -> None:
    """Waits, a loop of errors, a limit, an expensive agent, subagents and compactions."""
    waits = hg.waiting_time(events).set_index("agent_id")
    assert waits.loc["claude-4a9c1ab2", "waits"] == 3
    assert waits["longest"].max() == pd.Timedelta(minutes=14)
    assert waits.loc["gemini-c2d94e18", "waits"] == 1
    errors = hg.agents(events).set_index("agent_id")["errors"]
    assert errors.idxmax() == "codex-019a61c2"
    assert errors.max() > 40
    assert (events["agent_detail"] == "usage_limited").any()
    usd = hg.agents(events).set_index("agent_id")["usd"]
    assert usd["claude-7be03d55"] > usd.drop("claude-7be03d55").sum()
    assert events["parent_agent_id"].dropna().unique().tolist() == ["claude-7be03d55"]
    known = events.dropna(subset=["context_tokens", "context_window"])
    assert (known["context_tokens"] < known["context_window"]).all()
    assert hg.token_costs(events)["usd"].notna().all()


def test_sample_history_can_be_replayed(events: pd.DataFrame) -> None:
    """At ten past nine the fixer waits and an agent is out of quota."""
    end = hg.presence_at(events, events["timestamp"].max()).set_index("agent_id")
    assert set(end["status"]) == {"idle", "offline"}
    waiting = events[events["agent_attention"]]["timestamp"].iloc[-1]
    then = hg.presence_at(events, waiting).set_index("agent_id")
    assert then["attention"].sum() == 1
    assert then.loc["claude-7be03d55", "title"].startswith("Migrate the checkout")
