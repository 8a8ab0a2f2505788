"""The file of waiting agents follows the state, and is there only while a server runs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background import waiting_file
from htmlgraph_server.background.waiting_file import WaitingFile
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve


def names(path: Path) -> list[str]:
    """Return the ids of the agents in the file."""
    content: dict[str, Any] = json.loads(path.read_text())
    assert content["pid"] == os.getpid()
    return [agent["agent_id"] for agent in content["agents"]]


def test_waiting_file_lists_waiting_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced when the set changes, private, bounded, and removed at the end."""
    path = tmp_path / "home" / "waiting.json"
    manager = PresenceManager(tmp_path / "test.db")
    file = WaitingFile(manager, str(path))
    file.update()
    assert names(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for agent_id in ("a", "b", "c"):
        event = {"event_type": "permission_request", "tool_name": "Bash", "session_id": "s"}
        manager.update_presence(agent_id, event)
    file.update()
    assert names(path) == ["a", "b", "c"]
    written = path.stat().st_ino
    manager.update_presence("d", "prompt")
    file.update()
    assert path.stat().st_ino == written, "the same agents: nothing to write"
    monkeypatch.setattr(waiting_file, "MAX_WAITING", 2)
    manager.update_presence("a", "stop")
    file.update()
    assert names(path) == ["b", "c"]
    file.remove()
    assert not path.exists()
    manager.close()


def test_waiting_file_of_a_server(serve: Serve) -> None:
    """The leader writes it within seconds, and removes it when it stops."""
    server = serve()
    server.send("claude-1", event_type="permission_request", tool_name="Bash", session_id="s-1")
    (path,) = wait_until(lambda: list(server.home.glob("waiting-*.json")))
    wait_until(lambda: json.loads(path.read_text())["agents"])
    agents = json.loads(path.read_text())["agents"]
    assert agents == [{"agent_id": "claude-1", "session_id": "s-1"}]
    server.stop()
    assert not path.exists()
