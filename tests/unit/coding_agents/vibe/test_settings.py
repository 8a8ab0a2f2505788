"""Mistral Vibe's hooks are a file of their own."""

from __future__ import annotations

import tomllib

from htmlgraph_nb.coding_agents.vibe.settings import SETTINGS


def test_settings_are_a_file_of_three_hooks() -> None:
    """Vibe parses it as TOML; the command is quoted as a whole."""
    assert SETTINGS.program is not None
    command = "'/srv/my \"env\"/bin/htmlgraph-hook' vibe"
    hooks = tomllib.loads(SETTINGS.program(command))["hooks"]
    assert [hook["type"] for hook in hooks] == ["before_tool", "after_tool", "post_agent_turn"]
    assert {hook["command"] for hook in hooks} == {command}
    assert {hook["timeout"] for hook in hooks} == {5.0}
