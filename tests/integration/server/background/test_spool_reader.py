"""The spool: every event is ingested once, through crashes, errors and concurrent writers."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.changes import IngestResult
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.hook import spool_file
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background import spool_reader
from htmlgraph_server.background.spool_reader import SPOOL_SETTLE_S, SpoolReader
from tests.helpers.database_files import history_rows
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The spool file, which does not exist yet."""
    return str(tmp_path / "spool [1].jsonl")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """The database into which the spool is read."""
    with PresenceManager(str(tmp_path / "h.db")) as opened:
        yield opened


def line(number: int, session: str = "s1") -> bytes:
    """Return a spool line as the hook writes it."""
    return json.dumps(
        {
            "hook_event_name": "PostToolUse",
            "session_id": session,
            "tool_name": "Bash",
            "htmlgraph": {
                "event_id": f"{session}-{number}",
                "timestamp": to_rfc3339(datetime.now(UTC)),
                "agent_id": f"agent-{session}",
            },
        }
    ).encode()


def spool_files(path: str) -> list[str]:
    """Return the names of the spool files that still exist."""
    return sorted(file.name for file in Path(path).parent.glob("spool*"))


def event_ids(manager: PresenceManager) -> list[str]:
    """Return the stored event ids in order."""
    return [str(row[0]) for row in history_rows(manager.db_path, "event_id")]


def test_spool_is_read_once_no_hook_can_have_it_open(manager: PresenceManager, path: str) -> None:
    """Lines appended to the renamed file are read, too; afterwards the file is deleted."""
    clock = Clock()
    spool = SpoolReader(manager, path, clock)
    assert spool.read() == 0
    for number in range(3):
        assert spool_file.spool(line(number), path)
    with open(path, "ab") as open_file:
        assert spool.read() == 0
        assert not Path(path).exists()
        clock.now += SPOOL_SETTLE_S - 0.1
        assert spool.read() == 0
        open_file.write(line(3) + b"\n")
    clock.now += 0.2
    assert spool.read() == 4
    assert event_ids(manager) == [f"s1-{number}" for number in range(4)]
    assert manager.agents["agent-s1"].total_tools_executed == 4
    assert spool_files(path) == []
    assert spool.read() == 0


def test_new_spool_is_read_after_the_renamed_one(manager: PresenceManager, path: str) -> None:
    """Two renamed files are both read, each after its own delay."""
    clock = Clock()
    spool = SpoolReader(manager, path, clock)
    spool_file.spool(line(0), path)
    spool.read()
    clock.now += SPOOL_SETTLE_S / 2
    spool_file.spool(line(1), path)
    spool.read()
    assert len(spool_files(path)) == 2
    clock.now += SPOOL_SETTLE_S / 2
    assert spool.read() == 1
    clock.now += SPOOL_SETTLE_S / 2
    assert spool.read() == 1
    assert (event_ids(manager), spool_files(path)) == (["s1-0", "s1-1"], [])


def test_spool_read_again_after_a_crash_adds_no_duplicates(
    manager: PresenceManager, path: str
) -> None:
    """The next server reads the renamed file again; its event ids are stored already."""
    clock = Clock()
    for number in range(20):
        spool_file.spool(line(number), path)
    first = SpoolReader(manager, path, clock)
    first.read()
    (renamed,) = Path(path).parent.glob("spool*")
    shutil.copy(renamed, f"{renamed}.copy")
    clock.now += SPOOL_SETTLE_S
    assert first.read() == 20
    Path(f"{renamed}.copy").rename(renamed)
    second = SpoolReader(manager, path, clock)
    assert second.read() == 0
    clock.now += SPOOL_SETTLE_S
    assert second.read() == 0
    assert spool_files(path) == []
    assert len(event_ids(manager)) == len(set(event_ids(manager))) == 20


def test_invalid_spool_lines_are_skipped(
    manager: PresenceManager, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Truncated, not JSON, not an object, not a hook, not UTF-8: one warning names them."""
    clock = Clock()
    bad = [line(1)[:40], b"not json", b"[]", b"{}", b"\xff\xfe", b'{"session_id":7}', b"[" * 9_999]
    Path(path).write_bytes(b"\n".join([line(0), *bad, b"", line(2), line(3)[:-5]]))
    spool = SpoolReader(manager, path, clock)
    spool.read()
    clock.now += SPOOL_SETTLE_S
    with caplog.at_level(logging.WARNING, spool_reader.__name__):
        assert spool.read() == 2
    assert event_ids(manager) == ["s1-0", "s1-2"]
    assert [record.getMessage() for record in caplog.records] == [
        "spool: skipped 8 lines that are invalid or were cut off by a full disk "
        "(line 2, 3, 4, 5, 6, 7, 8, 11)"
    ]


def test_spool_is_kept_until_its_events_are_stored(
    manager: PresenceManager, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is deleted only after the commit."""
    clock = Clock()
    spool_file.spool(line(0, "a"), path)
    spool = SpoolReader(manager, path, clock)
    spool.read()
    clock.now += SPOOL_SETTLE_S

    def fail(_events: object) -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(manager, "ingest", fail)
        with pytest.raises(StoreUnavailable):
            spool.read()
    assert len(spool_files(path)) == 1
    assert spool.read() == 1
    assert spool_files(path) == []


def test_spool_keeps_events_without_room(tmp_path: Path, path: str) -> None:
    """They wait in a file of their own; all others are stored, also those of later files."""
    clock = Clock()
    for name in ("a", "b", "c", "d"):
        spool_file.spool(line(0, name), path)
    with PresenceManager(str(tmp_path / "h.db"), limits=Limits(max_agents=2)) as manager:
        spool = SpoolReader(manager, path, clock)
        spool.read()
        clock.now += SPOOL_SETTLE_S
        assert spool.read() == 2
        spool_file.spool(line(1, "a"), path)
        spool.read()
        clock.now += SPOOL_SETTLE_S
        assert spool.read() == 1
        assert event_ids(manager) == ["a-0", "b-0", "a-1"]
        (kept,) = spool_files(path)
        assert (tmp_path / kept).stat().st_mode & 0o777 == 0o600
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        spool = SpoolReader(manager, path, clock)
        spool.read()
        clock.now += SPOOL_SETTLE_S
        assert spool.read() == 2
        assert spool_files(path) == []


def test_spool_of_thousands_without_room_needs_few_transactions(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full roster does not cost a transaction for each event, again each minute."""
    clock = Clock()
    for n in range(2_000):
        spool_file.spool(line(n, f"agent-{n}"), path)
    with PresenceManager(str(tmp_path / "h.db"), limits=Limits(max_agents=2)) as manager:
        for name in ("a", "b"):
            manager.update_presence(name, {"event_type": "prompt", "source": "claude-hook"})
        spool = SpoolReader(manager, path, clock)
        spool.read()
        clock.now += SPOOL_SETTLE_S
        sizes: list[int] = []
        ingest = manager.ingest

        def counting(events: Sequence[Event]) -> IngestResult:
            sizes.append(len(events))
            return ingest(events)

        monkeypatch.setattr(manager, "ingest", counting)
        assert spool.read() == 0
        assert len(sizes) <= 12, "at most a few for each batch"
        assert len(spool_files(path)) == 1


def test_spool_keeps_events_without_room_until_agents_leave(tmp_path: Path, path: str) -> None:
    """An offline agent gives way, a working one does not."""
    clock = Clock()
    spool_file.spool(line(0, "c"), path)
    with PresenceManager(str(tmp_path / "h.db"), limits=Limits(max_agents=2)) as manager:
        for name in ("a", "b"):
            manager.update_presence(name, {"event_type": "prompt", "source": "claude-hook"})
        spool = SpoolReader(manager, path, clock)
        spool.read()
        clock.now += SPOOL_SETTLE_S
        assert spool.read() == 0
        manager.mark_offline("a")
        clock.now += 61
        assert spool.read() == 1
        assert sorted(manager.snapshot()) == ["agent-c", "b"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to a device"])
def test_unreadable_spool_does_not_keep_others_waiting(
    manager: PresenceManager, path: str, kind: str
) -> None:
    """The error is reported, and the other files are read."""
    clock = Clock()
    bad = Path(f"{path}.1-1.taken")
    if kind == "folder":
        bad.mkdir()
    elif kind == "fifo":
        os.mkfifo(bad)
    else:
        bad.symlink_to("/dev/zero")
    Path(f"{path}.2-2.taken").write_bytes(line(0))
    spool = SpoolReader(manager, path, clock)
    spool.read()
    clock.now += SPOOL_SETTLE_S
    with pytest.raises(OSError, match=re.escape(str(bad))):
        spool.read()
    assert event_ids(manager) == ["s1-0"]


def test_long_spool_is_read_in_parts(
    manager: PresenceManager, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines at the borders of parts are whole; a line that is too long is skipped."""
    monkeypatch.setattr(spool_reader, "_PART_BYTES", 64)
    monkeypatch.setattr(spool_reader, "MAX_SPOOL_BYTES", 900)
    clock = Clock()
    lines = [line(0), line(1), b'{"x":"' + b"y" * 3_000, line(2), b"", line(3)]
    Path(path).write_bytes(b"\n".join(lines))
    spool = SpoolReader(manager, path, clock)
    spool.read()
    clock.now += SPOOL_SETTLE_S
    assert spool.read() == 4
    assert event_ids(manager) == ["s1-0", "s1-1", "s1-2", "s1-3"]


def test_spool_readers_on_one_folder_lose_nothing(manager: PresenceManager, path: str) -> None:
    """Each renames the spool to a unique name, and either may read it."""
    clock = Clock()
    first, second = (SpoolReader(manager, path, clock) for _ in range(2))
    n_ingested = 0
    for number in range(10):
        spool_file.spool(line(number), path)
        n_ingested += first.read() + second.read()
        clock.now += SPOOL_SETTLE_S * 0.7
        n_ingested += second.read()
    clock.now += SPOOL_SETTLE_S
    n_ingested += first.read() + second.read()
    assert n_ingested == 10
    assert sorted(event_ids(manager)) == sorted(f"s1-{number}" for number in range(10))
    assert spool_files(path) == []


def test_lines_appended_while_the_spool_is_read_are_not_lost(
    manager: PresenceManager, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several writers append while the file is renamed, read and deleted."""
    monkeypatch.setattr(spool_reader, "SPOOL_SETTLE_S", 0.3)
    n_each, n_writers = 400, 3

    def write(writer: int) -> None:
        for number in range(n_each):
            assert spool_file.spool(line(number, f"w{writer}"), path)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(n_writers)]
    spool = SpoolReader(manager, path)
    n_ingested = 0
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        n_ingested += spool.read()

    def all_ingested() -> bool:
        nonlocal n_ingested
        n_ingested += spool.read()
        return n_ingested >= n_each * n_writers

    wait_until(all_ingested, "the whole spool")
    assert n_ingested == n_each * n_writers
    ids = event_ids(manager)
    assert len(ids) == len(set(ids)) == n_ingested
    assert spool_files(path) == []


def test_server_ingests_events_spooled_before_and_during_its_run(
    serve: Serve, tmp_path: Path
) -> None:
    """They are read at the start and periodically, and shown like any other event."""
    home = tmp_path / "home"
    spool_path = str(home / "spool.jsonl")
    for number in range(5):
        spool_file.spool(line(number), spool_path)
    server = serve(home=home)

    def executed(session: str) -> int:
        agent = server.presence().get(f"agent-{session}")
        return 0 if agent is None else int(agent["total_tools_executed"])

    wait_until(lambda: executed("s1") == 5, "the spool from before the start")
    spool_file.spool(line(0, "s2"), spool_path)
    spool_file.spool(line(0, "s1"), spool_path)
    wait_until(lambda: executed("s2") == 1, "the spool written meanwhile")
    wait_until(lambda: spool_files(spool_path) == [], "its deletion")
    assert executed("s1") == 5
    assert len(history_rows(str(server.db))) == 6
