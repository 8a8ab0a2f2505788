"""Where hooks are registered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.hook_settings import command_handler
from htmlgraph_nb.coding_agents.registry import AGENTS


@pytest.mark.parametrize("agent", AGENTS)
def test_settings_path(agent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings of a project are in the project, those of the user in the agent's folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    settings = AGENTS[agent].hook_settings()
    below = os.path.join(settings.folder, settings.file)
    assert settings.paths({}, None) == [str(tmp_path / below)]
    assert settings.paths({}, str(tmp_path / "shop")) == [str(tmp_path / "shop" / below)]
    home = {settings.home_variable: "/elsewhere"}
    part = settings.folder if agent == "gemini" else ""
    assert settings.paths(home, None) == [os.path.join("/elsewhere", part, settings.file)]
    assert settings.paths({settings.home_variable: ""}, None) == [str(tmp_path / below)]


def test_settings_homes_are_listed_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Folders are separated by commas, unless the whole value is the name of a folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    claude, gemini = (AGENTS[name].hook_settings() for name in ("claude", "gemini"))
    value = f"~/a, {tmp_path}/b,"
    assert claude.homes({"CLAUDE_CONFIG_DIR": value}) == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert gemini.homes({"GEMINI_CLI_HOME": "/g"}) == [os.path.join("/g", ".gemini")]
    folder = tmp_path / "one,two"
    folder.mkdir()
    assert claude.homes({"CLAUDE_CONFIG_DIR": str(folder)}) == [str(folder)]


def test_command_handler_runs_in_the_background_unless_waited_for() -> None:
    """``async`` is only written if it is true."""
    waiting = {"type": "command", "command": "c", "timeout": 5}
    assert command_handler("c", waits=True) == waiting
    assert command_handler("c", waits=False) == {**waiting, "async": True}
    assert command_handler("c", waits=True, timeout_s=3)["timeout"] == 3
