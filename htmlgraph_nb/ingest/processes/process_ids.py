"""Recognize a process again, also after a restart of this program or of the machine.

A process is known by its id and its start time. On Linux the start time in clock ticks since boot
is used, which no change of the clock affects, and the place: the machine, its boot and the PID
namespace. Process ids of another place say nothing here: such a process cannot be seen.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from functools import cache
from typing import NamedTuple

from ...paths import is_alive

START_TIME_TOLERANCE_S = 2.0
"""Seconds by which two readings of a process's start time can differ."""
IS_RUNNING, HAS_ENDED, IS_UNSEEN = "running", "ended", "unseen"
"""States of a process; IS_UNSEEN: nothing on this machine shows whether it runs."""

_IS_LINUX = sys.platform == "linux"
_ENDED_STATES = (b"Z", b"X", b"x")
_KEY = b"htmlgraph-nb"


class ProcessId(NamedTuple):
    """Which process it is.

    Attributes:
        started_at: in seconds since 1970.
        ticks: start in clock ticks since boot; None: unknown.
        place: result of ``place_of_processes`` where it runs; None: unknown.
    """

    pid: int
    started_at: float
    ticks: int | None = None
    place: str | None = None


def find_process(pid: int) -> ProcessId | None:
    """Return the process that has an id now; None: there is none, or it has ended.

    Raises:
        PermissionError: there is one, but nothing more is known, as of another user's.
    """
    if not 0 < pid < 2**31:
        # A program reported a number that is no pid.
        return None
    return _find_by_proc(pid) if _IS_LINUX else _find_by_psutil(pid)


def _find_by_proc(pid: int) -> ProcessId | None:
    try:
        fields = _stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        if is_alive(pid):
            # Hidden from this user, by the mount option hidepid.
            raise PermissionError(f"process {pid} is hidden") from None
        return None
    if fields[0] in _ENDED_STATES:
        # A zombie has exited.
        return None
    ticks = int(fields[19])
    boot_time = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started_at = boot_time + ticks / os.sysconf("SC_CLK_TCK")
    return ProcessId(pid, started_at, ticks, place_of_processes())


def _find_by_psutil(pid: int) -> ProcessId | None:
    # Imported with the first reported process: many servers never need it.
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessId(pid, process.create_time(), None, place_of_processes())
    except psutil.AccessDenied as error:
        raise PermissionError(f"process {pid} is hidden") from error
    except (psutil.Error, ValueError, OverflowError):
        return None


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the third on: state, parent, …, start (20th)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The name in parentheses can contain any character.
        return file.read().rpartition(b")")[2].split()


def process_state(known: ProcessId) -> str:
    """Return IS_RUNNING, HAS_ENDED (its id may be in use by another process) or IS_UNSEEN."""
    if known.place is not None and (elsewhere := _compare_places(known.place)) is not None:
        return elsewhere
    try:
        process = find_process(known.pid)
    except OSError:
        return IS_UNSEEN
    if process is None:
        return HAS_ENDED
    return IS_RUNNING if is_same(process, known) else HAS_ENDED


def _compare_places(place: str) -> str | None:
    """Return the state of any process of a place, if it is not the place of this process."""
    machine, boot, space = (*place.split("."), "", "")[:3]
    own_machine, own_boot, own_space = place_of_processes().split(".")
    if boot and boot == own_boot:
        # The machine is the same, even if its name has changed.
        return None if space == own_space else IS_UNSEEN
    if machine != own_machine:
        return IS_UNSEEN
    # After a reboot none of the earlier processes runs, in whatever container it was.
    return HAS_ENDED if boot and own_boot else None


def is_same(process: ProcessId, other: ProcessId) -> bool:
    """Return whether two readings with one pid and place are of one process."""
    if process.ticks is not None and other.ticks is not None:
        return process.ticks == other.ticks
    return abs(process.started_at - other.started_at) <= START_TIME_TOLERANCE_S


@cache
def place_of_processes() -> str:
    """Return where the process ids of this process are valid: machine, boot, PID namespace.

    The first two are hashed, so that they say nothing about the machine. They are "" where they are
    unknown, as the boot is on systems without /proc; start times are exact there.
    """
    machine = _hashed(f"{platform.node()} {_text_of('/etc/machine-id')}")
    boot = _text_of("/proc/sys/kernel/random/boot_id")
    return f"{machine}.{_hashed(boot) if boot else ''}.{_pid_namespace()}"


@cache
def _own_domain() -> str:
    return f"linux:{_text_of('/etc/machine-id')}:pid:[{_pid_namespace()}]"


def is_local_domain(domain: str) -> bool:
    """Return whether processes in a ``pidDomain`` of Claude Code are visible here.

    It is ``linux:MACHINE-ID:pid:[NAMESPACE]`` on Linux, and begins with another word elsewhere.
    """
    if domain.startswith("linux:"):
        return _IS_LINUX and domain == _own_domain()
    return not _IS_LINUX


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    except OSError:
        return ""


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(256).strip()
    except OSError:
        return ""


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), key=_KEY, digest_size=6).hexdigest()
