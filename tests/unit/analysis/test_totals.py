"""Totals of sessions and agents, with subagents apart or included."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from htmlgraph_nb import analysis
from htmlgraph_nb.core.reducer import NOT_FIRST_TYPES, TOOL_END_TYPES
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.event_frames import PARENTS, event_frame, event_rows, in_time

Rows = list[dict[str, Any]]


def is_tool(row: dict[str, Any]) -> bool:
    """Return whether a row counts as a tool call."""
    other = row["event_type"] == "lint" and row["tool_name"] is not None
    return row["event_type"] in TOOL_END_TYPES or other


def sessions_of(rows: Rows) -> list[str | None]:
    """Return the session of each row, as the reference: one row after the other."""
    current: dict[str, str] = {}
    found: list[str | None] = [None] * len(rows)
    for number in in_time(rows):
        row = rows[number]
        agent, session = row["agent_id"], row["session_id"]
        found[number] = session or current.get(agent)
        if session and (agent not in current or row["event_type"] not in NOT_FIRST_TYPES):
            current[agent] = session
    return found


def roots_of(rows: Rows) -> dict[str, str]:
    """Return the topmost known ancestor of each agent."""
    parents = {row["agent_id"]: PARENTS[row["agent_id"]] for row in rows if row["parent_agent_id"]}

    def root(agent: str) -> str:
        parent = parents.get(agent)
        return agent if parent is None else root(parent)

    return {row["agent_id"]: root(row["agent_id"]) for row in rows}


@settings(max_examples=50)
@given(event_rows())
def test_root_agent_id_is_derived(rows: Rows) -> None:
    """A frame without the column groups by the topmost ancestor that the parents name."""
    frame, roots = event_frame(rows), roots_of(rows)
    expected = Counter(roots[row["agent_id"]] for row in rows if is_tool(row))
    counted = analysis.tool_counts(frame, by="root_agent_id")
    assert dict(zip(counted["root_agent_id"], counted["count"], strict=True)) == expected
    partly = frame.assign(
        root_agent_id=[
            roots[row["agent_id"]] if number % 2 else None for number, row in enumerate(rows)
        ]
    )
    pd.testing.assert_frame_equal(
        analysis.tool_counts(partly, by="root_agent_id").astype({"root_agent_id": object}),
        counted.astype({"root_agent_id": object}),
    )


def test_root_agent_id_in_circle_is_agent() -> None:
    """Agents that name each other as parent, and one below them, are their own roots."""
    pairs = [("a", "b"), ("b", "a"), ("x", "a"), ("y", "y"), ("z", "y")]
    rows = [
        {"agent_id": agent, "parent_agent_id": parent, "event_type": "tool_execute", "at": 0}
        for agent, parent in pairs
    ]
    counted = analysis.tool_counts(event_frame(rows), by="root_agent_id")
    assert dict(zip(counted["root_agent_id"], counted["count"], strict=True)) == {
        **dict.fromkeys("abx", 1),
        "y": 2,
    }


@settings(max_examples=50)
@given(event_rows())
def test_sessions_include_subagents(rows: Rows) -> None:
    """Each subagent's event counts to the session of its topmost agent at that time."""
    frame, roots, own = event_frame(rows), roots_of(rows), sessions_of(rows)
    present = {row["agent_id"] for row in rows}
    order = in_time(rows)
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    names: dict[Any, set[str]] = defaultdict(set)
    for number in order:
        row = rows[number]
        root = roots[row["agent_id"]] if roots[row["agent_id"]] in present else row["agent_id"]
        key = (root, own[number])
        if root != row["agent_id"]:
            same_time = [n for n in order if rows[n]["at"] <= row["at"]]
            before = [n for n in same_time if rows[n]["agent_id"] == root]
            first = next(n for n in order if rows[n]["agent_id"] == root)
            key = (root, own[before[-1] if before else first])
            names[key].add(row["agent_id"])
        counts[key]["tools"] += is_tool(row)
        counts[key]["tokens"] += 4 * row["tokens"] + 7 * ("output_tokens" in row)
    table = analysis.sessions(frame, subagents="include")
    found = {
        (agent, None if pd.isna(session) else session): (tools, tokens, subagents)
        for agent, session, tools, tokens, subagents in table[
            ["agent_id", "session_id", "tools", "tokens", "subagents"]
        ].itertuples(index=False)
    }
    for key, values in found.items():
        expected = counts[key]["tools"], counts[key]["tokens"], len(names[key])
        assert values == expected, key
    assert sum(c["tokens"] for c in counts.values()) == table["tokens"].sum()
    assert table["tokens"].sum() == analysis.sessions(frame)["tokens"].sum()
    by_agent = analysis.agents(frame, subagents="include").set_index("agent_id")
    summed = table.groupby("agent_id", observed=True)["tools"].sum()
    assert by_agent["tools"].to_dict() == summed.to_dict()


def test_sessions_include_keeps_times_of_agent() -> None:
    """Times, title and context are those of the agent, calls and tokens also of its subagents."""
    rows = [
        {"agent_id": "a", "event_type": "prompt", "at": 0, "title": "parent", "session_id": "s"},
        {"agent_id": "a/1", "event_type": "tool_execute", "at": 50, "title": "child"},
        {"agent_id": "a", "event_type": "stop", "at": 60, "session_id": "s"},
    ]
    rows[1]["parent_agent_id"] = "a"
    frame = event_frame(rows)
    (row,) = analysis.sessions(frame, subagents="include").to_dict("records")
    assert (row["agent_id"], row["session_id"], row["title"]) == ("a", "s", "parent")
    assert (row["tools"], row["subagents"], row["wall"]) == (1, 1, pd.Timedelta("1min"))
    apart = analysis.sessions(frame)
    assert apart["tools"].tolist() == [0, 1]
    assert "subagents" not in apart


def test_subagents_argument_is_checked() -> None:
    """Anything but the two words is refused."""
    for function in (analysis.sessions, analysis.agents):
        with pytest.raises(InvalidEvent, match='expected "separate" or "include", got'):
            function(event_frame([]), subagents="all")


def test_limits_apply_to_all_status_functions() -> None:
    """Each function that shows statuses takes the timers by which they are decided."""
    rows = [
        {"agent_id": "a", "event_type": "prompt", "at": 0, "feature_id": "f"},
        {"agent_id": "b", "event_type": "viewed", "at": 1000},
    ]
    frame, limits = event_frame(rows), Limits(idle_timeout_s=100)
    short = pd.Timedelta(seconds=100)
    for function in (analysis.sessions, analysis.features, analysis.agents, analysis.summary):
        assert function(frame)["active"].max() == pd.Timedelta(seconds=300)
        assert function(frame, limits=limits)["active"].max() == short
    active = analysis.concurrency(frame, "1h", limits=limits)["active"].sum()
    assert active * 3600 == pytest.approx(100)


@settings(max_examples=50)
@given(event_rows())
def test_tool_transitions_use_sessions_of_agents(rows: Rows) -> None:
    """A call without a session follows the one before it in its agent's session."""
    own = sessions_of(rows)
    last: dict[Any, str | None] = {}
    pairs: Counter[Any] = Counter()
    for number in in_time(rows):
        row = rows[number]
        if not is_tool(row):
            continue
        key = (row["agent_id"], own[number])
        if key in last:
            pairs[last[key], row["tool_name"]] += 1
        last[key] = row["tool_name"]
    table = analysis.tool_transitions(event_frame(rows)).astype(object)
    table = table.where(table.notna(), None)
    keys = zip(table["tool_name"], table["next_tool_name"], strict=True)
    assert dict(zip(keys, table["count"], strict=True)) == pairs


def test_waiting_time_by_tool_and_project() -> None:
    """A wait counts to the tool and the project of the event with which it began."""
    rows = [
        {"agent_id": "a", "event_type": "permission_request", "tool_name": "Bash", "at": 0},
        {"agent_id": "a", "event_type": "tool_execute", "tool_name": "Bash", "at": 60},
        {"agent_id": "a", "event_type": "permission_request", "tool_name": "Bash", "at": 70},
        {"agent_id": "a", "event_type": "tool_execute", "tool_name": "Bash", "at": 90},
        {"agent_id": "b", "event_type": "permission_request", "tool_name": "Edit", "at": 100},
        {"agent_id": "b", "event_type": "viewed", "at": 110},
    ]
    frame = event_frame([{**row, "project": f"p-{row['agent_id']}"} for row in rows])
    by_tool = analysis.waiting_time(frame, by="tool_name")
    assert by_tool["tool_name"].tolist() == ["Bash", "Edit"]
    assert by_tool["waits"].tolist() == [2, 1]
    assert by_tool["total"].dt.total_seconds().tolist() == [80, 10]
    assert by_tool["median"].dt.total_seconds().tolist() == [40, 10]
    assert by_tool["longest"].dt.total_seconds().tolist() == [60, 10]
    assert by_tool["waiting_now"].tolist() == [False, True]
    (total,) = analysis.waiting_time(frame, by=())["total"]
    assert total == pd.Timedelta(seconds=90)
    assert analysis.waiting_time(frame, by="project")["project"].tolist() == ["p-a", "p-b"]
    assert analysis.waiting_time(frame.head(0)).empty


def test_token_costs_cache_hit_rate() -> None:
    """The share of cached tokens of those sent, NaN where nothing was sent."""
    rows = [
        {"agent_id": "a", "event_type": "completion", "at": 0, "input_tokens": 10, "model": "m"},
        {"agent_id": "b", "event_type": "completion", "at": 1, "output_tokens": 5, "model": "m"},
    ]
    rows[0].update(cache_read_tokens=60, cache_write_5m_tokens=20, cache_write_1h_tokens=10)
    table = analysis.token_costs(event_frame(rows), by="agent_id")
    assert table["cache_hit_rate"].tolist()[0] == 0.6
    assert pd.isna(table["cache_hit_rate"].tolist()[1])
