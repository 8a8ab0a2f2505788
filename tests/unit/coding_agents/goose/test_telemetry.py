"""Goose's spans: those of version 1.52.0."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.goose.telemetry import TELEMETRY
from tests.helpers.framework_spans import Agents, spans_of


def test_telemetry_of_a_recorded_session() -> None:
    """One turn with two completions and a call of a tool; the inner run is the same turn."""
    agents = Agents()
    agents.receive(spans_of("goose.jsonl"))
    ((name, agent),) = agents.agents.items()
    assert name == "goose-20261130_1"
    assert (agent.tools, agent.tokens, agent.reason) == (1, 214, "the turn is over")
    kinds = [event.event_type for event in agents.events]
    assert sorted(kinds) == ["completion", "completion", "prompt", "stop", "tool_execute"]
    assert {event.agent_kind for event in agents.events} == {"goose"}
    assert TELEMETRY.inner_runs == ("reply_stream",)


def test_telemetry_calls_have_the_ids_of_the_database() -> None:
    """So that a call counts once, in any order of arrival."""
    agents = Agents()
    agents.receive(spans_of("goose.jsonl"))
    (call,) = (event for event in agents.events if event.tool_name)
    assert (call.tool_name, call.event_id) == ("shell", "20261130_1:call_2:PostToolUse")
