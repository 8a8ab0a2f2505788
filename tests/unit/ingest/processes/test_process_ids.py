"""A process is recognized again, and only that process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from htmlgraph_nb.ingest.processes import process_ids
from htmlgraph_nb.ingest.processes.process_ids import (
    HAS_ENDED,
    IS_RUNNING,
    IS_UNSEEN,
    ProcessId,
    find_process,
    is_local_domain,
    place_of_processes,
    process_state,
)
from htmlgraph_nb.paths import start_ticks
from tests.helpers.wait import wait_until

PLACE = "0123456789ab.ba9876543210.4026531836"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that runs until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        yield child
        child.kill()


def test_find_process_equals_psutil(process: subprocess.Popen[bytes]) -> None:
    """Id and start time are those of the operating system."""
    found = find_process(process.pid)
    assert found is not None
    assert (found.pid, found.place) == (process.pid, place_of_processes())
    created = psutil.Process(process.pid).create_time()
    assert abs(found.started_at - created) < process_ids.START_TIME_TOLERANCE_S
    assert found.ticks == start_ticks(process.pid)


@pytest.mark.parametrize("pid", [-1, 0, 2**31, 2**80])
def test_find_process_ignores_numbers_that_are_no_pid(pid: int) -> None:
    """Any program can report any number."""
    assert find_process(pid) is None
    assert process_state(ProcessId(pid, 0.0)) == HAS_ENDED


def test_process_state_of_zombie_is_ended(process: subprocess.Popen[bytes]) -> None:
    """A process that nobody has waited for yet has exited."""
    known = find_process(process.pid)
    assert known is not None
    assert process_state(known) == IS_RUNNING
    os.kill(process.pid, 9)
    wait_until(lambda: process_state(known) == HAS_ENDED, "the end")
    assert find_process(process.pid) is None


@linux_only
def test_process_state_of_reused_pid_is_ended(process: subprocess.Popen[bytes]) -> None:
    """The start in ticks decides, whatever was done to the clock; without it the start time."""
    known = find_process(process.pid)
    assert known is not None
    assert process_state(known._replace(ticks=7)) == HAS_ENDED
    earlier = known._replace(started_at=known.started_at - 3_600)
    assert process_state(earlier) == IS_RUNNING
    assert process_state(earlier._replace(ticks=None)) == HAS_ENDED
    assert process_state(ProcessId(known.pid, known.started_at + 1)) == IS_RUNNING


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (PLACE, IS_RUNNING),
        # Another container, or this one before its restart.
        ("0123456789ab.ba9876543210.4026532000", IS_UNSEEN),
        # The name of the machine has changed.
        ("ffffffffffff.ba9876543210.4026531836", IS_RUNNING),
        # The machine was started again.
        ("0123456789ab.000000000000.4026531836", HAS_ENDED),
        ("0123456789ab.000000000000.4026532000", HAS_ENDED),
        # Another machine.
        ("ffffffffffff.000000000000.4026531836", IS_UNSEEN),
        ("ffffffffffff..", IS_UNSEEN),
        # Systems on which the boot is unknown.
        ("0123456789ab..", IS_RUNNING),
        # Any program can send any text.
        ("nonsense", IS_UNSEEN),
        ("", IS_UNSEEN),
        ("a.b.c.d.e", IS_UNSEEN),
    ],
)
def test_process_state_depends_on_its_place(
    place: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of another place say nothing, but no process outlives its machine's boot."""
    known = find_process(os.getpid())
    assert known is not None
    monkeypatch.setattr(process_ids, "place_of_processes", lambda: PLACE)
    assert process_state(known._replace(place=place)) == expected


def test_process_state_of_hidden_process_is_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user that /proc hides exists all the same."""

    def hidden(pid: int) -> list[bytes]:
        raise FileNotFoundError(pid)

    monkeypatch.setattr(process_ids, "_IS_LINUX", True)
    monkeypatch.setattr(process_ids, "_stat_fields", hidden)
    assert process_state(ProcessId(os.getpid(), 0.0)) == IS_UNSEEN
    assert process_state(ProcessId(2**22 + 1, 0.0)) == HAS_ENDED


@pytest.mark.parametrize("offset_s", [-1.0, 0.0, 1.0, 60.0])
def test_process_state_by_psutil(offset_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems than Linux know the exact start time, but no ticks."""
    monkeypatch.setattr(process_ids, "_IS_LINUX", False)
    found = find_process(os.getpid())
    assert found is not None
    assert found.ticks is None
    moved = found._replace(started_at=found.started_at + offset_s)
    assert process_state(moved) == (IS_RUNNING if abs(offset_s) <= 2 else HAS_ENDED)
    assert find_process(2**31 - 1) is None


def test_place_of_processes_names_nothing() -> None:
    """The names of the machine and of its boot are hashed."""
    machine, boot, _ = place_of_processes().split(".")
    for part in (machine, boot):
        assert part == "" or (len(part) == 12 and int(part, 16) >= 0)


@linux_only
def test_is_local_domain_compares_machine_and_namespace() -> None:
    """The forms are those of Claude Code."""
    own = os.readlink("/proc/self/ns/pid")
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    assert is_local_domain(f"linux:{machine}:{own}")
    for other in (f"linux:{machine}:pid:[1]", f"linux:0:{own}", "darwin", "win32:pc", ""):
        assert not is_local_domain(other)
