"""Gemini CLI's constants agree with each other and with its hooks."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.gemini import GeminiCli, constants
from htmlgraph_nb.coding_agents.gemini.hooks import HOOK_FORMAT


def test_constants_are_those_of_the_agent() -> None:
    """The constants and the agent have the same name and sources."""
    agent = GeminiCli()
    assert constants.AGENT == agent.name == HOOK_FORMAT.agent
    assert agent.session_source == constants.SESSION_SOURCE
    assert HOOK_FORMAT.source == agent.hook_source


def test_constants_extra_fields_are_sent() -> None:
    """htmlgraph-hook sends every field that becomes part of an event."""
    sent = GeminiCli().hook_fields
    for hook, fields in constants.EXTRA_FIELDS.items():
        # ``agent_type`` is sent with every hook.
        assert set(fields) - {"agent_type"} <= set(sent[hook])


def test_constants_question_tools_have_a_known_kind() -> None:
    """A tool that waits for the user asks for input or for the approval of a plan."""
    assert constants.QUESTION_TOOLS
    assert set(constants.QUESTION_TOOLS.values()) <= {"input", "plan"}
