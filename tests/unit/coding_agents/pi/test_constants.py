"""Pi's constants agree with each other and with what its extension reports."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.pi import Pi, constants
from htmlgraph_nb.coding_agents.pi.hooks import HOOK_FORMAT
from htmlgraph_nb.core.agent_facts import CANNOT_WORK


def test_constants_are_those_of_the_agent() -> None:
    """The constants and the agent have the same name and sources."""
    agent = Pi()
    assert constants.AGENT == agent.name == HOOK_FORMAT.agent
    assert agent.session_source == constants.SESSION_SOURCE
    assert HOOK_FORMAT.source == agent.hook_source


def test_constants_extra_fields_are_sent() -> None:
    """htmlgraph-hook sends every field that becomes part of an event."""
    for hook, fields in constants.EXTRA_FIELDS.items():
        assert set(fields) <= set(Pi().hook_fields[hook])


def test_constants_kinds_of_failures_are_known() -> None:
    """Each is a reason for which an agent cannot work."""
    assert set(constants.CANNOT_WORK.values()) <= set(CANNOT_WORK)
