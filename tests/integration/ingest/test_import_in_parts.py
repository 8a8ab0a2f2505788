"""A session file is imported in many transactions: its agents appear with the last of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.errors import CapacityError, StoreUnavailable
from htmlgraph_nb.ingest import backfill
from htmlgraph_nb.ingest.backfill import SessionImporter
from htmlgraph_nb.ingest.event_buffer import HELD_EVENTS
from htmlgraph_nb.ingest.session_files import SessionFile, session_file
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.file_table import read_session_files
from tests.helpers.database_files import query_rows, stored_types

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
IGNORED = {"seq", "since", "detail_since", "total_tools_executed"}


def long_session(path: Path, n_turns: int, end: datetime) -> SessionFile:
    """Write a session of which each turn has five events and ends at its own second."""
    lines = []
    for number in range(n_turns):
        at = end - timedelta(seconds=n_turns - 1 - number)
        stamp = at.isoformat(timespec="milliseconds")[:-6] + "Z"
        head = {"sessionId": SESSION, "timestamp": stamp, "cwd": "/home/user/shop"}
        usage = {"input_tokens": 3, "output_tokens": 2}
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash"}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}"}
        message = {"id": f"msg_{number}", "model": "claude-sonnet-4-5", "usage": usage}
        records = [
            {"type": "user", "uuid": f"u{number}", "message": {"content": "go"}},
            {"type": "assistant", "message": {**message, "content": [use]}},
            {"type": "user", "message": {"content": [result]}},
        ]
        lines += [json.dumps({**head, **record}, separators=(",", ":")) for record in records]
    path.write_text("\n".join(lines) + "\n")
    os.utime(path, (end.timestamp(), end.timestamp()))
    return session_file(str(path), "claude", path.stat())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import in parts of 20 events."""
    monkeypatch.setattr(backfill, "_MAX_PART", 20)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Yield an open database whose clock stands at NOW."""
    with PresenceManager(str(tmp_path / "h.db"), clock=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path, manager: PresenceManager) -> Iterator[PresenceManager]:
    """Yield the same database as opened by another process, such as the server."""
    with PresenceManager(manager.db_path, clock=lambda: NOW) as opened:
        yield opened


def importer(manager: PresenceManager) -> SessionImporter:
    """Return an importer."""
    return SessionImporter(manager, NOW)


def comparable(presence: AgentPresence) -> dict[str, object]:
    """Return the fields of a presence that do not depend on the order of transactions."""
    values = presence.to_dict()
    return {name: value for name, value in values.items() if name not in IGNORED}


@pytest.mark.parametrize("age", [timedelta(hours=3), timedelta(days=3)])
def test_import_shows_agents_with_the_last_part(
    manager: PresenceManager,
    other: PresenceManager,
    tmp_path: Path,
    age: timedelta,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others see the agent once, at its end; an old session only adds to the history."""
    file = long_session(tmp_path / f"{SESSION}.jsonl", 60, NOW - age)
    seen: list[dict[str, AgentPresence]] = []
    original = PresenceManager.import_events

    def watched(self: PresenceManager, *arguments: object) -> object:
        result = original(self, *arguments)  # type: ignore[arg-type]
        seen.append(other.agents)
        other.tick()
        return result

    monkeypatch.setattr(PresenceManager, "import_events", watched)
    importer(manager).import_file(file)
    assert len(seen) > 10
    assert all(agents == {} for agents in seen[:-1])
    assert stored_types(manager.db_path)["completion"] == 60
    if age > timedelta(days=1):
        assert other.agents == manager.agents == {}
        assert query_rows(manager.db_path, "SELECT value FROM meta WHERE key='forgotten_seq'")
    else:
        (presence,) = other.agents.values()
        assert presence == next(iter(manager.agents.values()))
        assert (presence.total_cost_tokens, presence.total_tools_executed) == (300, 60)
        assert (presence.status, presence.detail) == ("offline", "done")


def test_import_shows_agents_that_ended_in_an_earlier_part(
    manager: PresenceManager, other: PresenceManager
) -> None:
    """Others see also the subagents whose last event is not in the last transaction."""
    fields = {"session_id": SESSION, "timestamp": NOW - timedelta(minutes=5)}
    child = Event(agent_id="child", parent_agent_id="parent", event_type="session_end", **fields)
    parents = [Event(agent_id="parent", event_type=kind, **fields) for kind in ("prompt", "stop")]
    manager.import_events([parents[0], child], None, {})
    other.sync_external()
    assert other.snapshot() == {}
    manager.import_events([parents[1]], lambda _: [], {})
    other.sync_external()
    assert set(other.snapshot()) == {"parent", "child"}
    assert other.snapshot() == manager.snapshot()
    assert manager.snapshot()["child"].last_activity == fields["timestamp"]


def interrupted_import(
    manager: PresenceManager, file: SessionFile, n_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Import a file until the process is killed after some transactions."""
    original = PresenceManager.import_events

    class Killed(BaseException):
        """Ends the import as SIGKILL does: nothing runs after it."""

    left = n_parts

    def until_killed(self: PresenceManager, *arguments: object) -> object:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PresenceManager, "discard_import", lambda _: None)
    monkeypatch.setattr(PresenceManager, "import_events", until_killed)
    with pytest.raises(Killed):
        importer(manager).import_file(file)
    monkeypatch.undo()
    monkeypatch.setattr(backfill, "_MAX_PART", 20)


@pytest.mark.parametrize("n_parts", [0, 1, 7, 10])
def test_import_after_a_kill_counts_all_events_once(
    manager: PresenceManager, tmp_path: Path, n_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next import ends in the state that an undisturbed one has."""
    file = long_session(tmp_path / f"{SESSION}.jsonl", 50, NOW - timedelta(hours=3))
    interrupted_import(manager, file, n_parts, monkeypatch)
    manager.close()
    with PresenceManager(manager.db_path, clock=lambda: NOW) as again:
        assert again.agents == {}
        importer(again).import_file(file)
        with PresenceManager(str(tmp_path / "whole.db"), clock=lambda: NOW) as whole:
            importer(whole).import_file(file)
            (expected,) = whole.agents.values()
            (presence,) = again.agents.values()
            assert comparable(presence) == comparable(expected)
            assert presence.total_tools_executed == 50
            assert stored_types(again.db_path) == stored_types(whole.db_path)


def test_import_joins_what_hooks_report_meanwhile(
    manager: PresenceManager,
    other: PresenceManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent that becomes active during the import of its file keeps all of its totals."""
    file = long_session(tmp_path / f"{SESSION}.jsonl", 50, NOW - timedelta(hours=30))
    hook = Event(
        agent_id="claude-0b9d6f4e",
        session_id=SESSION,
        event_type="tool_execute",
        tool_name="Read",
        cost_tokens=1_000,
        source="claude-hook",
        timestamp=NOW,
    )
    original = PresenceManager.import_events
    n_calls = 0

    def with_hook(self: PresenceManager, *arguments: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls in (3, 5):
            other.ingest([replace(hook, event_id=f"h{n_calls}")])
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PresenceManager, "import_events", with_hook)
    importer(manager).import_file(file)
    (presence,) = other.agents.values()
    assert (presence.total_cost_tokens, presence.total_tools_executed) == (2_250, 52)
    assert (presence.status, presence.reason) == ("active", "used Read")
    assert manager.agents == other.agents


def test_import_of_known_agent_adds_new_events(manager: PresenceManager, tmp_path: Path) -> None:
    """Only the events after the first import are added to its totals."""
    path = tmp_path / f"{SESSION}.jsonl"
    importer(manager).import_file(long_session(path, 30, NOW - timedelta(hours=3)))
    text = path.read_text()
    later = long_session(path, 31, NOW - timedelta(hours=2))
    path.write_text(text + "\n".join(path.read_text().splitlines()[-3:]) + "\n")
    os.utime(path, (later.modified, later.modified))
    importer(manager).import_file(session_file(str(path), "claude", path.stat()))
    (presence,) = manager.agents.values()
    assert (presence.total_cost_tokens, presence.total_tools_executed) == (155, 31)


def test_import_of_failing_file_leaves_no_agent(
    manager: PresenceManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without room for its agents does not disturb the next one."""
    path = tmp_path / f"{SESSION}.jsonl"
    file = long_session(path, 50, NOW - timedelta(hours=3))
    n_calls = 0
    original = PresenceManager.import_events

    def failing(self: PresenceManager, *arguments: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise CapacityError("full", "too_many_agents")
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PresenceManager, "import_events", failing)
    with pytest.raises(CapacityError):
        importer(manager).import_file(file)
    assert manager.snapshot() == {}
    importer(manager).import_file(file)
    (presence,) = manager.agents.values()
    assert presence.total_tools_executed == 50


def test_import_waits_while_the_database_is_locked(
    manager: PresenceManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pause, an import repeats the transaction; without, it reports the error."""
    file = long_session(tmp_path / f"{SESSION}.jsonl", 10, NOW - timedelta(hours=3))
    original = PresenceManager.import_events
    n_calls = 0

    def locked(self: PresenceManager, *arguments: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls <= 2:
            raise StoreUnavailable("locked")
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PresenceManager, "import_events", locked)
    with pytest.raises(StoreUnavailable):
        importer(manager).import_file(file)
    pauses: list[float] = []
    SessionImporter(manager, NOW, pause=pauses.append).import_file(file)
    assert pauses[0] >= 1.0
    assert stored_types(manager.db_path)["completion"] == 10


def imported(manager: PresenceManager) -> Sequence[str]:
    """Return the paths of the files that are stored as imported."""
    with closing(open_reader(manager.db_path)) as db:
        return sorted(read_session_files(db))


def test_import_stores_complete_files(manager: PresenceManager, tmp_path: Path) -> None:
    """A file is stored as imported with its last part, unless it may still be written."""
    done = long_session(tmp_path / f"{SESSION}.jsonl", 2, NOW - timedelta(hours=3))
    fresh = long_session(tmp_path / "other.jsonl", 2, NOW - timedelta(minutes=1))
    for file in (done, fresh):
        importer(manager).import_file(file)
    assert imported(manager) == [done.path]


def test_import_reads_no_special_files(manager: PresenceManager, tmp_path: Path) -> None:
    """A FIFO does not block the import, and a vanished file does not end it."""
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    files = [SessionFile(str(path), "claude", 10, 0.0) for path in (fifo, tmp_path / "no.jsonl")]
    each = importer(manager)
    for file in [*files, long_session(tmp_path / f"{SESSION}.jsonl", 2, NOW - timedelta(hours=3))]:
        each.import_file(file)
    assert each.report.unreadable == {
        files[0].path: "not a regular file",
        files[1].path: "No such file or directory",
    }
    assert stored_types(manager.db_path)["completion"] == 2


def test_import_holds_few_events_of_a_long_file(
    manager: PresenceManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are stored while the file is read."""
    n_turns = HELD_EVENTS
    file = long_session(tmp_path / f"{SESSION}.jsonl", n_turns, NOW - timedelta(hours=3))
    monkeypatch.setattr(backfill, "_MAX_PART", 1_000)
    monkeypatch.setattr(backfill, "READ_BYTES", 1 << 16)
    n_stored: list[int] = []
    n_bytes = 0

    def on_bytes(count: int) -> None:
        nonlocal n_bytes
        n_bytes += count
        if n_bytes > file.size // 2 and not n_stored:
            rows = query_rows(manager.db_path, "SELECT count(*) FROM events")
            n_stored.append(rows[0][0])

    importer(manager).import_file(file, on_bytes)
    assert n_stored[0] > 0
    assert n_bytes == file.size
    types = stored_types(manager.db_path)
    assert [types[name] for name in ("prompt", "completion", "tool_execute")] == [n_turns] * 3


def test_import_stores_files_without_events_together(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """Each commit makes a running server load what was committed."""
    files = []
    for number in range(250):
        path = tmp_path / f"{UUID(int=number)}.jsonl"
        path.write_bytes(b"{}\n")
        os.utime(path, (NOW.timestamp() - 90_000, NOW.timestamp() - 90_000))
        files.append(session_file(str(path), "claude", path.stat()))
    pauses: list[float] = []
    each = SessionImporter(manager, NOW, pause=pauses.append)
    for file in files:
        each.import_file(file)
    each.finish()
    each.finish()
    assert len(pauses) == 3
    with closing(open_reader(manager.db_path)) as db:
        assert read_session_files(db).keys() == {file.path for file in files}
    assert each.report.files == 250
