"""``htmlgraph-nb doctor`` as a user runs it, on homes with different faults."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.hook.hook_problem import write_note
from htmlgraph_server.cli.doctor.system_checks import check_prices
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import TOKEN, run
from tests.integration.server.cli.test_costs import write_claude

NO_SERVER = {"HTMLGRAPH_URL": "http://127.0.0.1:1"}


def findings(home: Path, *arguments: str, **environ: str) -> list[dict[str, Any]]:
    """Return the findings of ``doctor --json``."""
    done = run(home, "doctor", "--json", *arguments, environ=environ)
    assert "Traceback" not in done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == int(any(finding["level"] == "problem" for finding in found))
    return found


def texts(found: list[dict[str, Any]], area: str, level: str) -> list[str]:
    """Return the findings of one area and level, each with its remedy."""
    return [
        f"{finding['text']} | {finding['remedy']}"
        for finding in found
        if (finding["area"], finding["level"]) == (area, level)
    ]


def test_doctor_on_a_new_machine(tmp_path: Path) -> None:
    """Nothing is broken; what is missing is named with what to type."""
    found = findings(tmp_path, **NO_SERVER)
    assert [finding for finding in found if finding["level"] == "problem"] == []
    assert re.match(r"htmlgraph-nb \S+, Python 3\.\d+", texts(found, "versions", "ok")[0])
    assert texts(found, "server", "note")[0] == "no server runs | htmlgraph-nb serve"
    (data,) = texts(found, "data", "note")
    assert data.startswith(f"no database yet: {tmp_path}/htmlgraph.db")
    assert re.search(r"genai-prices \S+, newest price of 20\d\d-", str(found))
    assert "no session files, as there is no" in texts(found, "claude", "note")[0]


def test_doctor_prints_lines_for_people(tmp_path: Path) -> None:
    """A sign and a sentence; the remedy is below."""
    done = run(tmp_path, "doctor", environ=NO_SERVER)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--  no server runs\n    → htmlgraph-nb serve\n" in done.stdout
    assert all(line[:2] in ("ok", "--", "  ") for line in done.stdout.splitlines())


def test_doctor_says_what_is_not_seen_of_an_agent(tmp_path: Path) -> None:
    """Session files without hooks; hooks that never reported; hooks that cannot run."""
    write_claude(tmp_path, ["2026-03-01T00:30:00Z"])
    found = findings(tmp_path, **NO_SERVER)
    assert texts(found, "claude", "ok")[0].startswith("Claude Code: 1 session file (0.0 MB) in ")
    (note,) = texts(found, "claude", "note")
    assert "waits for your permission and ends of sessions are not seen" in note
    assert note.endswith("| htmlgraph-nb connect claude")
    assert run(tmp_path, "connect", "claude").returncode == 0
    (note,) = texts(findings(tmp_path, **NO_SERVER), "claude", "note")
    assert "have never reported | start a new session." in note
    settings = tmp_path / ".claude" / "settings.json"
    moved = re.sub(r"[^\"' ]*/htmlgraph-hook", "/gone/htmlgraph-hook", settings.read_text())
    settings.write_text(moved)
    (problem,) = texts(findings(tmp_path, **NO_SERVER), "claude", "problem")
    assert "/gone/htmlgraph-hook does not exist | htmlgraph-nb connect claude" in problem


def test_doctor_finds_a_status_line_that_does_not_run(tmp_path: Path) -> None:
    """Also without hooks. What to type writes the status line again, and not the hooks."""
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    entry = {"type": "command", "command": "/gone/htmlgraph-statusline"}
    settings.write_text(json.dumps({"statusLine": entry}))
    (problem,) = texts(findings(tmp_path, **NO_SERVER), "claude", "problem")
    assert problem == (
        f"Claude Code: {settings}: /gone/htmlgraph-statusline does not exist | "
        "htmlgraph-nb connect claude --statusline"
    )


def test_doctor_finds_settings_that_cannot_be_read(tmp_path: Path) -> None:
    """The other findings are reported all the same."""
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_bytes(b"\xff")
    found = findings(tmp_path, **NO_SERVER)
    (problem,) = texts(found, "claude", "problem")
    assert problem.startswith(f"Claude Code: {settings} is not UTF-8 on line 1")
    assert texts(found, "codex", "note")


def test_doctor_with_a_server(serve: Serve) -> None:
    """Its version, what it reads, and models without a price; the token is not shown."""
    server = serve("--token", TOKEN)
    write_claude(server.home, ["2026-03-01T00:30:00Z"])
    server.send("claude-1", event_type="completion", model="my-model", input_tokens=7)
    found = findings(server.home, HTMLGRAPH_TOKEN=TOKEN)
    assert any(server.url in text for text in texts(found, "server", "ok"))
    assert any(text.startswith("it follows ") for text in texts(found, "server", "ok"))
    assert all("no session files" not in text for text in texts(found, "server", "ok"))
    assert "my-model" in texts(found, "prices", "note")[0]
    assert "HTMLGRAPH_TOKEN=(set)" in texts(found, "environment", "ok")[0]
    assert TOKEN not in str(found)


def test_doctor_names_a_server_that_reads_no_files(serve: Serve) -> None:
    """As one that was started with --no-watch."""
    server = serve("--no-watch")
    write_claude(server.home, ["2026-03-01T00:30:00Z"])
    found = findings(server.home)
    assert "it reads no session files" in texts(found, "server", "note")[0]


def test_doctor_finds_a_wrong_token(server: Server, serve: Serve, tmp_path: Path) -> None:
    """The server that refuses is a problem, not a traceback."""
    secured = serve("--token", TOKEN)
    found = findings(tmp_path, "--url", secured.url, "--token", "another-token")
    assert "token" in texts(found, "server", "problem")[0]


def test_doctor_finds_a_damaged_database(tmp_path: Path) -> None:
    """With the way out."""
    (tmp_path / "htmlgraph.db").write_text("not a database " * 100)
    (problem,) = texts(findings(tmp_path, **NO_SERVER), "data", "problem")
    assert problem.endswith("| htmlgraph-nb reset deletes it")


def test_doctor_counts_reports_in_the_spool(tmp_path: Path) -> None:
    """Hooks left them while no server was running."""
    (tmp_path / "spool.jsonl").write_text("{}\n{}\n")
    notes = texts(findings(tmp_path, **NO_SERVER), "data", "note")
    assert any(note.startswith("2 reports of hooks wait for a server") for note in notes)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_doctor_says_who_else_can_read_the_database(server: Server) -> None:
    """Only if all folders above are open, too."""
    server.db.chmod(0o644)
    server.home.chmod(0o700)
    assert not any("other users" in note for note in texts(findings(server.home), "data", "note"))


def test_check_prices_reports_an_old_table() -> None:
    """New models have no price in it."""
    (new,) = check_prices(date.today())
    (old,) = check_prices(date(2099, 1, 1))
    assert new.area == old.area == "prices"
    assert old.level == "note"
    assert old.remedy == "pip install -U genai-prices"


def test_doctor_shows_the_last_problem_of_the_hook(tmp_path: Path) -> None:
    """For a week."""
    note = str(tmp_path / "hook-problem.json")
    write_note(note, "claude", "PostToolUse", "an input was longer than 8 MiB")
    (text,) = texts(findings(tmp_path, **NO_SERVER), "hooks", "note")
    assert re.match(
        r"htmlgraph-hook, \d+ s ago \(claude PostToolUse\): an input was longer than 8 MiB", text
    )
    old = json.loads(Path(note).read_text()) | {"at": 1.0}
    Path(note).write_text(json.dumps(old))
    assert texts(findings(tmp_path, **NO_SERVER), "hooks", "note") == []
