"""Copilot CLI's hook settings: its own file, and commands that cannot deny a tool."""

from __future__ import annotations

import os
import subprocess

import pytest

from htmlgraph_nb.coding_agents.copilot import CopilotCli
from htmlgraph_nb.coding_agents.copilot.settings import SETTINGS


def test_settings_are_a_file_of_their_own() -> None:
    """In a project they are where Copilot CLI looks for them."""
    agent = CopilotCli()
    environ = {"COPILOT_HOME": "/c"}
    assert agent.settings_paths(environ, None) == [os.path.join("/c", "hooks/htmlgraph.json")]
    assert agent.settings_paths({}, "/p") == [os.path.join("/p", ".github", "hooks/htmlgraph.json")]


def test_settings_leave_out_hooks_that_name_no_session() -> None:
    """And those that run for what needs no person."""
    others = {"SubagentStart", "Notification", "PermissionRequest"}
    assert not others & set(SETTINGS.events)


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_settings_command_succeeds_without_its_program() -> None:
    """A command that fails before a tool denies it."""
    handler = SETTINGS.handler("/nowhere/htmlgraph-hook copilot", "PreToolUse", True)
    assert handler["timeoutSec"] == 5
    done = subprocess.run(["sh", "-c", handler["command"]], capture_output=True, check=False)
    assert done.returncode == 0
