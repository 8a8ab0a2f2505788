"""Copilot CLI's spans: those of version 1.0.102, and its session file of the same session."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.copilot.telemetry import TELEMETRY
from tests.helpers.framework_spans import Agents, spans_of


def test_telemetry_of_a_recorded_session() -> None:
    """All calls count for the main agent, also those of its subagent, which has no id there."""
    agents = Agents()
    agents.receive(spans_of("copilot.jsonl"))
    ((name, agent),) = agents.agents.items()
    assert name == "copilot-1eaf9d7c"
    assert (agent.tools, agent.tokens, agent.reason) == (3, 535, "the turn is over")
    assert [event.tool_name for event in agents.events if event.tool_name] == [
        "Bash",
        "Bash",
        "Agent",
    ]
    assert {event.agent_kind for event in agents.events} == {"copilot"}


def test_telemetry_names_tools_as_hooks_do() -> None:
    """Other tools keep their name."""
    names = [TELEMETRY.span_tool_name(name) for name in ("bash", "rg", "my_tool")]
    assert names == ["Bash", "Grep", "my_tool"]
