"""DatabaseWatcher reports each event of a session database once, whatever happens to it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.databases.session_database import MAX_ROW_BYTES
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.following import database_watcher
from htmlgraph_nb.ingest.following.database_watcher import RUNNING_AFTER_S, DatabaseWatcher
from htmlgraph_nb.ingest.session_watcher import (
    FAST_INTERVAL_S,
    MAX_FAST_FILES,
    SLOW_INTERVAL_S,
)
from tests.helpers.paths import ROOT
from tests.helpers.session_databases import (
    START_MS,
    OpenCodeWriter,
    empty_database,
    recorded_database,
)
from tests.helpers.wait import wait_until

NOW = datetime.fromtimestamp(START_MS / 1e3 + 10, UTC)
LONG_S = 3_600.0
WRITER = """
import sys
from pathlib import Path
from tests.helpers.session_databases import OpenCodeWriter
writer = OpenCodeWriter(Path(sys.argv[1]))
session = writer.session("ses_child")
while True:
    writer.tick()
    writer.prompt(session)
    message = writer.message(session, "assistant")
    part = writer.call(session, message)
    writer.end_call(part)
    writer.complete(message, "tool-calls")
    writer.answer(session)
"""


class Scene:
    """A database, the watcher, and the time of its clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "opencode/opencode.db"
        self.at = 1_000.0
        self.watcher = self.new_watcher()

    def new_watcher(self, since: float = 0.0, *, watch: bool = True) -> DatabaseWatcher:
        """Return another watcher, as after a restart."""
        return DatabaseWatcher(since, (), watch=watch, monotonic=lambda: self.at)

    def poll(self, watcher: DatabaseWatcher | None = None) -> list[Event]:
        """Return the events of a few polls."""
        events = []
        for _ in range(4):
            self.at += 3.0
            events += (watcher or self.watcher).poll(NOW)
        return events

    def kinds(self) -> list[str]:
        """Return the types of new events."""
        return [event.event_type for event in self.poll()]

    def problems(self) -> dict[str, str]:
        """Return path → why it is not read."""
        files = self.watcher.report()["skipped"]["files"]
        return {item["path"]: item["reason"] for item in files}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("OPENCODE_DB", "GOOSE_PATH_ROOT", "HTMLGRAPH_SESSION_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    return Scene(tmp_path)


@pytest.fixture
def writer(scene: Scene) -> Iterator[OpenCodeWriter]:
    writer = OpenCodeWriter(empty_database("opencode", scene.path))
    yield writer
    writer.close()


def test_watcher_follows_a_turn(scene: Scene, writer: OpenCodeWriter) -> None:
    """Each change of a row is seen with the next poll, once."""
    session = writer.session()
    assert scene.kinds() == ["session_start"]
    writer.prompt(session)
    message = writer.message(session, "assistant")
    part = writer.call(session, message)
    assert scene.kinds() == ["prompt", "tool_start"]
    assert scene.kinds() == []
    writer.tick()
    writer.end_call(part)
    assert scene.kinds() == ["tool_execute"]
    writer.complete(message, "tool-calls")
    writer.answer(session)
    assert scene.kinds() == ["completion", "completion", "stop"]


@pytest.mark.parametrize("agent", ["opencode", "goose"])
def test_watcher_reads_the_database_of_the_real_program(
    scene: Scene, agent: str, tmp_path: Path
) -> None:
    """A restart reads the same events again, with the same ids."""
    name = "goose/sessions/sessions.db" if agent == "goose" else "opencode/opencode.db"
    recorded_database(agent, tmp_path / name)
    events = scene.poll()
    ids = Counter(event.event_id for event in events)
    assert len(events) > 30
    assert set(ids.values()) == {1}
    again = scene.poll(scene.new_watcher())
    assert {event.event_id for event in again} == set(ids)


def test_watcher_leaves_old_sessions_alone(scene: Scene, writer: OpenCodeWriter) -> None:
    """Until they change."""
    old = writer.session()
    writer.answer(old)
    scene.watcher = scene.new_watcher(START_MS / 1e3 + LONG_S)
    assert scene.kinds() == []
    writer.tick()
    writer.prompt(old)
    assert scene.kinds() == ["session_start", "completion", "stop", "prompt"]


def test_watcher_notices_another_title_of_a_session_at_rest(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """No message changes with it."""
    session = writer.session()
    writer.answer(session)
    scene.poll()
    writer.db.execute("UPDATE session SET title = 'Better name' WHERE id = ?", (session,))
    (event,) = scene.poll()
    assert event.title == "Better name"


def test_watcher_does_not_open_what_did_not_change(
    scene: Scene, writer: OpenCodeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls of stat are all that an unchanged database costs."""
    writer.answer(writer.session())
    scene.poll()
    opened = []
    original = database_watcher.open_sessions
    monkeypatch.setattr(
        database_watcher, "open_sessions", lambda *args: opened.append(args) or original(*args)
    )
    settled = datetime.fromtimestamp(os.stat(f"{scene.path}-wal").st_mtime + 60, UTC)
    scene.watcher.poll(settled)
    opened.clear()
    for _ in range(5):
        scene.at += 3
        scene.watcher.poll(settled)
    assert opened == []


def test_watcher_writes_nothing(scene: Scene, tmp_path: Path) -> None:
    """A database at rest is read without a file beside it, also in a read-only folder."""
    recorded_database("opencode", scene.path)
    assert os.listdir(scene.path.parent) == ["opencode.db"]
    before = scene.path.read_bytes()
    scene.path.parent.chmod(0o500)
    try:
        assert len(scene.poll()) > 30
    finally:
        scene.path.parent.chmod(0o700)
    assert os.listdir(scene.path.parent) == ["opencode.db"]
    assert scene.path.read_bytes() == before


def test_watcher_keeps_out_of_the_way_of_the_writer(scene: Scene, writer: OpenCodeWriter) -> None:
    """The agent can write, and reset its log, right after a poll."""
    session = writer.session()
    writer.db.execute("PRAGMA busy_timeout = 0")
    for _ in range(5):
        writer.answer(session)
        scene.watcher.poll(NOW)
        scene.at += 1
        assert writer.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    writer.close()
    assert os.listdir(scene.path.parent) == ["opencode.db"]
    scene.poll()
    assert os.listdir(scene.path.parent) == ["opencode.db"]


def test_watcher_waits_for_a_lock(scene: Scene, writer: OpenCodeWriter) -> None:
    """An exclusive lock is no problem to report."""
    session = writer.session()
    scene.poll()
    writer.db.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.prompt(session)
    writer.db.execute("BEGIN EXCLUSIVE")
    assert scene.kinds() == []
    assert scene.problems() == {}
    writer.db.execute("COMMIT")
    writer.close()
    writer.db = sqlite3.connect(scene.path)
    assert "prompt" in scene.kinds()


def test_watcher_survives_a_replaced_database(scene: Scene, writer: OpenCodeWriter) -> None:
    """Another file with the same name is read from its start; a missing one is waited for."""
    writer.answer(writer.session())
    assert len(scene.poll()) == 3
    writer.close()
    for name in os.listdir(scene.path.parent):
        (scene.path.parent / name).unlink()
    assert scene.kinds() == []
    assert scene.problems() == {}
    empty_database("opencode", scene.path)
    other = OpenCodeWriter(scene.path)
    other.prompt(other.session("ses_other"))
    assert scene.kinds() == ["session_start", "prompt"]
    other.close()


def test_watcher_survives_a_deleted_session(scene: Scene, writer: OpenCodeWriter) -> None:
    """It ends."""
    session = writer.session()
    writer.answer(session)
    scene.poll()
    for table in ("part", "message", "session"):
        writer.db.execute(f"DELETE FROM {table}")
    assert scene.kinds() == ["session_end"]
    assert scene.kinds() == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), None),
        (lambda path: path.write_bytes(b"no database" * 1_000), "it is not an SQLite database"),
        (os.mkfifo, "it is not a regular file"),
        (lambda path: sqlite3.connect(path).executescript("CREATE TABLE t (a)"), "it has no table"),
    ],
)
def test_watcher_names_what_it_cannot_read(scene: Scene, make: object, reason: str | None) -> None:
    """And reads it once it is a database."""
    scene.path.parent.mkdir()
    make(scene.path)  # type: ignore[operator]
    assert scene.kinds() == []
    problems = scene.problems()
    if reason is None:
        assert problems == {}
    else:
        assert problems[str(scene.path)].startswith(reason)
    scene.path.unlink()
    recorded_database("opencode", scene.path)
    scene.at += 60
    assert len(scene.kinds()) > 30
    assert scene.problems() == {}


def test_watcher_reads_on_after_a_damaged_session(scene: Scene, writer: OpenCodeWriter) -> None:
    """A page that is overwritten keeps out one session, and is named."""
    session = writer.session()
    writer.answer(session)
    for _ in range(200):
        writer.part(session, writer.message(session, "user"), "text", text="x" * 2_000)
    writer.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.close()
    size = scene.path.stat().st_size
    with scene.path.open("r+b") as file:
        for page in range(size // 4096 // 2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    scene.poll()
    assert any("malformed" in reason for reason in scene.problems().values())


def test_watcher_reads_only_completions_of_sessions_that_hooks_name(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """If it does not watch."""
    from htmlgraph_nb.coding_agents.hook_hints import HookHints

    first, second = writer.session(), writer.session()
    writer.answer(first)
    writer.answer(second)
    scene.watcher = scene.new_watcher(watch=False)
    assert scene.kinds() == []
    hints = HookHints("opencode-x", first, None, (), False, (), "opencode")
    scene.watcher.on_hook(hints)
    (event,) = scene.poll()
    assert (event.event_type, event.session_id) == ("completion", first)


def test_watcher_reads_a_change_with_the_timestamp_of_the_last_one(
    scene: Scene, writer: OpenCodeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems store times in steps, and their clock can differ from that of this machine."""
    session = writer.session()
    stamp = database_watcher.database_stamp(str(scene.path))
    monkeypatch.setattr(database_watcher, "database_stamp", lambda _path: stamp)
    assert [event.event_type for event in scene.watcher.poll(NOW)] == ["session_start"]
    writer.prompt(session)
    assert scene.kinds() == ["prompt"]


def test_watcher_follows_a_writing_process_that_is_killed(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """Nothing is reported twice or lost, however the process ends."""
    words = [sys.executable, "-c", WRITER, str(scene.path)]
    events: list[Event] = []

    def has_many() -> bool:
        events.extend(scene.poll())
        return len(events) > 60

    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_until(has_many)
        process.send_signal(signal.SIGKILL)
    events += scene.poll()
    ids = Counter(event.event_id for event in events)
    assert set(ids.values()) == {1}
    fresh = {event.event_id for event in scene.poll(scene.new_watcher())}
    assert fresh == set(ids)


def test_watcher_memory_is_bounded_by_a_large_database(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """Outputs of tools are not loaded, and a huge one is not even read."""
    sessions = [writer.session() for _ in range(4)]
    writer.db.execute("PRAGMA synchronous = OFF")
    writer.db.execute("BEGIN")
    for n in range(120):
        message = writer.message(sessions[n % 4], "assistant")
        part = writer.call(sessions[n % 4], message)
        writer.end_call(part, output="x" * (2 << 20))
        writer.complete(message)
    message = writer.message(sessions[0], "assistant")
    huge = writer.call(sessions[0], message)
    writer.end_call(huge, output="x" * (2 * MAX_ROW_BYTES))
    writer.db.execute("COMMIT")
    writer.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert scene.path.stat().st_size > 250 << 20
    events: list[Event] = []
    peak_before = _peak_kib()
    tracemalloc.start()
    wait_until(lambda: events.extend(scene.poll()) or len(events) >= 4 + 2 * 121 + 120)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert _peak_kib() - peak_before < 100 << 10
    assert sum(event.event_type == "tool_execute" for event in events) == 121


def _peak_kib() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_watcher_finds_databases_of_other_channels(scene: Scene, tmp_path: Path) -> None:
    """And a database that appears later."""
    assert scene.kinds() == []
    path = tmp_path / "opencode/opencode-dev.db"
    recorded_database("opencode", path)
    assert len(scene.poll()) > 30
    assert scene.watcher.report()["databases"] == [str(path)]


def test_watcher_reads_what_a_crash_left_in_the_log(scene: Scene, writer: OpenCodeWriter) -> None:
    """The log of a killed program is part of its database."""
    writer.answer(writer.session("ses_1"))
    copy = {name: (scene.path.parent / name).read_bytes() for name in os.listdir(scene.path.parent)}
    writer.close()
    for name, data in copy.items():
        (scene.path.parent / name).write_bytes(data)
    with closing(sqlite3.connect(f"file:{scene.path}?mode=ro&immutable=1", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)
    assert scene.kinds() == ["session_start", "completion", "stop"]


def test_watcher_reports_that_a_slow_request_still_runs(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """Before the agent counts as idle; not for hours, and not after the end of the turn."""
    session = writer.session()
    writer.prompt(session)
    settled = datetime.fromtimestamp(os.stat(f"{scene.path}-wal").st_mtime + 60, UTC)
    scene.watcher.poll(settled)
    scene.watcher.poll(settled)
    found = []
    for _ in range(100):
        scene.at += 20
        found += scene.watcher.poll(settled + timedelta(seconds=scene.at))
    assert {event.event_type for event in found} == {"activity"}
    assert len(found) == 2_000 // RUNNING_AFTER_S
    assert len({event.event_id for event in found}) == len(found)
    scene.at += 5 * 3_600
    assert scene.watcher.poll(settled) == []
    writer.answer(session)
    scene.poll()
    scene.at += 300
    assert scene.watcher.poll(settled) == []


def test_watcher_reads_only_the_sessions_that_changed(
    scene: Scene, writer: OpenCodeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice each, and not the others, although their turns are running."""
    # A busy machine would need more polls.
    monkeypatch.setattr(database_watcher, "_SLICE_S", 60.0)
    parts = {}
    for session in [writer.session() for _ in range(3)]:
        writer.prompt(session)
        parts[session] = writer.call(session, writer.message(session, "assistant"))
    scene.poll()
    read: list[str] = []
    original = database_watcher._Database._read_session

    def read_session(self, db, name, monotonic_s):  # type: ignore[no-untyped-def]
        read.append(name)
        return original(self, db, name, monotonic_s)

    monkeypatch.setattr(database_watcher._Database, "_read_session", read_session)
    changed = list(parts)[1]
    writer.tick()
    writer.end_call(parts[changed])
    assert scene.kinds() == ["tool_execute"]
    assert read == [changed, changed]


def test_watcher_reads_a_change_of_a_row_at_the_time_of_the_last_one(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """Rows have milliseconds."""
    session = writer.session()
    writer.prompt(session)
    part = writer.call(session, writer.message(session, "assistant"))
    assert [event.event_type for event in scene.watcher.poll(NOW)][-1] == "tool_start"
    writer.end_call(part)
    assert scene.kinds() == ["tool_execute"]


def test_watcher_reads_the_other_sessions_beside_one_with_a_huge_title(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """Its row is too large to be read."""
    session, other = writer.session(), writer.session()
    for name in (session, other):
        writer.prompt(name)
    scene.poll()
    title = "x" * (MAX_ROW_BYTES + 1)
    writer.db.execute("UPDATE session SET title = ? WHERE id = ?", (title, other))
    writer.tick()
    writer.answer(session)
    assert scene.kinds() == ["completion", "stop"]
    assert list(scene.problems()) == [f"{scene.path}#{other}"]


def test_watcher_checks_rarely_while_many_files_are_followed(
    scene: Scene, writer: OpenCodeWriter
) -> None:
    """As those files are."""
    n_files = MAX_FAST_FILES - 1
    scene.watcher = DatabaseWatcher(0.0, (), n_files=lambda: n_files, monotonic=lambda: scene.at)
    writer.session()
    scene.watcher.poll(NOW)
    assert scene.watcher.interval_s == FAST_INTERVAL_S
    n_files += 1
    scene.at += SLOW_INTERVAL_S
    scene.watcher.poll(NOW)
    assert scene.watcher.interval_s == SLOW_INTERVAL_S


def test_watcher_reads_a_commit_that_is_visible_long_after_it_was_written(
    scene: Scene, writer: OpenCodeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk can take seconds, and the timestamp of the log is that of the write."""
    session = writer.session()
    writer.prompt(session)
    for _ in range(3):
        scene.at += 1.0
        scene.watcher.poll(NOW)
    stamp = database_watcher.database_stamp(str(scene.path))
    monkeypatch.setattr(database_watcher, "database_stamp", lambda _path: stamp)
    writer.tick()
    writer.answer(session)
    assert scene.kinds() == ["completion", "stop"]
