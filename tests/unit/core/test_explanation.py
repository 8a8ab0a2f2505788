"""Why an agent has its status: the evidence and the rules, as they were asked."""

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
        ([(1, "prompt", {}), (2, "process_exit", {})], "its session is over"),
        ([(1, "tool_start", PLAN)], "it waits for a person"),
        ([(1, "tool_start", BASH)], "a tool runs"),
        ([(1, "task_start", {}), (2, "stop", {})], "subagents or background tasks run"),
        ([(1, "prompt", {}), (2, "stop", {})], "its turn is over"),
        ([(1, "prompt", {})], "it works"),
    ],
)
def test_rules_up_to_the_one_that_fits(steps: list[Any], rule: str) -> None:
    """Those that were asked are listed in their order, and only the last fits."""
    rules = explain(state_after(*steps))["rules"]
    names = list(RULES)
    assert [one["rule"] for one in rules] == names[: names.index(rule) + 1]
    assert [one["fits"] for one in rules] == [False] * (len(rules) - 1) + [True]


def test_every_kind_of_evidence_is_named() -> None:
    """What is open, what ended and what was last seen is told with its time, the newest first."""
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
    found = {(one.what, one.about): one.at for one in evidence_of(state)}
    assert found["open question (permission)", "Edit"] == at(8)
    assert found["open background task", "b1"] == at(7)
    assert found["open subagent", "claude-c"] == at(6)
    assert found["open call that asks a person (plan)", "ExitPlanMode"] == at(5)
    assert found["open tool call", "Bash"] == at(4)
    assert found["background tasks at the turn's end", "2"] == at(3)
    assert found["turn ended", None] == at(3)
    assert found["session began", None] == at(1)
    assert found["last sign of work", "task_start"] == at(7)
    times = [one.at for one in evidence_of(state)]
    assert times == sorted(times, reverse=True)


def test_lines_for_a_terminal() -> None:
    """A person reads what it is, since when and why, the rules, and the evidence with its times."""
    state = state_after((1, "prompt", {}), (2, "tool_start", PLAN))
    lines = format_lines({**state.presence.to_dict(), "explanation": explain(state)})
    assert lines[0].startswith("a is active (waiting_permission, waits for a person) since ")
    assert lines[0].endswith(": waits for approval of its plan")
    assert "  no   its session is over" in lines
    assert "  yes  it waits for a person" in lines
    assert any("open call that asks a person (plan)" in line for line in lines)
