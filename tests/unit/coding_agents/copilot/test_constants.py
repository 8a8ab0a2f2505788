"""Copilot CLI's constants agree with each other."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.copilot import CopilotCli, constants


def test_constants_are_those_of_the_agent() -> None:
    """The constants and the agent have the same name and sources."""
    agent = CopilotCli()
    assert agent.name == constants.AGENT
    assert agent.session_source == constants.SESSION_SOURCE


def test_constants_extra_fields_are_sent() -> None:
    """htmlgraph-hook sends every field that becomes part of an event."""
    for hook, fields in constants.EXTRA_FIELDS.items():
        assert set(fields) <= set(constants.SENT_FIELDS[hook])


def test_constants_question_tools_have_a_known_kind() -> None:
    """A tool that waits for the user asks for input or for the approval of a plan."""
    assert set(constants.QUESTION_TOOLS.values()) <= {"input", "plan"}
