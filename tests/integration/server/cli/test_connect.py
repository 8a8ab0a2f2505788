"""``htmlgraph-nb connect``: as a user types it, on settings as people have them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_server.cli.connect.hook_entries import connected
from htmlgraph_server.cli.parser import main
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server

PAYLOADS = ROOT / "tests/payloads" / "settings"
SETTINGS = sorted(path for path in PAYLOADS.iterdir() if not path.name.startswith("broken"))
BROKEN = sorted(PAYLOADS.glob("broken*"))


class User:
    """Somebody with a home folder of his own, who types commands in a project's folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "shop"
        self.project.mkdir(parents=True)

    def settings(self, agent: str, project: bool = False) -> Path:
        """Return the place of an agent's settings."""
        chosen = AGENTS[agent].hook_settings()
        return (self.project if project else self.home) / chosen.folder / chosen.file

    def put(self, agent: str, content: bytes) -> Path:
        """Write an agent's settings of the user and return their place."""
        path = self.settings(agent)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def types(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ``htmlgraph-nb`` with these words."""
        own = {"HOME": str(self.home), "PATH": os.environ["PATH"], "USERPROFILE": str(self.home)}
        return subprocess.run(
            [sys.executable, "-m", "htmlgraph_server.cli", *words],
            env={**own, **environ},
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


class UserInProcess(User):
    """The same without a process for each command, which costs a test most of its time."""

    def types(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Call the program's main function with these words."""
        out, err = io.StringIO(), io.StringIO()
        own = {"HOME": str(self.home), "USERPROFILE": str(self.home), **environ}
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
                patch.delenv(name, raising=False)
            for name, value in own.items():
                patch.setenv(name, value)
            patch.chdir(self.project)
            code = main(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user who has no settings yet."""
    return User(tmp_path / "home")


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.name)
def test_connect_and_undo_leave_each_byte(tmp_path: Path, path: Path) -> None:
    """Twice is once, what was there stays, and undoing gives the very file back."""
    user = UserInProcess(tmp_path / "home")
    content = path.read_bytes()
    agent = "gemini" if "gemini" in path.name else "codex" if "codex" in path.name else "claude"
    place = user.put(agent, content)
    place.chmod(0o640)
    done = user.types("connect", agent)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "htmlgraph-hook" in done.stdout
    text = place.read_bytes().decode()
    assert set(connected(text)) == set(AGENTS[agent].hook_settings().events)
    again = user.types("connect", agent)
    assert "is connected already" in again.stdout
    assert place.read_bytes().decode() == text
    assert place.stat().st_mode & 0o777 == 0o640
    undone = user.types("connect", agent, "--undo")
    assert undone.returncode == 0, undone.stderr
    assert place.read_bytes() == content
    assert os.listdir(place.parent) == [place.name], "the kept copy has gone with its purpose"
    assert "is not connected" in user.types("connect", agent, "--undo").stdout


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.name)
def test_broken_settings_are_refused_and_left(user: User, path: Path) -> None:
    """The line is named and nothing is written."""
    place = user.put("claude", path.read_bytes())
    for undo in ([], ["--undo"]):
        done = user.types("connect", "claude", *undo)
        assert done.returncode == 2
        assert f"{place}" in done.stderr
        assert " line " in done.stderr
        assert "Traceback" not in done.stderr
    assert place.read_bytes() == path.read_bytes()
    assert os.listdir(place.parent) == [place.name]


def test_a_read_only_file_is_refused_and_left(user: User) -> None:
    """It is told how to allow it, and nothing lies beside it; afterwards it works."""
    place = user.put("claude", b"{}")
    place.chmod(0o444)
    done = user.types("connect", "claude")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"is read-only; allow writing to it first: chmod u+w {place}" in done.stderr
    assert place.read_bytes() == b"{}"
    assert os.listdir(place.parent) == [place.name]
    place.chmod(0o644)
    assert user.types("connect", "claude").returncode == 0
    place.chmod(0o444)
    assert "is read-only" in user.types("connect", "claude", "--undo").stderr
    assert connected(place.read_text())


def test_a_file_that_was_not_there_goes_again(user: User) -> None:
    """Connecting makes the file, undoing removes it."""
    place = user.settings("codex")
    assert user.types("connect", "codex").returncode == 0
    assert set(connected(place.read_text())) == set(AGENTS["codex"].hook_settings().events)
    assert user.types("connect", "codex", "--undo").returncode == 0
    assert not place.exists()


def test_what_the_user_changed_since_stays(user: User) -> None:
    """Only ours are taken from settings that went on."""
    place = user.put("claude", b'{"model": "opus"}')
    user.types("connect", "claude")
    settings = json.loads(place.read_text())
    settings["hooks"]["Stop"].insert(0, {"hooks": [{"type": "command", "command": "say done"}]})
    settings["theme"] = "dark"
    place.write_text(json.dumps(settings))
    assert user.types("connect", "claude", "--undo").returncode == 0
    assert json.loads(place.read_text()) == {
        "model": "opus",
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]},
        "theme": "dark",
    }


def test_an_older_connection_is_replaced(user: User) -> None:
    """Another path, fewer events, or http instead of a command: ours are there once."""
    old = {"hooks": [{"type": "command", "command": "/old/htmlgraph-hook"}]}
    place = user.put("claude", json.dumps({"hooks": {"Stop": [old]}}).encode())
    user.types("connect", "claude")
    assert "/old/" not in place.read_text()
    http = user.types("connect", "claude", "--http", "--url", "http://box:8000/base/")
    assert http.returncode == 0, http.stderr
    found: dict[str, Any] = json.loads(place.read_text())["hooks"]
    assert [len(groups) for groups in found.values()] == [1] * len(
        AGENTS["claude"].hook_settings().events
    )
    assert found["SessionStart"][0]["hooks"][0]["type"] == "command"
    assert found["Stop"][0]["hooks"][0] == {
        "type": "http",
        "url": "http://box:8000/base/api/hooks/claude",
        "timeout": 5,
        "headers": {"Authorization": "Bearer $HTMLGRAPH_TOKEN"},
        "allowedEnvVars": ["HTMLGRAPH_TOKEN"],
    }
    user.types("connect", "claude", "--undo")
    assert "htmlgraph" not in place.read_text()


def test_a_project_a_dry_run_and_a_folder_of_dotfiles(user: User) -> None:
    """--project edits there, --dry-run shows only, a link stays a link."""
    shown = user.types("connect", "gemini", "--project", "--dry-run")
    assert "+" in shown.stdout
    assert "nothing written" in shown.stdout
    assert not user.settings("gemini", project=True).exists()
    assert user.types("connect", "gemini", "--project").returncode == 0
    assert user.settings("gemini", project=True).exists()
    assert not user.settings("gemini").exists()
    real = user.home / "dotfiles.json"
    real.write_text("{}\n")
    link = user.settings("claude")
    link.parent.mkdir()
    link.symlink_to(real)
    assert user.types("connect", "claude").returncode == 0
    assert link.is_symlink()
    assert connected(real.read_text())
    elsewhere = user.home / "config"
    assert user.types("connect", "claude", CLAUDE_CONFIG_DIR=str(elsewhere)).returncode == 0
    assert (elsewhere / "settings.json").exists()


def test_variables_of_telemetry(user: User) -> None:
    """They are lines for a shell, of the server that is named, and write nothing."""
    done = user.types("connect", "otel", "--url", "http://box:8000/")
    assert done.returncode == 0, done.stderr
    shell = f"{done.stdout}\nenv"
    found = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://box:8000\n" in found
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n" in found
    assert "CLAUDE_CODE_ENABLE_TELEMETRY=1\n" in found
    assert os.listdir(user.home) == ["shop"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name the agent"),
        (["cursor"], "invalid choice"),
        (["codex", "--http"], "has no http hooks"),
        (["claude", "--user", "--project"], "not allowed with"),
    ],
)
def test_arguments_that_do_not_fit(user: User, words: list[str], told: str) -> None:
    """One line says what to type."""
    done = user.types("connect", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_check_tells_who_reports(user: User, server: Server) -> None:
    """Each kind of agent with the time of its last event, after a hook as the agent calls it."""
    assert user.types("connect", "claude").returncode == 0
    command = json.loads(user.settings("claude").read_text())["hooks"]["Stop"][0]["hooks"][0]
    subprocess.run(
        command["command"],
        shell=True,
        env={"PATH": os.environ["PATH"], "HTMLGRAPH_URL": server.url},
        input=b'{"session_id": "s-1", "hook_event_name": "Stop"}',
        timeout=30,
        check=True,
    )
    assert server.presence()["claude-s-1"]["detail"] == "done"
    done = user.types("connect", "--check", HTMLGRAPH_DB=server.db)
    assert done.returncode == 0, done.stderr
    claude, codex, gemini = sorted(done.stdout.splitlines())
    assert "last reported 20" in claude
    assert str(user.settings("claude")) in claude
    assert "never reported" in codex
    assert "htmlgraph-nb connect codex" in codex
    assert "never reported" in gemini
