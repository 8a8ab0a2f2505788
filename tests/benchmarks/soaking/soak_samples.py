"""Memory, descriptors and threads of a process over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil

INTERVAL_S = 1.0


class Sample(NamedTuple):
    """The process at one time.

    Attributes:
        at_s: seconds since the start.
        rss_mb: resident memory.
        uss_mb: memory that would be freed if the process ended.
        n_fds: open file descriptors.
        n_threads: threads.
        n_children: child processes.
    """

    at_s: float
    rss_mb: float
    uss_mb: float
    n_fds: int
    n_threads: int
    n_children: int


class Samples:
    """Samples of a process, one a second.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._start = time.monotonic()
        self.taken: list[Sample] = []

    def take(self) -> Sample:
        """Return a sample of now."""
        memory = self._process.memory_full_info()
        sample = Sample(
            time.monotonic() - self._start,
            memory.rss / 1e6,
            memory.uss / 1e6,
            self._process.num_fds(),
            self._process.num_threads(),
            len(self._process.children()),
        )
        self.taken.append(sample)
        return sample

    async def run(self) -> None:
        """Take samples until it is cancelled."""
        while True:
            self.take()
            await asyncio.sleep(INTERVAL_S)

    async def at_rest(self, seconds: float = 30.0) -> Sample:
        """Return the least of each figure once all clients are gone.

        Args:
            seconds: most time to wait until nothing falls any more.
        """
        end = time.monotonic() + seconds
        least = self.take()
        unchanged = 0
        while time.monotonic() < end and unchanged < 8:
            await asyncio.sleep(INTERVAL_S)
            sample = self.take()
            lower = Sample(sample.at_s, *map(min, sample[1:], least[1:]))
            unchanged = unchanged + 1 if lower[3:] == least[3:] else 0
            least = lower
        return least

    def between(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples of a span of time."""
        return [sample for sample in self.taken if start_s <= sample.at_s <= end_s]


def ends(
    samples: Samples,
    field: str,
    start_s: float,
    end_s: float,
    summarize: Callable[[Iterable[float]], float],
) -> tuple[float, float]:
    """Return a field at the start and at the end of a span of time.

    Args:
        summarize: of the values in a fifth of the span, at least ten seconds.
    """
    part = max(10.0, (end_s - start_s) / 5)
    parts = samples.between(start_s, start_s + part), samples.between(end_s - part, end_s)
    first, last = (summarize([getattr(each, field) for each in taken]) for taken in parts)
    return first, last
