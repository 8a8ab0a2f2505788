"""Hub counters: rates over the last seconds, and the latency from arrival to sending."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

_WINDOW_S = 10
_MAX_SAMPLES = 4_096


class RateCounter:
    """A total, and the rate over the last ten full seconds."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: deque[tuple[int, int]] = deque(maxlen=_WINDOW_S + 1)

    def add(self, n: int, now: float) -> None:
        """Add ``n`` at ``now`` (monotonic seconds)."""
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
    """Counters of one hub.

    Attributes:
        updates: changes published.
        frames: frames handed to transports.
        n_bytes: bytes handed to transports.
        n_slow_total: how often a client passed the limit of unsent bytes.
    """

    def __init__(self) -> None:
        self.updates = RateCounter()
        self.frames = RateCounter()
        self.n_bytes = 0
        self.n_slow_total = 0
        self._latencies: deque[float] = deque(maxlen=_MAX_SAMPLES)

    def count_updates(self, n: int) -> None:
        """Count published changes."""
        self.updates.add(n, time.monotonic())

    def count_frames(self, n: int, n_bytes: int) -> None:
        """Count frames handed to transports."""
        self.n_bytes += n_bytes
        self.frames.add(n, time.monotonic())

    def count_flush(self, received: Sequence[tuple[float, int]], end: float) -> None:
        """Record one latency for each non-empty batch that was sent by ``end``.

        Args:
            received: arrival time and number of changes of each batch.
        """
        self._latencies.extend(end - at for at, n in received if n)

    def latency_s(self, *quantiles: float) -> list[float | None]:
        """Return quantiles of the latest latencies in seconds; None where there are none."""
        ordered = sorted(self._latencies)
        if not ordered:
            return [None for _ in quantiles]
        return [ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in quantiles]
