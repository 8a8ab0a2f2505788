"""``htmlgraph-nb connect`` as a user runs it, on realistic settings files."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_server.cli.connect.hook_entries import htmlgraph_groups
from htmlgraph_server.cli.parser import main
from tests.helpers.agent_plugin import install_example
from tests.helpers.environ import AGENT_VARIABLES
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server

PAYLOADS = ROOT / "tests/payloads" / "settings"
SETTINGS = sorted(path for path in PAYLOADS.iterdir() if not path.name.startswith("broken"))
BROKEN = sorted(PAYLOADS.glob("broken*"))


class User:
    """A user with a home folder, who runs commands in a project's folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "shop"
        self.project.mkdir(parents=True)

    def settings(self, agent: str, project: bool = False) -> Path:
        """Return the path of an agent's settings."""
        chosen = AGENTS[agent]
        hook_settings = chosen.hook_settings()
        assert hook_settings is not None
        folder = hook_settings.folder or chosen.folder
        return (self.project if project else self.home) / folder / hook_settings.file

    def write_settings(self, agent: str, content: bytes) -> Path:
        """Write an agent's user settings and return their path."""
        path = self.settings(agent)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ``htmlgraph-nb`` with these arguments."""
        own = {"HOME": str(self.home), "PATH": os.environ["PATH"], "USERPROFILE": str(self.home)}
        return subprocess.run(
            [sys.executable, "-m", "htmlgraph_server.cli", *arguments],
            env={**own, **environ},
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


class UserInProcess(User):
    """The same without a process per command, which is faster."""

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Call the program's main function with these arguments."""
        out, err = io.StringIO(), io.StringIO()
        own = {"HOME": str(self.home), "USERPROFILE": str(self.home), **environ}
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in AGENT_VARIABLES:
                patch.delenv(name, raising=False)
            for name, value in own.items():
                patch.setenv(name, value)
            patch.chdir(self.project)
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user who has no settings yet."""
    return User(tmp_path / "home")


@pytest.mark.parametrize("example", SETTINGS, ids=lambda example: example.name)
def test_connect_and_undo_restore_every_byte(tmp_path: Path, example: Path) -> None:
    """Connecting twice changes nothing more; undoing restores the file."""
    user = UserInProcess(tmp_path / "home")
    content = example.read_bytes()
    agent = example.name.partition("-")[0]
    path = user.write_settings(agent, content)
    path.chmod(0o640)
    done = user.run("connect", agent)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "htmlgraph-hook" in done.stdout
    text = path.read_bytes().decode()
    assert set(htmlgraph_groups(text)) == set(AGENTS[agent].hook_settings().events)
    again = user.run("connect", agent)
    assert "is already connected" in again.stdout
    assert path.read_bytes().decode() == text
    assert path.stat().st_mode & 0o777 == 0o640
    undone = user.run("connect", agent, "--undo")
    assert undone.returncode == 0, undone.stderr
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name], "the backup is deleted"
    assert "is not connected" in user.run("connect", agent, "--undo").stdout


@pytest.mark.parametrize("example", BROKEN, ids=lambda example: example.name)
def test_connect_refuses_broken_settings(user: User, example: Path) -> None:
    """The error names the line, and nothing is written."""
    path = user.write_settings("claude", example.read_bytes())
    for undo in ([], ["--undo"]):
        done = user.run("connect", "claude", *undo)
        assert done.returncode == 2
        assert f"{path}" in done.stderr
        assert " line " in done.stderr
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == example.read_bytes()
    assert os.listdir(path.parent) == [path.name]


def test_connect_refuses_a_read_only_file(user: User) -> None:
    """The error says how to allow writing, and no other file is created."""
    path = user.write_settings("claude", b"{}")
    path.chmod(0o444)
    done = user.run("connect", "claude")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"is read-only; allow writing to it first: chmod u+w {path}" in done.stderr
    assert path.read_bytes() == b"{}"
    assert os.listdir(path.parent) == [path.name]
    path.chmod(0o644)
    assert user.run("connect", "claude").returncode == 0
    path.chmod(0o444)
    assert "is read-only" in user.run("connect", "claude", "--undo").stderr
    assert htmlgraph_groups(path.read_text())


def test_undo_deletes_a_file_that_connect_created(user: User) -> None:
    """The settings file did not exist before."""
    path = user.settings("codex")
    assert user.run("connect", "codex").returncode == 0
    assert set(htmlgraph_groups(path.read_text())) == set(AGENTS["codex"].hook_settings().events)
    assert user.run("connect", "codex", "--undo").returncode == 0
    assert not path.exists()


def test_undo_keeps_later_changes_of_the_user(user: User) -> None:
    """Only the hooks of htmlgraph-nb are removed from settings that were edited."""
    path = user.write_settings("claude", b'{"model": "opus"}')
    user.run("connect", "claude")
    settings = json.loads(path.read_text())
    settings["hooks"]["Stop"].insert(0, {"hooks": [{"type": "command", "command": "say done"}]})
    settings["theme"] = "dark"
    path.write_text(json.dumps(settings))
    assert user.run("connect", "claude", "--undo").returncode == 0
    assert json.loads(path.read_text()) == {
        "model": "opus",
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]},
        "theme": "dark",
    }


def test_connect_replaces_older_entries(user: User) -> None:
    """With another path, other events or HTTP, the hooks still exist once per event."""
    old = {"hooks": [{"type": "command", "command": "/old/htmlgraph-hook"}]}
    path = user.write_settings("claude", json.dumps({"hooks": {"Stop": [old]}}).encode())
    user.run("connect", "claude")
    assert "/old/" not in path.read_text()
    http = user.run("connect", "claude", "--http", "--url", "http://box:8000/base/")
    assert http.returncode == 0, http.stderr
    hooks: dict[str, Any] = json.loads(path.read_text())["hooks"]
    assert [len(groups) for groups in hooks.values()] == [1] * len(
        AGENTS["claude"].hook_settings().events
    )
    assert hooks["SessionStart"][0]["hooks"][0]["type"] == "command"
    assert hooks["Stop"][0]["hooks"][0] == {
        "type": "http",
        "url": "http://box:8000/base/api/hooks/claude",
        "timeout": 5,
        "headers": {"Authorization": "Bearer $HTMLGRAPH_TOKEN"},
        "allowedEnvVars": ["HTMLGRAPH_TOKEN"],
    }
    user.run("connect", "claude", "--undo")
    assert "htmlgraph" not in path.read_text()


def test_connect_edits_projects_links_and_configured_folders(user: User) -> None:
    """--project edits the project, --dry-run writes nothing, a symbolic link is kept."""
    shown = user.run("connect", "gemini", "--project", "--dry-run")
    assert "+" in shown.stdout
    assert "nothing written" in shown.stdout
    assert not user.settings("gemini", project=True).exists()
    assert user.run("connect", "gemini", "--project").returncode == 0
    assert user.settings("gemini", project=True).exists()
    assert not user.settings("gemini").exists()
    real = user.home / "dotfiles.json"
    real.write_text("{}\n")
    link = user.settings("claude")
    link.parent.mkdir()
    link.symlink_to(real)
    assert user.run("connect", "claude").returncode == 0
    assert link.is_symlink()
    assert htmlgraph_groups(real.read_text())
    elsewhere = user.home / "config"
    assert user.run("connect", "claude", CLAUDE_CONFIG_DIR=str(elsewhere)).returncode == 0
    assert (elsewhere / "settings.json").exists()


def test_connect_edits_the_settings_in_all_folders_of_an_agent(user: User) -> None:
    """Those that CLAUDE_CONFIG_DIR lists, and ``.gemini`` in GEMINI_CLI_HOME; undone the same."""
    a, b, gemini = (user.home / name for name in ("a", "b", "g"))
    environ = {"CLAUDE_CONFIG_DIR": f"{a},{b}", "GEMINI_CLI_HOME": str(gemini)}
    paths = [a / "settings.json", b / "settings.json", gemini / ".gemini/settings.json"]
    for agent in ("claude", "gemini"):
        done = user.run("connect", agent, **environ)
        assert done.returncode == 0, done.stderr
    assert all(htmlgraph_groups(path.read_text()) for path in paths)
    checked = user.run("connect", "--check", **environ)
    assert all(str(path) in checked.stdout for path in paths)
    for agent in ("claude", "gemini"):
        assert user.run("connect", agent, "--undo", **environ).returncode == 0
    assert not any(path.exists() for path in paths)
    assert not (user.home / ".gemini").exists()


def test_connect_otel_prints_variables(user: User) -> None:
    """They are shell commands for the given server; no file is written."""
    done = user.run("connect", "otel", "--url", "http://box:8000/")
    assert done.returncode == 0, done.stderr
    shell = f"{done.stdout}\nenv"
    environ = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://box:8000\n" in environ
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n" in environ
    assert "CLAUDE_CODE_ENABLE_TELEMETRY=1\n" in environ
    assert os.listdir(user.home) == ["shop"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--undo"], "agent: expected one of claude|codex|"),
        (["cursor"], "invalid choice"),
        (["codex", "--http"], "has no HTTP hooks"),
        (["claude", "--user", "--project"], "not allowed with"),
    ],
)
def test_connect_reports_invalid_arguments(user: User, arguments: list[str], expected: str) -> None:
    """The error is one line."""
    done = user.run("connect", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_check_shows_which_agents_report(user: User, server: Server) -> None:
    """Each agent is listed with the time of its last event, here from a real hook."""
    assert user.run("connect", "claude").returncode == 0
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
    done = user.run("connect", "--check", HTMLGRAPH_DB=server.db)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(AGENTS)
    claude, codex, gemini = (
        next(line for line in lines if line.startswith(AGENTS[name].label))
        for name in ("claude", "codex", "gemini")
    )
    assert re.search(r"last reported 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \S+  ", claude), "with a zone"
    assert str(user.settings("claude")) in claude
    assert "never reported" in codex
    assert "htmlgraph-nb connect codex" in codex
    assert "never reported" in gemini
    done = user.run("connect", "--check", "--json", HTMLGRAPH_DB=server.db)
    rows = {row["agent"]: row for row in json.loads(done.stdout)}
    assert rows["claude"]["hooks"] == [str(user.settings("claude"))]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*[+-]\d\d:\d\d", rows["claude"]["last_report"])
    assert rows["codex"] == {
        "agent": "codex",
        "label": "Codex",
        "hooks": [],
        "statusline": [],
        "last_report": None,
        "problems": [],
    }
    done = user.run("connect", "claude", "--json")
    assert "--json: expected with --check only" in done.stderr


def test_connect_without_a_name_lists_all_agents(user: User, tmp_path: Path) -> None:
    """Programs, sessions and hooks of each, plugins included; nothing is changed."""
    site = tmp_path / "site"
    install_example(site)
    (user.home / ".nova/sessions").mkdir(parents=True)
    program = tmp_path / "bin/codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    user.run("connect", "codex")
    done = user.run("connect", PYTHONPATH=str(site), PATH=f"{tmp_path}/bin")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["AGENT", "NAME", "PROGRAM", "SESSIONS", "HOOKS"]
    rows = {line.split("  ")[0]: " ".join(line.split()) for line in lines}
    assert len(rows) == len(AGENTS) + 1
    assert rows["Codex"] == "Codex codex codex none ~/.codex/hooks.json"
    assert rows["Claude Code"].endswith("none htmlgraph-nb connect claude")
    assert rows["Nova (plugin)"] == (
        "Nova (plugin) nova not found ~/.nova/sessions htmlgraph-nb connect nova"
    )
    refused = user.run("connect", "--undo")
    assert refused.returncode == 2
    assert "agent: expected one of claude|codex|" in refused.stderr
