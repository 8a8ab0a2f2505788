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
    assert settings.path({}, None) == str(tmp_path / below)
    assert settings.path({}, str(tmp_path / "shop")) == str(tmp_path / "shop" / below)
    if settings.home_variable:
        home = {settings.home_variable: "/elsewhere"}
        assert settings.path(home, None) == os.path.join("/elsewhere", settings.file)


def test_command_handler_runs_in_the_background_unless_waited_for() -> None:
    """``async`` is only written if it is true."""
    waiting = {"type": "command", "command": "c", "timeout": 5}
    assert command_handler("c", waits=True) == waiting
    assert command_handler("c", waits=False) == {**waiting, "async": True}
    assert command_handler("c", waits=True, timeout_s=3)["timeout"] == 3
