"""``htmlgraph-nb connect claude --statusline`` on real settings files and a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from htmlgraph_server.cli.connect.hook_entries import htmlgraph_groups
from htmlgraph_server.cli.connect.statusline_entry import program_of, run_by, statusline_command
from tests.helpers.paths import ROOT
from tests.integration.server.cli.test_connect_command import SETTINGS, User, UserInProcess

CLAUDE = [path for path in SETTINGS if path.name.startswith("claude")]
FULL = (ROOT / "tests/payloads/claude_statusline/full.json").read_bytes()
OWN_LINE = "printf '\\033[31m%s\\033[0m\\n' \"$(cat | wc -c)\""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UserInProcess:
    """A user whose PATH has htmlgraph-statusline, as after an installation."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "htmlgraph-statusline"
    code = "import sys; from htmlgraph_nb.hook.statusline import main; sys.exit(main())"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return UserInProcess(tmp_path / "home")


@pytest.mark.parametrize("order", ["hooks first", "line first", "line only"])
@pytest.mark.parametrize("example", CLAUDE, ids=lambda example: example.name)
def test_connect_statusline_and_undo_restore_every_byte(
    user: User, example: Path, order: str
) -> None:
    """In any order with the hooks; connecting twice changes nothing more."""
    content = example.read_bytes()
    path = user.write_settings("claude", content)
    steps = [["connect", "claude"], ["connect", "claude", "--statusline"]]
    steps = {"hooks first": steps, "line first": steps[::-1], "line only": steps[1:]}[order]
    for step in steps:
        assert user.run(*step, "--dry-run").returncode == 0
        done = user.run(*step)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        text = path.read_bytes().decode()
        assert "is already connected" in user.run(*step).stdout
        assert path.read_bytes().decode() == text
    assert program_of(statusline_command(text) or "")
    assert bool(htmlgraph_groups(text)) == (order != "line only")
    for step in steps:
        undone = user.run(*step, "--undo")
        assert undone.returncode == 0, undone.stderr
        assert "is not connected" in user.run(*step, "--undo").stdout
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name], "the backup is deleted"


def test_connect_statusline_of_a_new_file_is_undone_to_none(user: User) -> None:
    """Connecting created the settings, so undoing deletes them."""
    path = user.settings("claude")
    assert user.run("connect", "claude", "--statusline").returncode == 0
    assert json.loads(path.read_text())["statusLine"]["type"] == "command"
    assert user.run("connect", "claude", "--statusline", "--undo").returncode == 0
    assert not path.exists()


def test_connect_statusline_keeps_the_own_line(user: User) -> None:
    """Claude Code shows the same bytes as before; later edits of the user survive the undo."""
    entry = {"type": "command", "command": OWN_LINE, "padding": 2}
    path = user.write_settings("claude", json.dumps({"statusLine": entry}, indent=2).encode())
    before = subprocess.run(OWN_LINE, shell=True, input=FULL, capture_output=True, check=True)
    assert user.run("connect", "claude", "--statusline").returncode == 0
    settings = json.loads(path.read_text())
    assert settings["statusLine"]["padding"] == 2
    after = subprocess.run(
        settings["statusLine"]["command"],
        shell=True,
        input=FULL,
        capture_output=True,
        env={**os.environ, "HTMLGRAPH_HOME": str(user.home / "data")},
        check=True,
    )
    assert after.stdout == before.stdout
    settings["model"] = "opus"
    path.write_text(json.dumps(settings))
    assert user.run("connect", "claude", "--statusline", "--undo").returncode == 0
    assert json.loads(path.read_text()) == {"statusLine": entry, "model": "opus"}


def test_connect_statusline_of_a_project_runs_the_line_of_the_user(user: User) -> None:
    """A project's status line replaces that of the user, so ours runs it."""
    user.write_settings("claude", json.dumps({"statusLine": {"command": "my-line"}}).encode())
    project = user.settings("claude", project=True)
    done = user.run("connect", "claude", "--statusline", "--project")
    assert done.returncode == 0, done.stderr
    assert run_by(statusline_command(project.read_text()) or "") == ("my-line", True)
    again = user.run("connect", "claude", "--statusline", "--project")
    assert "is already connected" in again.stdout
    assert user.run("connect", "claude", "--statusline", "--project", "--undo").returncode == 0
    assert not project.exists()
    project.write_text('{"statusLine": {"command": "other-line"}}')
    user.run("connect", "claude", "--statusline", "--project")
    assert run_by(statusline_command(project.read_text()) or "") == ("other-line", False)


def test_connect_statusline_reports_invalid_settings_and_agents(user: User) -> None:
    """Nothing is written."""
    path = user.write_settings("claude", b'{"statusLine": "mine"}')
    done = user.run("connect", "claude", "--statusline")
    assert done.returncode == 2
    assert 'line 1, column 16: expected an object with a "command"' in done.stderr
    assert path.read_bytes() == b'{"statusLine": "mine"}'
    assert "Codex has no status line" in user.run("connect", "codex", "--statusline").stderr
    assert user.run("connect", "claude").returncode == 0, "the hooks do not need it"
    checked = user.run("connect", "--check")
    assert (checked.returncode, checked.stderr) == (0, ""), "neither does the check of the hooks"


def test_check_says_that_a_command_does_not_run(user: User) -> None:
    """As after the environment has moved; the remedy is in the message."""
    assert user.run("connect", "claude").returncode == 0
    assert user.run("connect", "claude", "--statusline").returncode == 0
    done = user.run("connect", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "status line" in done.stdout
    path = user.settings("claude")
    text = path.read_text()
    command = statusline_command(text) or ""
    path.write_text(text.replace(command, f"/gone/{os.path.basename(command)}"))
    moved = user.run("connect", "--check")
    assert moved.returncode == 1
    assert "/gone/htmlgraph-statusline does not exist; type htmlgraph-nb connect claude" in (
        moved.stdout
    )
    broken = Path(user.home / "htmlgraph-statusline")
    broken.write_text("#!/bin/sh\necho no module named htmlgraph_nb >&2; exit 1\n")
    broken.chmod(0o755)
    path.write_text(text.replace(command, str(broken)))
    failed = user.run("connect", "--check")
    assert "does not run: no module named htmlgraph_nb" in failed.stdout


def test_statusline_command_does_the_same(user: User, tmp_path: Path) -> None:
    """``htmlgraph-nb statusline`` prints the same line."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "statusline"],
        input=FULL,
        capture_output=True,
        env={**os.environ, "HTMLGRAPH_HOME": str(tmp_path / "data")},
        check=True,
    )
    assert "42% of 200k" in done.stdout.decode()
    assert (tmp_path / "data" / "spool.jsonl").exists()
