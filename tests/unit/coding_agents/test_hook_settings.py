"""Where hooks are registered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.agent import home_folders
from htmlgraph_nb.coding_agents.hook_settings import command_handler
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.agent_lists import CONNECTABLE


@pytest.mark.parametrize("agent", CONNECTABLE)
def test_settings_path(agent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings of a project are in the project, those of the user in the agent's folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    chosen = AGENTS[agent]
    settings = chosen.hook_settings()
    assert settings is not None
    folder = settings.folder or chosen.folder
    below = os.path.join(folder, settings.file)
    assert chosen.settings_paths({}, None) == [str(tmp_path / below)]
    in_project = settings.folder or chosen.folder
    if settings.project_folder is not None:
        in_project = settings.project_folder
    shop = tmp_path / "shop"
    expected = [str(shop / in_project / settings.file)] if in_project else []
    assert chosen.settings_paths({}, str(shop)) == expected
    variable = settings.home_variable or chosen.home_variable
    if variable:
        part = folder if chosen.home_is_parent else ""
        elsewhere = [os.path.join("/elsewhere", part, settings.file)]
        assert chosen.settings_paths({variable: "/elsewhere"}, None) == elsewhere
        assert chosen.settings_paths({variable: ""}, None) == [str(tmp_path / below)]


def test_home_folders_are_listed_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Folders are separated by commas, unless the whole value is the name of a folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    def homes(value: str, *, is_parent: bool = False) -> list[str]:
        return home_folders({"AGENT_HOME": value}, "AGENT_HOME", ".agent", is_parent)

    assert homes(f"~/a, {tmp_path}/b,") == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert homes("/g", is_parent=True) == [os.path.join("/g", ".agent")]
    folder = tmp_path / "one,two"
    folder.mkdir()
    assert homes(str(folder)) == [str(folder)]


def test_command_handler_runs_in_the_background_unless_waited_for() -> None:
    """``async`` is only written if it is true."""
    waiting = {"type": "command", "command": "c", "timeout": 5}
    assert command_handler("c", waits=True) == waiting
    assert command_handler("c", waits=False) == {**waiting, "async": True}
    assert command_handler("c", waits=True, timeout_s=3)["timeout"] == 3
