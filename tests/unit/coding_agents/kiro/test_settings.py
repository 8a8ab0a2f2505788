"""Kiro CLI's hook settings: a file of its own, and the configs of agents that exist."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.kiro import KiroCli
from htmlgraph_nb.coding_agents.kiro.settings import SETTINGS


def test_settings_are_its_own_file_and_the_configs_of_agents(tmp_path: Path) -> None:
    """Configs are found, not created; other files beside them are left alone."""
    agent, folder = KiroCli(), tmp_path / "[k]"
    own = str(folder / "hooks" / "htmlgraph.json")
    environ = {"KIRO_HOME": str(folder)}
    assert agent.settings_paths(environ, None) == [own]
    agents = folder / "agents"
    agents.mkdir(parents=True)
    for name in ("shop.json", "htmlgraph.json", "agent_config.json.example", "notes.md"):
        (agents / name).write_text("{}")
    configs = [str(agents / "htmlgraph.json"), str(agents / "shop.json")]
    assert agent.settings_paths(environ, None) == [own, *configs]
    assert SETTINGS.of_path(own) is SETTINGS
    assert all(SETTINGS.of_path(path) is SETTINGS.existing for path in configs)


def test_settings_of_a_project_are_below_it(tmp_path: Path) -> None:
    """Kiro looks for both in the folder .kiro of a project."""
    config = tmp_path / ".kiro" / "agents" / "a.json"
    config.parent.mkdir(parents=True)
    config.write_text("{}")
    own = str(tmp_path / ".kiro" / "hooks" / "htmlgraph.json")
    assert KiroCli().settings_paths({}, str(tmp_path)) == [own, str(config)]


def test_settings_file_has_the_form_of_version_3() -> None:
    """Its timeouts are seconds."""
    assert SETTINGS.program is not None
    written = json.loads(SETTINGS.program("'/opt/a b/htmlgraph-hook' kiro"))
    assert written["version"] == "v1"
    assert [each["trigger"] for each in written["hooks"]] == list(SETTINGS.events)
    assert {each["timeout"] for each in written["hooks"]} == {5}
    assert all(each["action"]["type"] == "command" for each in written["hooks"])
    assert len({each["name"] for each in written["hooks"]}) == len(written["hooks"])


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_settings_commands_succeed_without_their_program() -> None:
    """A command that fails before a tool denies it in version 3."""
    command = "/nowhere/htmlgraph-hook kiro"
    assert SETTINGS.program is not None
    assert SETTINGS.existing is not None
    entry = SETTINGS.existing.handler(command, "preToolUse", True)
    assert entry["timeout_ms"] == 5_000
    own = json.loads(SETTINGS.program(command))["hooks"][0]["action"]["command"]
    for text in (entry["command"], own):
        done = subprocess.run(["sh", "-c", text], capture_output=True, check=False)
        assert done.returncode == 0
