"""Where a server finds session files: links, several folders, and what hooks name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import timestamp_from_now
from tests.helpers.server_process import Server
from tests.helpers.session_oracle import claude_session_line, session_id
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import run

SESSION = session_id(1)
OTHER = session_id(2)


def answer(session: str = SESSION, number: int = 1, tokens: int = 101) -> bytes:
    """Return an answer of now."""
    record = json.loads(claude_session_line(session, number, tokens))
    record["timestamp"] = timestamp_from_now()
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def write(path: Path, *lines: bytes) -> Path:
    """Append to a session file, whose folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(lines))
    return path


def total(server: Server) -> int:
    """Return the tokens of all agents."""
    return sum(agent["total_cost_tokens"] for agent in server.presence().values())


def watching(server: Server) -> dict[str, Any]:
    """Return what the server reads."""
    found: dict[str, Any] = server.get("/api/status").json()["watching"]
    return found


def hook(
    server: Server, event: str, path: Path | str, session: str = SESSION, **fields: Any
) -> None:
    """Run the real hook command as Claude Code does."""
    payload = {"hook_event_name": event, "session_id": session, "cwd": "/home/dev/shop", **fields}
    subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", "claude"],
        input=json.dumps({**payload, "transcript_path": str(path)}).encode(),
        env=clean_environ(server.home, {"HTMLGRAPH_URL": server.url}),
        check=True,
        timeout=60,
    )


def test_project_that_is_a_link_is_followed(serve: Serve, tmp_path: Path) -> None:
    """Its sessions are seen without hooks, and with hooks that name the file by either path."""
    home, shared = tmp_path / "home", tmp_path / "shared"
    projects = home / ".claude/projects"
    projects.mkdir(parents=True)
    shared.mkdir()
    (projects / "-home-dev-shop").symlink_to(shared)
    (projects / "parent").symlink_to(home)
    server = serve(home=home)
    real = write(shared / f"{SESSION}.jsonl", answer())
    wait_until(lambda: total(server) == 101, "the tokens of the linked project")
    write(shared / f"{OTHER}.jsonl", answer(OTHER))
    hook(server, "SessionStart", projects / "-home-dev-shop" / f"{OTHER}.jsonl", OTHER)
    hook(server, "Stop", projects / "-home-dev-shop" / f"{OTHER}.jsonl", OTHER)
    hook(server, "Stop", real)
    wait_until(lambda: total(server) == 202, "the tokens of both sessions")
    report = watching(server)
    assert (report["files"], report["followed"]) == (2, 2)
    assert [os.path.basename(file["path"]) for file in report["skipped"]["files"]] == ["parent"]
    assert "parent' is not read: a link to" in server.log()


@pytest.mark.parametrize("flags", [(), ("--no-watch",)])
def test_session_in_another_folder_is_read_if_hooks_name_it(
    serve: Serve, flags: tuple[str, ...]
) -> None:
    """The server of one CLAUDE_CONFIG_DIR counts the tokens of another, and says what it misses."""
    server = serve(*flags)
    (server.home / ".claude/projects").mkdir(parents=True)
    work = server.home / ".claude-work"
    path = work / f"projects/-home-dev-shop/{SESSION}.jsonl"
    write(work / f"projects/-home-dev-shop/{OTHER}.jsonl", answer(OTHER))
    hook(server, "SessionStart", path, source="startup")
    hook(server, "UserPromptSubmit", path, prompt="x")
    write(path, answer(tokens=1_100))
    hook(server, "Stop", path)
    wait_until(lambda: total(server) == 1_100, "the tokens of the session")
    (agent,) = server.presence().values()
    assert (agent["status"], agent["model"]) == ("idle", "claude-sonnet-4-5")
    if flags:
        return
    assert watching(server)["unfollowed"] == [f"claude={work}"]
    assert server.log().count(f"start the server with --session-folder claude={work}") == 1
    done = run(server.home, "doctor", environ={"HTMLGRAPH_URL": server.url})
    assert f"of {work} it reads only the session files that hooks name" in done.stdout
    assert f"start it with --session-folder claude={work}" in done.stdout


def test_session_that_a_hook_names_is_refused_with_a_reason(server: Server) -> None:
    """A file that is not where an agent writes is not read; the log and ``doctor`` say so."""
    (server.home / ".claude/projects").mkdir(parents=True)
    path = write(server.home / "notes" / f"{SESSION}.jsonl", answer())
    hook(server, "SessionStart", path)
    hook(server, "Stop", path)
    hook(server, "Stop", path)
    wait_until(lambda: watching(server)["skipped"]["count"] == 1, "the refusal")
    reason = "a hook named it, but it is in none of the agents' folders"
    (file,) = watching(server)["skipped"]["files"]
    assert file["path"] == str(path)
    assert file["reason"].startswith(reason)
    wait_until(lambda: reason in server.log(), "the line in the log")
    assert server.log().count(reason) == 1
    done = run(server.home, "doctor", environ={"HTMLGRAPH_URL": server.url})
    assert f"it does not read {path}: {reason}" in done.stdout
    assert total(server) == 0


def test_session_folders_are_those_of_variables_and_settings(serve: Serve, tmp_path: Path) -> None:
    """A list in CLAUDE_CONFIG_DIR, GEMINI_CLI_HOME, and two further folders are followed."""
    a, b, c, old = (tmp_path / name for name in ("a", "b", "c", "old sessions"))
    paths = [
        a / f"projects/p/{session_id(1)}.jsonl",
        b / f"projects/p/{session_id(2)}.jsonl",
        c / f"projects/p/{session_id(3)}.jsonl",
        old / f"shop/{session_id(4)}.jsonl",
    ]
    for number, path in enumerate(paths, 1):
        write(path, answer(session_id(number), tokens=100 + number))
    environ = {"CLAUDE_CONFIG_DIR": f"{a},{b}", "GEMINI_CLI_HOME": str(tmp_path / "g")}
    (tmp_path / "g/.gemini/tmp").mkdir(parents=True)
    flags = ["--session-folder", f"claude={c}", "--session-folder", f"claude={old}"]
    server = serve(*flags, environ=environ)
    wait_until(lambda: total(server) == 410, "the tokens of the four folders")
    folders = watching(server)["folders"]
    assert folders == [
        *(str(folder / "projects") for folder in (a, b)),
        str(tmp_path / "g/.gemini/tmp"),
        str(c / "projects"),
        str(old),
    ]
    done = run(
        tmp_path / "h",
        "import",
        "claude",
        environ={**environ, "HTMLGRAPH_SESSION_FOLDER": f"claude={c},claude={old}"},
    )
    assert "of 4 session files" in done.stdout, done
    done = run(tmp_path / "h", "costs", "--files", environ=environ)
    assert f"source: 2 session files of {a / 'projects'}, {b / 'projects'}" in done.stdout


def test_backfill_reads_further_folders(serve: Serve, tmp_path: Path) -> None:
    """Past sessions of a folder that only the setting names are imported at the start."""
    path = write(tmp_path / f"work/projects/p/{SESSION}.jsonl", answer())
    os.utime(path, (path.stat().st_mtime - 86_400,) * 2)
    server = serve("--session-folder", f"claude={tmp_path / 'work'}", "--backfill", "30d")
    wait_until(lambda: total(server) == 101, "the import")


def test_server_survives_a_file_that_becomes_a_fifo(server: Server) -> None:
    """Other sessions are still seen, the status report names it, and SIGTERM ends the server."""
    shop = server.home / ".claude/projects/shop"
    path = write(shop / f"{SESSION}.jsonl", answer())
    wait_until(lambda: total(server) == 101, "the first session")
    path.unlink()
    os.mkfifo(path)
    for _ in range(3):
        hook(server, "Stop", path)
    hook(server, "Stop", shop / "\ud800.jsonl")
    write(shop / f"{OTHER}.jsonl", answer(OTHER))
    wait_until(lambda: total(server) == 202, "the second session")
    named = [file["reason"] for file in watching(server)["skipped"]["files"]]
    assert any("not a regular file" in reason for reason in named)
    assert server.stop() == 0


def test_jupyter_server_follows_further_folders(tmp_path: Path) -> None:
    """The trait takes a list, as flags do."""
    from tests.helpers.jupyter_server import running_jupyter_server

    write(tmp_path / f"work/projects/p/{SESSION}.jsonl", answer())
    with running_jupyter_server(
        tmp_path / "home", "--session-folder", f"claude={tmp_path / 'work'}"
    ) as server:
        wait_until(lambda: total(server) == 101, "the session")
        assert str(tmp_path / "work/projects") in watching(server)["folders"]
