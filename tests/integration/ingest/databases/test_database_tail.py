"""Sessions in databases are imported and loaded as those in files are."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.history.transcripts import load_transcripts
from htmlgraph_nb.ingest.backfill import import_sessions
from htmlgraph_nb.ingest.backfill_process import BackfillOptions, run_backfill
from htmlgraph_nb.ingest.databases.found_databases import find_databases
from htmlgraph_nb.ingest.following import database_watcher
from htmlgraph_nb.ingest.following.database_watcher import DatabaseWatcher
from htmlgraph_nb.ingest.session_files import SessionFile, find_own_sessions, find_sessions, is_gone
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.session_databases import (
    OpenCodeWriter,
    empty_database,
    recorded_database,
)
from tests.unit.coding_agents.opencode.test_json_storage import storage_of

NOW = datetime(2027, 1, 1, tzinfo=UTC)
AGENTS = ("opencode", "goose")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OPENCODE_DB", "GOOSE_PATH_ROOT", "HTMLGRAPH_SESSION_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    with PresenceManager(str(tmp_path / "own.db")) as manager:
        yield manager


def path_of(agent: str, home: Path) -> Path:
    """Return the path of the database of an agent."""
    below = "goose/sessions/sessions.db" if agent == "goose" else "opencode/opencode.db"
    return home / below


@pytest.mark.parametrize("agent", AGENTS)
def test_find_sessions_by_database_folder_or_agent(agent: str, home: Path) -> None:
    """A user can name the database, the folder that contains it, or nothing."""
    path = recorded_database(agent, path_of(agent, home))
    named, skipped = find_sessions(path)
    assert skipped == {}
    assert {file.agent for file in named} == {agent}
    assert all(file.path.startswith(f"{path}#") and file.size > 0 for file in named)
    assert named[-1].is_of_subagent
    assert find_sessions(home / agent, agent)[0] == named
    assert find_own_sessions(agent)[0] == named
    assert find_sessions(home / agent)[0] == named


def test_find_sessions_names_a_database_that_it_cannot_read(home: Path) -> None:
    """Another program's database, and one of an unknown version."""
    path = path_of("opencode", home)
    empty_database("opencode", path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE message RENAME COLUMN data TO body")
    files, skipped = find_own_sessions("opencode")
    assert files == []
    assert "no column data" in skipped[str(path)]


@pytest.mark.parametrize("agent", AGENTS)
def test_import_of_a_database_is_repeatable(
    agent: str, home: Path, manager: PresenceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was followed, imported or imported before counts once."""
    # A busy machine would need more polls.
    monkeypatch.setattr(database_watcher, "_SLICE_S", 60.0)
    recorded_database(agent, path_of(agent, home))
    files, _ = find_own_sessions(agent)
    first = import_sessions(manager, files, NOW)
    assert first.accepted > 30
    assert first.unreadable == {}
    again = import_sessions(manager, files, NOW)
    assert (again.accepted, again.already_stored) == (0, first.accepted)
    watcher = DatabaseWatcher(0.0, ())
    events = [event for _ in range(3) for event in watcher.poll(NOW)]
    assert len({event.event_id for event in events}) == first.accepted


@pytest.mark.parametrize("agent", AGENTS)
def test_load_transcripts_reads_a_database(agent: str, home: Path) -> None:
    """With the tokens and the dollars that the agent reports."""
    path = recorded_database(agent, path_of(agent, home))
    frame = load_transcripts(path, progress=False)
    completions = frame[frame["event_type"] == "completion"]
    assert set(frame["source"]) == {f"{agent}-session"}
    assert (completions["input_tokens"] + completions["cache_read_tokens"]).eq(100).all()
    assert completions["cost_usd"].gt(0).all()
    own = load_transcripts(agent=agent, progress=False)
    assert len(own) == len(frame)
    assert frame.attrs["files"] == len(find_sessions(path)[0])


def test_load_transcripts_reads_files_of_older_versions(home: Path) -> None:
    """Sessions that are in the database as well count once."""
    path = recorded_database("opencode", home / "opencode.db")
    storage = storage_of(path, home / "opencode/storage")
    old = load_transcripts(agent="opencode", progress=False)
    new = load_transcripts(path, progress=False)
    names = ["completion", "prompt", "tool_execute", "stop"]
    assert all(
        (old["event_type"] == name).sum() == (new["event_type"] == name).sum() for name in names
    )
    recorded_database("opencode", home / "opencode/opencode.db")
    assert len(load_transcripts(agent="opencode", progress=False)) == len(new)
    assert {found.path for found in find_databases(())} >= {str(storage)}


def test_backfill_imports_changed_sessions_only(home: Path, manager: PresenceManager) -> None:
    """As it does with files: a session is remembered by its rows and its time."""
    path = empty_database("opencode", path_of("opencode", home))
    writer = OpenCodeWriter(path)
    sessions = [writer.session() for _ in range(3)]
    for session in sessions:
        writer.answer(session)
    options = BackfillOptions(manager.db_path, days=None)
    assert run_backfill(options, lambda _: None).files == 3
    assert run_backfill(options, lambda _: None).files == 0
    writer.tick()
    writer.answer(sessions[1])
    report = run_backfill(options, lambda _: None)
    assert (report.files, report.sessions) == (1, {"opencode": 3})
    writer.close()
    os.unlink(path)
    assert run_backfill(options, lambda _: None).files == 0


def test_is_gone_knows_sessions_in_databases(home: Path) -> None:
    """A number sign can be part of a path, too."""
    path = empty_database("opencode", path_of("opencode", home))
    file = home / "a#b"
    file.touch()
    assert not is_gone(f"{path}#ses_1")
    assert not is_gone(str(file))
    assert is_gone(str(home / "missing#ses_1"))
    assert SessionFile(f"{path}#ses_1", "opencode", 1, 1.0, session="ses_1").stored_in == str(path)
