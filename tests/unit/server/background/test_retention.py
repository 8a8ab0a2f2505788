"""What is due for deletion is bounded by the time that has passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.background.retention import CLOCK_STEP_S, HOLD_S, RetentionLimit

NOW, DAY = 1_780_000_000.0, 86_400.0
RETAIN = 90 * DAY


def test_limit_follows_the_clock() -> None:
    """A server with a right clock deletes what is older than the retention at once."""
    limit = RetentionLimit(RETAIN, NOW - 3_600)
    assert limit.before(NOW, 5.0) == NOW - RETAIN
    assert limit.before(NOW + 60, 65.0) == NOW + 60 - RETAIN
    assert not limit.is_held(65.0)


def test_limit_of_an_empty_history_follows_the_clock() -> None:
    """Nothing says that the clock is wrong."""
    assert RetentionLimit(RETAIN, None).before(NOW, 0.0) == NOW - RETAIN


@pytest.mark.parametrize("jump_s", [CLOCK_STEP_S + 1, 3 * 3_600, 365 * DAY, -3 * 3_600])
def test_limit_ignores_a_clock_that_is_ahead_for_a_while(jump_s: float) -> None:
    """Minutes with a wrong clock make no more due than their length."""
    limit = RetentionLimit(RETAIN, NOW)
    limit.before(NOW, 0.0)
    for second in range(60, 1_200, 60):
        assert limit.before(NOW + second + jump_s, second) <= NOW + second - RETAIN
    assert limit.is_held(1_199)
    assert limit.before(NOW + 1_200, 1_200) <= NOW + 1_200 - RETAIN


def test_limit_follows_a_clock_that_was_kept() -> None:
    """A clock that was set right is right after a while, as is the one after a sleep."""
    limit = RetentionLimit(RETAIN, NOW)
    limit.before(NOW, 0.0)
    later = NOW + 30 * DAY
    assert limit.before(later, 60.0) == NOW + 60 - RETAIN
    assert limit.before(later + HOLD_S, 60.0 + HOLD_S) == later + HOLD_S - RETAIN


def test_limit_after_a_long_stop_waits() -> None:
    """The clock may have been lost with the battery; what was due before is deleted."""
    limit = RetentionLimit(RETAIN, NOW - 30 * DAY)
    assert limit.before(NOW, 0.0) == NOW - 30 * DAY - RETAIN
    assert limit.before(NOW + HOLD_S, HOLD_S) == NOW + HOLD_S - RETAIN


@given(
    st.lists(
        st.tuples(st.floats(0.1, 600), st.floats(-1e6, 1e9, allow_nan=False)),
        min_size=1,
        max_size=5,
    )
)
def test_limit_never_exceeds_the_elapsed_time(jumps: list[tuple[float, float]]) -> None:
    """Whatever the clock does within the hold, only the elapsed time makes events due."""
    limit = RetentionLimit(RETAIN, NOW)
    limit.before(NOW, 0.0)
    elapsed_s = 0.0
    for seconds, clock_s in jumps:
        elapsed_s += seconds
        before_s = limit.before(NOW + elapsed_s + clock_s, elapsed_s)
        # Each look may take CLOCK_STEP_S for the imprecision of the clocks.
        assert before_s <= NOW + elapsed_s - RETAIN + CLOCK_STEP_S * len(jumps)
