"""What hooks left in the spool is taken in once, whatever happens meanwhile."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.hook import command
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background import spool_reader as spool_module
from htmlgraph_server.background.spool_reader import SETTLE_S, Spool
from tests.helpers.database_files import rows_of
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve


class Clock:
    """Monotonic seconds that are set by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The spool file; nobody has written it yet."""
    return str(tmp_path / "spool [1].jsonl")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Where the events go."""
    with PresenceManager(str(tmp_path / "h.db")) as opened:
        yield opened


def line(number: int, session: str = "s1") -> bytes:
    """Return what the hook keeps of one call."""
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


def left(path: str) -> list[str]:
    """Return the names of spool files that are there still."""
    return sorted(found.name for found in Path(path).parent.glob("spool*"))


def event_ids(manager: PresenceManager) -> list[str]:
    """Return the ids that are stored, in their order."""
    return [str(row[0]) for row in rows_of(manager.db_path, "event_id")]


def test_the_spool_is_set_aside_and_read_when_no_hook_can_hold_it(
    manager: PresenceManager, path: str
) -> None:
    """What is appended to the file that was set aside counts; then nothing is left of it."""
    clock = Clock()
    spool = Spool(manager, path, clock)
    assert spool.take_in() == 0
    for number in range(3):
        assert command.spool(line(number), path)
    with open(path, "ab") as held:
        assert spool.take_in() == 0
        assert not Path(path).exists()
        clock.now += SETTLE_S - 0.1
        assert spool.take_in() == 0
        held.write(line(3) + b"\n")
    clock.now += 0.2
    assert spool.take_in() == 4
    assert event_ids(manager) == [f"s1-{number}" for number in range(4)]
    assert manager.agents["agent-s1"].total_tools_executed == 4
    assert left(path) == []
    assert spool.take_in() == 0


def test_what_comes_meanwhile_is_the_next_spool(manager: PresenceManager, path: str) -> None:
    """Two files set aside one after the other are both read, each at its time."""
    clock = Clock()
    spool = Spool(manager, path, clock)
    command.spool(line(0), path)
    spool.take_in()
    clock.now += SETTLE_S / 2
    command.spool(line(1), path)
    spool.take_in()
    assert len(left(path)) == 2
    clock.now += SETTLE_S / 2
    assert spool.take_in() == 1
    clock.now += SETTLE_S / 2
    assert spool.take_in() == 1
    assert (event_ids(manager), left(path)) == (["s1-0", "s1-1"], [])


def test_a_crash_between_commit_and_deletion_repeats_nothing(
    manager: PresenceManager, path: str
) -> None:
    """The next server finds the file set aside and reads it again; the ids are known."""
    clock = Clock()
    for number in range(20):
        command.spool(line(number), path)
    first = Spool(manager, path, clock)
    first.take_in()
    (aside,) = Path(path).parent.glob("spool*")
    shutil.copy(aside, f"{aside}.copy")
    clock.now += SETTLE_S
    assert first.take_in() == 20
    Path(f"{aside}.copy").rename(aside)
    second = Spool(manager, path, clock)
    assert second.take_in() == 0
    clock.now += SETTLE_S
    assert second.take_in() == 0
    assert left(path) == []
    assert len(event_ids(manager)) == len(set(event_ids(manager))) == 20


def test_broken_lines_cost_themselves_alone(
    manager: PresenceManager, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off, no JSON, no object, no hook, no UTF-8: counted in one warning."""
    clock = Clock()
    bad = [line(1)[:40], b"not json", b"[]", b"{}", b"\xff\xfe", b'{"session_id":7}', b"[" * 9_999]
    Path(path).write_bytes(b"\n".join([line(0), *bad, b"", line(2), line(3)[:-5]]))
    spool = Spool(manager, path, clock)
    spool.take_in()
    clock.now += SETTLE_S
    with caplog.at_level(logging.WARNING, "htmlgraph.spool"):
        assert spool.take_in() == 2
    assert event_ids(manager) == ["s1-0", "s1-2"]
    assert [record.getMessage() for record in caplog.records] == [
        "8 lines of the spool could not be read"
    ]


def test_a_spool_that_cannot_be_stored_waits(tmp_path: Path, path: str) -> None:
    """Nothing is deleted before its commit; it is taken in once there is room."""
    clock = Clock()
    command.spool(line(0, "a"), path)
    command.spool(line(0, "b"), path)
    with PresenceManager(str(tmp_path / "h.db"), limits=Limits(max_agents=1)) as manager:
        spool = Spool(manager, path, clock)
        spool.take_in()
        clock.now += SETTLE_S
        for _ in range(2):
            with pytest.raises(CapacityError):
                spool.take_in()
        assert len(left(path)) == 1
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        spool = Spool(manager, path, clock)
        spool.take_in()
        clock.now += SETTLE_S
        assert spool.take_in() == 2


def test_two_servers_on_one_folder_lose_nothing(manager: PresenceManager, path: str) -> None:
    """Each sets aside under a name of its own, and whoever is faster reads."""
    clock = Clock()
    one, two = Spool(manager, path, clock), Spool(manager, path, clock)
    n_taken = 0
    for number in range(10):
        command.spool(line(number), path)
        n_taken += one.take_in() + two.take_in()
        clock.now += SETTLE_S * 0.7
        n_taken += two.take_in()
    clock.now += SETTLE_S
    n_taken += one.take_in() + two.take_in()
    assert n_taken == 10
    assert sorted(event_ids(manager)) == sorted(f"s1-{number}" for number in range(10))
    assert left(path) == []


def test_appends_during_the_taking_in_are_not_lost(
    manager: PresenceManager, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks of several processes write on while the file is set aside, read and deleted."""
    monkeypatch.setattr(spool_module, "SETTLE_S", 0.3)
    n_each, n_writers = 400, 3

    def write(writer: int) -> None:
        for number in range(n_each):
            assert command.spool(line(number, f"w{writer}"), path)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(n_writers)]
    spool = Spool(manager, path)
    n_taken = 0
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        n_taken += spool.take_in()

    def all_taken() -> bool:
        nonlocal n_taken
        n_taken += spool.take_in()
        return n_taken >= n_each * n_writers

    wait_until(all_taken, "the whole spool")
    assert n_taken == n_each * n_writers
    found = event_ids(manager)
    assert len(found) == len(set(found)) == n_taken
    assert left(path) == []


def test_a_server_takes_in_what_was_spooled_before_and_while_it_runs(
    serve: Serve, tmp_path: Path
) -> None:
    """At its start, and at its tick; dashboards see it like any other event."""
    home = tmp_path / "home"
    spool_path = str(home / "spool.jsonl")
    for number in range(5):
        command.spool(line(number), spool_path)
    server = serve(home=home)

    def executed(session: str) -> int:
        agent = server.presence().get(f"agent-{session}")
        return 0 if agent is None else int(agent["total_tools_executed"])

    wait_until(lambda: executed("s1") == 5, "the spool from before the start")
    command.spool(line(0, "s2"), spool_path)
    command.spool(line(0, "s1"), spool_path)
    wait_until(lambda: executed("s2") == 1, "the spool at the tick")
    wait_until(lambda: left(spool_path) == [], "its deletion")
    assert executed("s1") == 5
    assert len(rows_of(str(server.db))) == 6
