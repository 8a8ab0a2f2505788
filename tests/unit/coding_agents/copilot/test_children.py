"""Subagents have the parent that started them."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.copilot.children import Children

FIRST = "5f3c1b2a-0000-4000-8000-000000000001"
SECOND = "6f3c1b2a-0000-4000-8000-000000000002"


def test_children_of_children_have_their_parent() -> None:
    """Unknown ones are children of the main agent."""
    children = Children("s", "copilot-s")
    children.start({"agentId": FIRST}, {"agentType": "explore"})
    events = children.start({"agentId": SECOND}, {"parentId": FIRST, "agentDisplayName": "Look"})
    first = children.agents_of({"agentId": FIRST})[0]
    assert children.agents_of({"agentId": SECOND})[1] == first
    assert children.agents_of({"agentId": "call_9"})[1] == "copilot-s"
    assert children.agents_of({}) == ("copilot-s", None)
    assert events[0][2]["agent_id"] == first
    assert (events[1][2]["title"], events[1][2]["extra"]) == ("Look", {"title_default": True})


def test_children_title_of_newer_versions_is_generated() -> None:
    """It is what the model called the task."""
    children = Children("s", "copilot-s")
    data = {"agentType": "explore", "agentDisplayName": "Find the till"}
    events = children.start({"agentId": FIRST}, data)
    assert events[1][2]["extra"] == {"title_generated": True}


def test_children_without_an_id_are_ignored() -> None:
    """A failed one has a reason."""
    children = Children("s", "copilot-s")
    assert children.start({}, {}) == children.end({}, {}) == []
    end = children.end({"agentId": FIRST, "type": "subagent.failed"}, {})[1]
    assert end[2]["extra"] == {"reason": "failed"}
