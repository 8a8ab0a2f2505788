"""Labels of agents in tables and plots: the last known of each."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import analysis
from htmlgraph_nb.analysis.agent_labels import agent_labels
from htmlgraph_nb.history.sample import sample_history

LABELS = ["title", "branch", "cwd", "worktree", "agent_kind", "user", "pr"]


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a history frame of these events, a minute apart."""
    frame = pd.DataFrame(rows).astype("object")
    frame["timestamp"] = pd.date_range("2026-01-14T14:50Z", periods=len(rows), freq="min")
    for name in ("agent_id", "event_type", "session_id", "title", "project", "branch"):
        frame[name] = frame.get(name, pd.Series(index=frame.index, dtype=object))
        frame[name] = frame[name].astype("category")
    return frame


def labelled() -> pd.DataFrame:
    """Return two sessions of one agent and one of another."""
    common = {"agent_id": "claude-1", "event_type": "prompt", "project": "shop"}
    return frame_of(
        {**common, "session_id": "s1", "title": "first", "branch": "main", "context_tokens": 9},
        {**common, "session_id": "s1", "branch": "fix", "context_tokens": 50},
        {**common, "session_id": "s1", "title": "second", "context_tokens": 20},
        {"agent_id": "codex-1", "event_type": "prompt", "session_id": "s3", "branch": "dev"},
        {**common, "session_id": "s2", "title": "third"},
    )


def test_agents_have_their_last_labels() -> None:
    """The last known of each label, and the last and the highest context."""
    table = analysis.agents(labelled()).set_index("agent_id")
    assert list(table.columns[:6]) == [
        *("title", "agent_kind", "project", "branch", "sessions", "features")
    ]
    claude, codex = table.loc["claude-1"], table.loc["codex-1"]
    assert [claude["title"], claude["project"], claude["branch"]] == ["third", "shop", "fix"]
    assert (claude["context_tokens"], claude["peak_context_tokens"]) == (20, 50)
    assert pd.isna(codex["title"])
    assert codex["branch"] == "dev"
    assert pd.isna(codex["context_tokens"])
    assert table["context_tokens"].dtype == table["peak_context_tokens"].dtype == "Int64"
    assert table["agent_kind"].isna().all()


def test_sessions_have_their_last_labels() -> None:
    """Each session has its own title and context."""
    table = analysis.sessions(labelled()).set_index("session_id")
    assert table.loc["s1", ["title", "branch"]].tolist() == ["second", "fix"]
    assert table.loc["s2", "title"] == "third"
    assert table.loc["s1", "peak_context_tokens"] == 50
    assert pd.isna(table.loc["s2", "peak_context_tokens"])


def test_summary_counts_branches_of_each_project() -> None:
    """main and fix of one project, and dev of none."""
    row = analysis.summary(labelled()).iloc[0]
    assert (row["projects"], row["branches"], row["peak_context_tokens"]) == (1, 3, 50)
    empty = analysis.summary(labelled()[:0]).iloc[0]
    assert (empty["projects"], empty["branches"]) == (0, 0)
    assert pd.isna(empty["peak_context_tokens"])


def test_agent_labels_prefer_title_then_place_then_id() -> None:
    """Agents of the same name differ by the end of their id."""
    row = {"event_type": "prompt"}
    frame = frame_of(
        {**row, "agent_id": "claude-1", "title": "Fix it", "project": "shop"},
        {**row, "agent_id": "claude-2", "project": "shop", "branch": "main"},
        {**row, "agent_id": "codex-019eefae-11eb-785b", "project": "shop", "branch": "main"},
        {**row, "agent_id": "gemini-1"},
    )
    assert agent_labels(frame) == {
        "claude-1": "Fix it",
        "claude-2": "shop · main (claude-2)",
        "codex-019eefae-11eb-785b": "shop · main (…1eb-785b)",
        "gemini-1": "gemini-1",
    }
    long = frame.assign(title=pd.Categorical(["long " * 20 + str(n) for n in range(4)]))
    labels = agent_labels(long).values()
    assert len(set(labels)) == 4
    assert max(map(len, labels)) < 60
    assert agent_labels(frame[["agent_id", "timestamp", "event_type"]])["claude-1"] == "claude-1"


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    """Return the sample history."""
    return sample_history()


@pytest.mark.parametrize("by", [*LABELS, ("agent_kind", "branch")])
def test_functions_group_by_labels(sample: pd.DataFrame, by: Any) -> None:
    """Every function with ``by`` takes the labels, and no row is lost."""
    costs = analysis.token_costs(sample, by=by)
    assert costs["total"].sum() == analysis.token_costs(sample)["total"].sum()
    counts = analysis.tool_counts(sample, by=by, freq="1h")
    assert counts["count"].sum() == analysis.tool_counts(sample, by=())["count"].sum()
    assert len(analysis.tool_durations(sample, by=by))
    assert len(analysis.tool_errors(sample, by=by))
    compared = analysis.compare(sample, sample[sample["agent_kind"] == "claude"], by=by)
    assert set(compared["measure"]) >= {"tokens", "usd", "unpriced_tokens"}


def test_unpriced_tokens_are_in_each_table_with_costs() -> None:
    """No total of dollars hides tokens whose price is unknown."""
    frame = labelled().assign(
        model=pd.Categorical(["unknown-model"] * 5),
        input_tokens=pd.array([100] * 5, dtype="Int64"),
        output_tokens=pd.array([0] * 5, dtype="Int64"),
    )
    assert analysis.token_costs(frame)["unpriced_tokens"].tolist() == [500]
    assert analysis.agents(frame)["unpriced_tokens"].sum() == 500
    assert analysis.sessions(frame)["unpriced_tokens"].sum() == 500
    assert analysis.summary(frame)["unpriced_tokens"].tolist() == [500]
    rates = analysis.burn_rate(frame, "1h")
    assert rates["unpriced_tokens_per_hour"].tolist() == [100, 200, 300, 400, 500]
    assert analysis.forecast_budget(frame, 1.0, "2026-01-15T00:00Z")["unpriced_tokens"][0] == 500
    compared = analysis.compare(frame, frame[:0]).set_index("measure")
    assert compared.loc["unpriced_tokens", ["a", "b"]].tolist() == [500, 0]
