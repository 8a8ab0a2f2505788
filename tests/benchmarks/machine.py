"""Cores, open files and CPU usage: how a benchmark uses and measures the machine."""

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
    """Return the numbers of the cores that this process could use on the first call.

    The result is cached, so that ``shared_out`` still sees all cores after ``pin``.
    """
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def shared_out() -> tuple[Sequence[int], Sequence[int]]:
    """Return the cores for the server and those for all else; the same on a single core."""
    available = cores()
    return available[:1], available[1:] or available


def pin(*numbers: int) -> None:
    """Restrict this process and its future threads to these cores, if the system supports it."""
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
    """Resources that a process has used.

    Attributes:
        at: monotonic seconds of the measurement.
        cpu_s: seconds of user and system time since its start, plus the soft interrupts of its
            cores: the kernel delivers loopback packets in soft interrupts, for the sender but
            charged to no process.
        rss_mb: resident memory, 1 MB = 1,000,000 bytes.
        idle_s: idle seconds, summed over the cores of the machine.
    """

    at: float
    cpu_s: float
    rss_mb: float
    idle_s: float

    def cores_since(self, before: Usage) -> float:
        """Return how many cores the process used since ``before``."""
        return (self.cpu_s - before.cpu_s) / (self.at - before.at)

    def others_since(self, before: Usage, used: float) -> float:
        """Return how many cores were neither idle nor ``used``.

        Other processes used them, or the host gave them to another virtual machine.
        """
        idle = (self.idle_s - before.idle_s) / (self.at - before.at)
        return max(0.0, (psutil.cpu_count() or 1) - idle - used)


def usage(pid: int, own_cores: Sequence[int]) -> Usage:
    """Return what a process has used so far.

    Args:
        pid: process id.
        own_cores: cores that only this process uses; their soft interrupts count as its own.
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
