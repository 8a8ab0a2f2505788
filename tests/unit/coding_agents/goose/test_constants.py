"""Constants of Goose."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.goose.constants import AGENT, CANNOT_WORK, SESSION_SOURCE
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.agent_facts import CANNOT_WORK as KINDS


def test_constants_are_those_of_the_registry() -> None:
    """The source of its events is derived from its name."""
    assert AGENTS[AGENT].session_source == SESSION_SOURCE
    assert set(CANNOT_WORK.values()) <= set(KINDS)
