"""Detectors of loops and waste: pure functions from one event of an agent to the next state.

They are those of ``analysis.loops`` with ``apart=0``, event by event; a test compares both.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

WINDOW = timedelta(minutes=10)
"""Longest time between a call and the same one before it."""
THRASH_WINDOW = timedelta(minutes=30)
"""Time in which compactions of the context are counted."""
RATE_MINUTES = 10
"""Minutes over which the cost rate is measured."""
BASELINE_MINUTES = 60
"""Minutes before those, with whose rate it is compared."""
LEAST_BASELINE_MINUTES = 20
"""Least minutes of a baseline."""
_MAX_COMPACTIONS = 64


class EndedCall(NamedTuple):
    """A tool call that ended.

    Attributes:
        input_hash: hash of its input; None: unknown, so it is the same as no other call.
        at: when it ended.
        failed: whether it ended in an error.
    """

    tool: str
    input_hash: int | None
    at: datetime
    failed: bool

    def is_same(self, other: EndedCall) -> bool:
        """Return whether both are the same call: tool and input are equal."""
        return (
            self.input_hash is not None
            and self.input_hash == other.input_hash
            and self.tool == other.tool
        )


class LoopState(NamedTuple):
    """The calls of an agent so far, as far as they matter.

    Attributes:
        last, before: the last call, and the one before it.
        repeats: number of calls of the run of the same call that ends with the last one.
        pongs: number of calls of the run of two calls in turns that ends with the last one; 0:
            there is none.
        pong_errors: number of those that failed.
    """

    last: EndedCall | None = None
    before: EndedCall | None = None
    repeats: int = 0
    pongs: int = 0
    pong_errors: int = 0

    def is_ping_pong(self, rounds: float) -> bool:
        """Return whether two calls took turns ``rounds`` times, with as many errors."""
        return self.pongs >= 2 * rounds - 1 and self.pong_errors >= rounds


def next_loop_state(state: LoopState, call: EndedCall, window: timedelta = WINDOW) -> LoopState:
    """Return the state after a call; it ended after those before it."""
    last, before = state.last, state.before
    repeats = 1
    if last is not None and call.is_same(last) and call.at - last.at <= window:
        repeats = state.repeats + 1
    pongs = errors = 0
    if (
        last is not None
        and before is not None
        and last.input_hash is not None
        and call.is_same(before)
        and not call.is_same(last)
        and call.at - before.at <= window
    ):
        if state.pongs:
            pongs, errors = state.pongs + 1, state.pong_errors + call.failed
        else:
            pongs, errors = 3, before.failed + last.failed + call.failed
    return LoopState(call, last, repeats, pongs, errors)


def next_compactions(times: tuple[datetime, ...], at: datetime) -> tuple[datetime, ...]:
    """Return the compactions of the last THRASH_WINDOW after another one."""
    recent = [time for time in times if at - time < THRASH_WINDOW]
    return (*recent, at)[-_MAX_COMPACTIONS:]


class SpendingRate:
    """The cost of an agent by minute, over the last RATE_MINUTES and BASELINE_MINUTES."""

    __slots__ = ("_minutes", "_since")

    def __init__(self) -> None:
        self._minutes: dict[int, float] = {}
        self._since: int | None = None

    def add(self, usd: float, at: datetime) -> None:
        """Add a cost in US dollars."""
        minute = int(at.timestamp() // 60)
        self._since = minute if self._since is None else min(self._since, minute)
        self._minutes[minute] = self._minutes.get(minute, 0.0) + usd
        if len(self._minutes) > RATE_MINUTES + BASELINE_MINUTES:
            del self._minutes[min(self._minutes)]

    def per_hour(self, now: datetime) -> float:
        """Return US dollars per hour over the last RATE_MINUTES."""
        minute = int(now.timestamp() // 60)
        return self._sum(minute - RATE_MINUTES, minute) * 60 / RATE_MINUTES

    def times_baseline(self, now: datetime) -> float:
        """Return the rate over the last RATE_MINUTES, divided by that of the time before.

        Returns:
            0 if the time before is shorter than LEAST_BASELINE_MINUTES, or cost nothing.
        """
        minute = int(now.timestamp() // 60)
        end = minute - RATE_MINUTES
        start = end - BASELINE_MINUTES
        if self._since is None:
            return 0.0
        n_minutes = end - max(start, self._since - 1)
        before = self._sum(start, end)
        if n_minutes < LEAST_BASELINE_MINUTES or not before:
            return 0.0
        return self.per_hour(now) / (before * 60 / n_minutes)

    def _sum(self, after: int, until: int) -> float:
        return sum(usd for minute, usd in self._minutes.items() if after < minute <= until)
