"""Explanations of a status: the evidence and the evaluated rules."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.explanation import evidence_of, explain, format_lines
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.core.status_rules import RULES
from tests.helpers.strategies import at


def state_after(*steps: tuple[float, str, dict[str, Any]]) -> AgentState:
    """Return the state of agent "a" after these steps."""
    roster = Roster()
    for seq, (seconds, kind, fields) in enumerate(steps, 1):
        event = Event(agent_id="a", event_type=kind, timestamp=at(seconds), **fields)
        roster.apply(event, seq, at(100))
    roster.commit()
    return roster.agents["a"]


BASH = {"tool_name": "Bash", "tool_use_id": "t1"}
PLAN = {"tool_name": "ExitPlanMode", "tool_use_id": "t2", "extra": {"asks": "plan"}}


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([(1, "prompt", {}), (2, "process_exit", {})], "session is over"),
        ([(1, "tool_start", PLAN)], "waiting for a person"),
        ([(1, "tool_start", BASH)], "a tool is running"),
        ([(1, "task_start", {}), (2, "stop", {})], "subagents or background tasks are running"),
        ([(1, "prompt", {}), (2, "stop", {})], "turn is over"),
        ([(1, "prompt", {})], "working"),
    ],
)
def test_explain_lists_rules_up_to_the_first_match(steps: list[Any], rule: str) -> None:
    """The evaluated rules are listed in order, and only the last one matches."""
    rules = explain(state_after(*steps))["rules"]
    names = list(RULES)
    assert [entry["rule"] for entry in rules] == names[: names.index(rule) + 1]
    assert [entry["fits"] for entry in rules] == [False] * (len(rules) - 1) + [True]


def test_evidence_of_names_every_kind_of_evidence() -> None:
    """Open work, ends and latest signals are listed with timestamps, newest first."""
    state = state_after(
        (1, "session_start", {}),
        (2, "prompt", {}),
        (3, "stop", {"extra": {"background_tasks": 2}}),
        (4, "tool_start", BASH),
        (5, "tool_start", PLAN),
        (6, "subagent_start", {"extra": {"child_agent_id": "claude-c"}}),
        (7, "task_start", {"extra": {"task_id": "b1"}}),
        (8, "permission_request", {"tool_name": "Edit"}),
    )
    timestamps = {(item.what, item.about): item.at for item in evidence_of(state)}
    assert timestamps["open question (permission)", "Edit"] == at(8)
    assert timestamps["open background task", "b1"] == at(7)
    assert timestamps["open subagent", "claude-c"] == at(6)
    assert timestamps["open call with a question (plan)", "ExitPlanMode"] == at(5)
    assert timestamps["open tool call", "Bash"] == at(4)
    assert timestamps["background tasks at the end of the turn", "2"] == at(3)
    assert timestamps["turn ended", None] == at(3)
    assert timestamps["session began", None] == at(1)
    assert timestamps["last work", "task_start"] == at(7)
    times = [item.at for item in evidence_of(state)]
    assert times == sorted(times, reverse=True)


def test_format_lines_shows_status_rules_and_evidence() -> None:
    """The lines contain the status with its start and reason, the rules and the evidence."""
    state = state_after((1, "prompt", {}), (2, "tool_start", PLAN))
    lines = format_lines({**state.presence.to_dict(), "explanation": explain(state)})
    assert lines[0].startswith("a is active (waiting_permission, waiting for a person) since ")
    assert lines[0].endswith(": waits for approval of its plan")
    assert "  no   session is over" in lines
    assert "  yes  waiting for a person" in lines
    assert any("open call with a question (plan)" in line for line in lines)
    assert "evidence, newest first, times in UTC" in lines


def test_format_lines_shows_times_as_asked() -> None:
    """In the zone that is named."""
    state = state_after((1, "prompt", {}))
    response = {**state.presence.to_dict(), "explanation": explain(state)}
    lines = format_lines(response, lambda time: f"<{time[11:16]}>", "Asia/Tokyo")
    assert " since <" in lines[0]
    assert "evidence, newest first, times in Asia/Tokyo" in lines
    assert lines[-1].startswith("  <")
