"""The agent that a line of Qwen Code's session files belongs to."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.qwen.line_context import QwenLine
from tests.helpers.session_lines import START


def test_line_of_a_subagent_has_a_parent() -> None:
    """Events of the parent are those of the main agent."""
    line = QwenLine("qwen-c", "qwen-p", "s", None, "u1", START, "shop", None, "/srv/shop")
    assert (line.child, line.key(), line.key("Stop")) == ("qwen-c", "qwen:u1", "qwen:u1:Stop")
    own = line.of_parent()
    assert (own.agent_id, own.parent, own.child) == ("qwen-p", None, None)
    event = line.event("activity", "k" * 500)
    assert event.checked() == event
    assert (event.agent_id, event.parent_agent_id) == ("qwen-c", "qwen-p")
