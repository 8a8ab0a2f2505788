"""Mistral Vibe's constants agree with each other and with its hooks."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.vibe import MistralVibe, constants
from htmlgraph_nb.coding_agents.vibe.hooks import HOOK_FORMAT


def test_constants_are_those_of_the_agent() -> None:
    """The constants and the agent have the same name and sources."""
    agent = MistralVibe()
    assert constants.AGENT == agent.name == HOOK_FORMAT.agent
    assert agent.session_source == constants.SESSION_SOURCE
    assert HOOK_FORMAT.source == agent.hook_source
    assert set(constants.QUESTION_TOOLS.values()) <= {"input", "plan"}
