"""loop_detectors: event by event, the same as ``analysis.loops`` on the whole history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.alerts.evaluation.loop_detectors import (
    EndedCall,
    LoopState,
    SpendingRate,
    next_compactions,
    next_loop_state,
)
from htmlgraph_nb.analysis import loops

START = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["Bash", "Edit"]),
        st.sampled_from([None, 1, 2]),
        st.booleans(),
        st.sampled_from([1, 30, 700]),
    ),
    max_size=30,
)


def found(calls: list[EndedCall], kind: str, min_count: int) -> set[tuple[datetime, int]]:
    """Return end and number of calls of the loops in a history, by ``analysis.loops``."""
    rows = [
        {
            "agent_id": "a",
            "timestamp": call.at,
            "event_type": "tool_execute",
            "tool_name": call.tool,
            "input_hash": call.input_hash,
            "status": "error" if call.failed else "ok",
        }
        for call in calls
    ]
    table = loops(pd.DataFrame(rows), min_count=min_count)
    table = table[table["kind"] == kind]
    ends = table["last"].dt.tz_convert(UTC) if table["last"].dt.tz else table["last"]
    return {(end.to_pydatetime(), n) for end, n in zip(ends, table["count"], strict=True)}


@given(CALLS, st.integers(2, 4))
def test_next_loop_state_agrees_with_loops(
    rows: list[tuple[str, int | None, bool, int]], min_count: int
) -> None:
    """Runs of the same call, and of two failing calls in turns, are those of ``loops``."""
    at, calls = START, []
    for tool, key, failed, seconds in rows:
        at += timedelta(seconds=seconds)
        calls.append(EndedCall(tool, key, at, failed))
    if not calls:
        return
    state, states = LoopState(), []
    for call in calls:
        state = next_loop_state(state, call)
        states.append(state)
    repeats, pongs = set(), set()
    following = [*states[1:], LoopState()]
    for call, now, later in zip(calls, states, following, strict=True):
        if now.repeats >= min_count and later.repeats <= 1:
            repeats.add((call.at, now.repeats))
        if now.is_ping_pong(min_count) and later.pongs <= now.pongs:
            pongs.add((call.at, now.pongs))
    repeats = {(end, n) for end, n in repeats if n > 1}
    assert repeats == found(calls, "repeat", min_count)
    assert pongs == found(calls, "ping_pong", min_count)


def test_next_compactions_keeps_the_last_half_hour() -> None:
    """Older compactions do not count."""
    times: tuple[datetime, ...] = ()
    for minutes in (0, 20, 45):
        times = next_compactions(times, START + timedelta(minutes=minutes))
    assert len(times) == 2


def test_spending_rate_is_bounded() -> None:
    """Only the minutes that matter are kept."""
    rate = SpendingRate()
    for minute in range(500):
        rate.add(1.0, START + timedelta(minutes=minute))
    now = START + timedelta(minutes=499)
    assert rate.per_hour(now) == 60.0
    assert rate.times_baseline(now) == 1.0
    assert len(rate._minutes) <= 70
