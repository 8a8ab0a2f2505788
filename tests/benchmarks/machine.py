"""What a benchmark asks of the machine: cores, open files, and what a process has used."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import psutil


@cache
def cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process could use when it was first asked.

    After ``pin`` they are still all there to be shared out.
    """
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def shared_out() -> tuple[Sequence[int], Sequence[int]]:
    """Return the cores for the server and those for everything else; the same where it is one."""
    available = cores()
    return available[:1], available[1:] or available


def pin(*numbers: int) -> None:
    """Keep this process, and the threads it starts, on these cores where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)


def allow_open_files(n: int) -> None:
    """Raise the limit of open files to ``n``, at most to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n if hard == resource.RLIM_INFINITY else min(n, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class Usage:
    """A process at one moment.

    Attributes:
        at: monotonic seconds.
        cpu_s: seconds of user and system time since its start, and of the soft interrupts of its
            cores: the kernel delivers packets over loopback in those, on behalf of the sender but
            on no process's account.
        rss_mb: resident memory, 1 MB = 1,000,000 bytes.
        idle_s: seconds in which cores of the machine had nothing to do.
    """

    at: float
    cpu_s: float
    rss_mb: float
    idle_s: float

    def cores_since(self, before: Usage) -> float:
        """Return how many cores the process used between ``before`` and this."""
        return (self.cpu_s - before.cpu_s) / (self.at - before.at)

    def others_since(self, before: Usage, used: float) -> float:
        """Return how many cores were neither idle nor among the ``used``: other processes, or a
        host that gave them to somebody else.
        """
        idle = (self.idle_s - before.idle_s) / (self.at - before.at)
        return max(0.0, (psutil.cpu_count() or 1) - idle - used)


def usage(pid: int, own_cores: Sequence[int]) -> Usage:
    """Return what a process has used so far.

    Args:
        own_cores: the cores that only it uses; their soft interrupts are its own.
    """
    process = psutil.Process(pid)
    times, system = process.cpu_times(), psutil.cpu_times(percpu=True)
    soft = sum(getattr(system[core], "softirq", 0.0) for core in own_cores)
    return Usage(
        time.monotonic(),
        times.user + times.system + soft,
        process.memory_info().rss / 1e6,
        sum(core.idle + getattr(core, "iowait", 0.0) for core in system),
    )
