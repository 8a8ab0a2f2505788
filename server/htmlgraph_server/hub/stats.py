"""Counters of the hub: rates over the last seconds and the latency from arrival to sending."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

_WINDOW_S = 10
_SAMPLES = 4_096


class Rate:
    """Counts per second over the last ten full seconds."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: deque[tuple[int, int]] = deque(maxlen=_WINDOW_S + 1)

    def add(self, n: int, now: float) -> None:
        """Count ``n`` at ``now`` (monotonic seconds)."""
        self.total += n
        second = int(now)
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1] = (second, self._counts[-1][1] + n)
        else:
            self._counts.append((second, n))

    def per_second(self, now: float) -> float:
        """Return the mean of the last ten full seconds."""
        second = int(now)
        return sum(n for at, n in self._counts if second - _WINDOW_S <= at < second) / _WINDOW_S


class HubStats:
    """What the hub did.

    Attributes:
        updates: changes taken in.
        frames: frames handed to transports.
        n_bytes: bytes handed to transports.
        n_lagged: how often a client passed the bound of unsent bytes.
    """

    def __init__(self) -> None:
        self.updates = Rate()
        self.frames = Rate()
        self.n_bytes = 0
        self.n_lagged = 0
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)

    def count_updates(self, n: int) -> None:
        """Count changes that were taken in."""
        self.updates.add(n, time.monotonic())

    def count_frames(self, n: int, n_bytes: int) -> None:
        """Count frames that were handed over."""
        self.n_bytes += n_bytes
        self.frames.add(n, time.monotonic())

    def count_flush(self, received: Sequence[tuple[float, int]], end: float) -> None:
        """Take one latency of each publication that was sent by ``end``."""
        self._latencies.extend(end - at for at, n in received if n)

    def latency_s(self, *quantiles: float) -> list[float | None]:
        """Return quantiles of arrival-to-sent over the last samples; None where there are none."""
        ordered = sorted(self._latencies)
        if not ordered:
            return [None for _ in quantiles]
        return [ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in quantiles]
