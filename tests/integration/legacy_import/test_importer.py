"""LegacyImporter imports the older project's database once, follows it and never writes to it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.ingest.backfill import import_sessions
from htmlgraph_nb.ingest.session_files import find_sessions
from htmlgraph_nb.legacy_import.importer import LegacyImporter, LegacyImportReport
from htmlgraph_nb.legacy_import.readonly_db import ReadOnlyDatabase
from htmlgraph_nb.legacy_import.tail import DatabaseTail
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.database_files import query_rows, stored_types
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.server.cli.test_cli import COMMAND, error_line, run

PAYLOADS = ROOT / "tests/payloads" / "htmlgraph"
MAIN = "7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b"
LATER = datetime(2025, 1, 14, 22, 42, tzinfo=UTC)
"""A few seconds after the last row."""


@pytest.fixture(autouse=True)
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone of the databases."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def make(folder: Path, name: str = "database") -> Path:
    """Create a project with one of the databases, in the state after its program exits."""
    path = folder / "shop" / ".htmlgraph" / "htmlgraph.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((PAYLOADS / f"{name}.sql").read_text())
    return path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Yield an open database of this project whose clock stands at LATER."""
    with PresenceManager(str(tmp_path / "own.db"), clock=lambda: LATER) as opened:
        yield opened


def import_legacy(
    manager: PresenceManager, path: Path, now: datetime = LATER
) -> LegacyImportReport:
    """Import a database."""
    importer = LegacyImporter(manager, DatabaseTail(path))
    importer.import_new(now)
    return importer.report


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_importer_imports_all_tables_once(manager: PresenceManager, tmp_path: Path) -> None:
    """Tools, prompts, subagents, sessions, presences and features; a second run adds nothing."""
    path = make(tmp_path)
    before = contents(path.parent)
    report = import_legacy(manager, path)
    assert (report.already_stored, report.covered, report.resources) == (0, 0, 3)
    assert stored_types(manager.db_path) == {
        "prompt": 2,
        "tool_execute": 4,
        "tool_error": 2,
        "permission_request": 1,
        "subagent_start": 1,
        "subagent_stop": 1,
        "stop": 1,
        "session_start": 3,
        "session_end": 1,
        # Two notifications, and the two presences without events.
        "activity": 4,
        "offline": 1,
        "feature_updated": 2,
        "spike_updated": 1,
    }
    cursor = manager.cursor
    again = import_legacy(manager, path)
    assert (again.accepted, again.resources) == (0, 0)
    assert again.already_stored == report.accepted + report.resources
    assert manager.cursor == cursor
    assert contents(path.parent) == before, "the import wrote to the database's folder"


def test_importer_restores_agents(manager: PresenceManager, tmp_path: Path) -> None:
    """Each session is an agent with its tools, model, project and feature."""
    import_legacy(manager, make(tmp_path))
    agents = manager.agents
    main = agents["claude-7d0a9f52"]
    assert (main.total_tools_executed, main.total_errors) == (3, 1)
    assert (main.model, main.project) == ("claude-opus-4-6", "shop")
    assert (main.status, main.reason) == (PresenceStatus.ACTIVE, "sent activity")
    child = agents[f"claude-{MAIN}-explorer"]
    assert (child.parent_agent_id, child.last_tool_name) == ("claude-7d0a9f52", "Grep")
    gemini = agents["gemini-2b6f1e08"]
    assert (gemini.status, gemini.reason) == (PresenceStatus.OFFLINE, "the session ended")
    assert agents["docs-writer"].last_activity == datetime(
        2025, 1, 14, 22, 41, 49, 757607, tzinfo=UTC
    )
    assert agents["night-shift"].status is PresenceStatus.OFFLINE


def test_importer_keeps_newest_feature_status(manager: PresenceManager, tmp_path: Path) -> None:
    """Status, title and agent are imported; an older state does not replace a newer one."""
    path = make(tmp_path)
    import_legacy(manager, path)
    rows = {
        name: (kind, status, json.loads(payload)["title"])
        for kind, name, status, payload in query_rows(
            manager.db_path, "SELECT resource_type, resource_id, status, payload FROM features"
        )
    }
    assert rows == {
        "feat-1a2b3c4d": ("feature", "blocked", "Checkout in one step"),
        "bug-5e6f7a8b": ("feature", "done", "Totals are off by one"),
        "spk-9c0d1e2f": ("spike", "todo", "Which payment service"),
    }
    assert ("claude-7d0a9f52", "feat-1a2b3c4d") in query_rows(
        manager.db_path,
        "SELECT agent_id, feature_id FROM history WHERE event_type = 'feature_updated'",
    )
    event = Event(
        agent_id="me",
        event_type="feature_updated",
        extra={"resource_type": "feature", "resource_id": "feat-1a2b3c4d"},
    )
    manager.submit_resource(event, 0.0, "done", {}).result()
    import_legacy(manager, path)
    assert ("done",) in query_rows(
        manager.db_path, "SELECT status FROM features WHERE resource_id = 'feat-1a2b3c4d'"
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(400, {"idle", "offline"}), (4_000, {"offline"}), (100_000, set())],
)
def test_importer_never_activates_past_agents(
    manager: PresenceManager, tmp_path: Path, seconds: float, expected: set[str]
) -> None:
    """Agents have the status of now; those without activity for a day are forgotten."""
    import_legacy(manager, make(tmp_path), LATER + timedelta(seconds=seconds))
    assert {str(agent.status) for agent in manager.agents.values()} == expected


@pytest.mark.parametrize("name", ["first", "migrated"])
def test_importer_reads_older_schemas(manager: PresenceManager, tmp_path: Path, name: str) -> None:
    """Tables with fewer columns, and tables extended by a migration, are read."""
    report = import_legacy(manager, make(tmp_path, name))
    assert report.accepted == 5
    events = "SELECT agent_id, event_type, tool_name FROM history WHERE source <> 'timer'"
    assert query_rows(manager.db_path, f"{events} ORDER BY timestamp") == [
        ("claude-sess-0a1b2c3d", kind, tool)
        for kind, tool in (
            ("session_start", None),
            ("tool_execute", "Read"),
            ("tool_error", "Bash"),
            ("tool_execute", "Edit"),
            ("session_end", None),
        )
    ]


def test_importer_skips_sessions_covered_by_hooks(manager: PresenceManager, tmp_path: Path) -> None:
    """From their first event on, a session that hooks report is not imported."""
    at = datetime(2025, 1, 14, 22, 41, 40, tzinfo=UTC)
    hook = {"agent_id": "claude-7d0a9f52", "session_id": MAIN, "source": "claude-hook"}
    manager.ingest([Event(**hook, event_type="prompt", timestamp=at, event_id="h1")])
    report = import_legacy(manager, make(tmp_path))
    assert report.covered > 0
    imported = "SELECT count(*) FROM history WHERE session_id = '{}' AND source = 'htmlgraph'"
    assert query_rows(manager.db_path, imported.format(MAIN)) == [(0,)]
    assert query_rows(manager.db_path, imported.format(f"{MAIN}-explorer")) == [(2,)]


def test_backfill_adds_only_completions_of_legacy_sessions(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """The session file of an imported session adds only its completions."""
    import_legacy(manager, make(tmp_path))
    lines = [
        {"type": "user", "message": {"content": "go"}},
        {
            "type": "assistant",
            "message": {
                "id": "m1",
                "model": "claude-opus-4-6",
                "content": [{"type": "tool_use", "id": "toolu_9", "name": "Read", "input": {}}],
                "usage": {"input_tokens": 2, "output_tokens": 5},
                "stop_reason": "tool_use",
            },
        },
        {
            "type": "user",
            "message": {"content": [{"type": "tool_result", "tool_use_id": "toolu_9"}]},
        },
    ]
    common = {"sessionId": MAIN, "cwd": "/home/user/shop", "timestamp": "2025-01-14T22:41:48Z"}
    path = tmp_path / f"{MAIN}.jsonl"
    text = [json.dumps({**common, "uuid": f"u{n}", **record}) for n, record in enumerate(lines)]
    path.write_text("\n".join(text) + "\n")
    os.utime(path, (0, 0))
    before = stored_types(manager.db_path)
    report = import_sessions(manager, find_sessions(path)[0], LATER)
    assert (report.accepted, report.covered) == (1, 4)
    assert stored_types(manager.db_path) == {**before, "completion": 1}


def test_importer_reports_broken_rows(manager: PresenceManager, tmp_path: Path) -> None:
    """A row with an invalid timestamp is skipped and reported; invalid UTF-8 is replaced."""
    path = make(tmp_path, "first")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE agent_events SET timestamp = 'yesterday' WHERE event_id = 'evt-old1'")
        db.execute(
            "UPDATE agent_events SET tool_name = CAST(x'ff41' AS TEXT) WHERE event_id = 'evt-old2'"
        )
        db.commit()
    tail = DatabaseTail(path)
    importer = LegacyImporter(manager, tail)
    importer.import_new(LATER)
    assert importer.report.accepted == 4
    assert tail.n_broken == 1
    assert tail.broken == [
        "agent_events row 2: timestamp: expected a timestamp, got 'yesterday'",
    ]


def test_importer_follows_growing_database(manager: PresenceManager, tmp_path: Path) -> None:
    """New rows, calls that end, and rows renumbered by a VACUUM are imported once."""
    path = make(tmp_path)
    tail = DatabaseTail(path)
    importer = LegacyImporter(manager, tail)
    importer.import_new(LATER)
    assert not tail.changed()
    insert = (
        "INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, tool_name, "
        "session_id, status) VALUES (?, 'claude-code', ?, '2025-01-14 22:41:59', ?, ?, ?)"
    )
    with closing(sqlite3.connect(path)) as db:
        db.execute(insert, ("evt-a", "tool_call", "Write", MAIN, "recorded"))
        db.execute(insert, ("evt-b", "task_delegation", "Task", MAIN, "started"))
        db.commit()
        assert tail.changed()
        assert importer.import_new(LATER) == 2
        assert manager.agents["claude-7d0a9f52"].detail == "background"
        db.execute("UPDATE agent_events SET status = 'completed' WHERE event_id = 'evt-b'")
        db.commit()
        assert importer.import_new(LATER) == 1
        db.execute("DELETE FROM agent_events WHERE event_id = 'evt-old0'")
        db.commit()
        db.execute("VACUUM")
        db.execute(insert, ("evt-c", "tool_call", "Read", MAIN, "recorded"))
        db.commit()
        assert importer.import_new(LATER) == 1
    assert manager.agents["claude-7d0a9f52"].total_tools_executed == 5


def test_readonly_database_notices_concurrent_writer(tmp_path: Path) -> None:
    """A file opened as immutable is opened again after another program writes to it."""
    path = make(tmp_path, "first")
    with ReadOnlyDatabase(str(path)) as database, closing(sqlite3.connect(path)) as db:
        assert database.fetch("SELECT count(*) AS n FROM agent_events") == [{"n": 3}]
        db.execute("DELETE FROM agent_events")
        db.commit()
        assert database.fetch("SELECT count(*) AS n FROM agent_events") == [{"n": 0}]


def test_import_command_reports_imported_items(tmp_path: Path) -> None:
    """In the project's folder the path is optional; a second run imports nothing."""
    path = make(tmp_path)
    words = [COMMAND, "import", "htmlgraph"]
    done = [
        subprocess.run(
            words,
            cwd=path.parent.parent,
            env=clean_environ(tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert done[0].startswith(f"imported 21 events and 3 features and tracks of {path} into ")
    assert "24 existed already" in done[1]


def test_import_command_errors_are_one_line(tmp_path: Path) -> None:
    """A missing file, another kind of file and another database each have their own message."""
    home = tmp_path / "home"
    missing = error_line(run(home, "import", "htmlgraph", str(tmp_path / "x.db")))
    assert "does not exist" in missing
    assert ".htmlgraph/htmlgraph.db" in missing
    (tmp_path / "text.db").write_text("not a database, but as long as one " * 50)
    assert "is not an intact SQLite database" in error_line(
        run(home, "import", "htmlgraph", str(tmp_path / "text.db"))
    )
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE t (a)")
        db.commit()
    assert "no table agent_events" in error_line(
        run(home, "import", "htmlgraph", str(tmp_path / "other.db"))
    )
    assert "--watch is only for htmlgraph" in error_line(run(home, "import", "claude", "--watch"))
    assert "follow sessions of all agents, run" in error_line(run(home, "import", "--watch"))


def test_import_command_with_watch_updates_server(server: Server, tmp_path: Path) -> None:
    """Rows appear at the server while the older program writes; Ctrl-C ends the command."""
    path = make(tmp_path)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    words = [COMMAND, "import", "htmlgraph", str(path), "--db", str(server.db), "--watch"]
    with subprocess.Popen(
        words,
        env=clean_environ(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            assert any(line.startswith("following ") for line in lines)
            with closing(sqlite3.connect(path)) as db:
                db.execute(
                    "INSERT INTO agent_events (event_id, agent_id, event_type, timestamp, "
                    "tool_name, session_id) VALUES ('evt-new', 'claude-code', 'tool_call', ?, "
                    "'WebFetch', 'c4a760a8-dbcf-4e14-9f64-1f1d0e3a5b6c')",
                    (now,),
                )
                db.commit()
                agent = wait_until(lambda: server.presence().get("claude-c4a760a8"), "the agent")
            assert (agent["last_tool_name"], agent["status"]) == ("WebFetch", "active")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    assert os.listdir(path.parent) == ["htmlgraph.db"]
