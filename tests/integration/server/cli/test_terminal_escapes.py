"""Text of agents never controls a terminal, in any output; exports keep it as it was."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_history
from htmlgraph_nb.history.export import export_history
from tests.helpers.server_process import Server
from tests.integration.server.cli.test_cli import run

ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\r\u202ex\u2066\x08\x7f"
HOSTILE: dict[str, Any] = {
    "agent_id": f"claude-{ESCAPES}",
    "session_id": f"s{ESCAPES}",
    "event_type": "tool_execute",
    "tool_name": f"Tool{ESCAPES}",
    "tool_use_id": f"call{ESCAPES}",
    "model": f"model{ESCAPES}",
    "project": f"project{ESCAPES}",
    "branch": f"branch{ESCAPES}",
    "title": f"title{ESCAPES}",
    "cwd": f"/home/{ESCAPES}",
    "worktree": f"tree{ESCAPES}",
    "host": f"host{ESCAPES}",
    "user": f"user{ESCAPES}",
    "pr": f"pr{ESCAPES}",
    "agent_kind": f"kind{ESCAPES}",
    "feature_id": f"feature{ESCAPES}",
    "source": f"source{ESCAPES}",
    "input_tokens": 10,
    "output_tokens": 5,
}
COMMANDS = [
    ("ls",),
    ("explain", "claude-"),
    ("tail", "-n", "20", "--no-follow"),
    ("costs",),
    ("costs", "--by", "project,branch"),
    ("costs", "--by", "model"),
    ("costs", "--sessions"),
    ("alerts", "--state", "all"),
    ("status",),
    ("doctor",),
    ("explain", f"nobody{ESCAPES}"),
    ("forget", f"nobody{ESCAPES}"),
    ("forget", "--agent", f"nobody{ESCAPES}", "--dry-run"),
    ("forget", "--project", f"nobody{ESCAPES}", "--dry-run"),
    ("forget", "--session", f"nobody{ESCAPES}", "--dry-run"),
    ("forget", "--before", ESCAPES),
    (),
    ("forget", "claude-"),
]


def controls(text: str) -> set[str]:
    """Return the characters that control a terminal or the direction of text, but newlines."""
    return {
        char for char in text if unicodedata.category(char) in ("Cc", "Cf") and char not in "\n\t"
    }


@pytest.fixture
def hostile_server(server: Server) -> Server:
    """A server whose agents try to control terminals."""
    for kind in ("session_start", "tool_execute", "completion", "permission_request", "error"):
        response = server.post("/api/events", [{**HOSTILE, "event_type": kind}])
        assert response.status == 200, response.text
    child = {"agent_id": f"child{ESCAPES}", "parent_agent_id": HOSTILE["agent_id"]}
    assert server.post("/api/events", [child]).status == 200
    return server


def test_escapes_reach_no_output_of_a_command(hostile_server: Server) -> None:
    """Neither stdout nor stderr, also not of errors that repeat a name, nor the server's log."""
    shown = 0
    for arguments in COMMANDS:
        done = run(hostile_server.home, *arguments)
        assert done.returncode in (0, 1, 2), (arguments, done.stderr)
        assert "usage:" not in done.stderr, (arguments, done.stderr)
        assert controls(done.stdout + done.stderr) == set(), (arguments, done)
        shown += "title" in done.stdout
    assert shown >= 3
    assert controls(hostile_server.log()) == set()


def test_escapes_of_json_output_are_escaped(hostile_server: Server) -> None:
    """For programs they are exact, and still harmless on a terminal."""
    done = run(hostile_server.home, "ls", "--json")
    assert not controls(done.stdout) & {"\x1b", "\x07", "\x08", "\r"}
    names = {agent["agent_id"] for agent in json.loads(done.stdout)}
    assert HOSTILE["agent_id"] in names


ODD = [
    *("../../etc/passwd", "/abs", "..", ".", "a/b\\c", "day=2025-01-01", "con", "x" * 256),
    *("=1+1", "+1", "-1", "@x", "'=1", "'", '"', 'a,b"c', "a\nb", "a\r\nb", "\r", "\t", " a "),
    *("NA", "nan", "null", "None", "true", "1", "1e5", "007", "\ufeffbom", "e\u0301", "\U0001f600"),
    ESCAPES,
]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".arrow", ""])
def test_exports_keep_odd_names(server: Server, tmp_path: Path, suffix: str) -> None:
    """What is loaded again equals what was stored; no name becomes a part of a path."""
    events = [{"agent_id": name, "project": name, "title": name, "tool_name": name} for name in ODD]
    assert server.post("/api/events", events).json()["accepted"] == len(ODD)
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / f"history{suffix}"
    export_history(target, server.db)
    stored, loaded = load_history(server.db), load_history(target)
    for column in ("agent_id", "project", "title", "tool_name"):
        assert loaded[column].astype(str).tolist() == stored[column].astype(str).tolist(), column
        assert stored[column].astype(str).tolist() == ODD
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    day = r"day=([0-9-]{10}|__HIVE_DEFAULT_PARTITION__)"
    part = rf"(/{day}(/part-\d{{15}}\.parquet|/_progress\.parquet)?)?"
    assert all(re.fullmatch(rf"history{suffix}{part}", name) for name in files), files
    assert {path.name for path in tmp_path.iterdir()} == {"out"} | (
        {server.home.name} if server.home.parent == tmp_path else set()
    )
