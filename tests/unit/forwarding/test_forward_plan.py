"""Offsets and gaps of forwarding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.forwarding.forward_plan import (
    BATCH_EVENTS,
    MAX_GAPS,
    MAX_LIVE,
    ForwardOffsets,
    ForwardStep,
    stored_offsets,
)

START = ForwardOffsets("edge", "centre", 5, 100)


def test_connected_continues_where_the_last_connection_ended() -> None:
    """The same databases, neither of which has lost anything."""
    assert START.connected("edge", 150, "centre", 9).live == 100


@pytest.mark.parametrize(
    ("epoch", "newest", "receiver", "received"),
    [
        ("other", 150, "centre", 9),
        ("edge", 150, "other", 9),
        ("edge", 99, "centre", 9),
        ("edge", 150, "centre", 4),
    ],
    ids=["edge replaced", "centre replaced", "edge restored", "centre restored"],
)
def test_connected_begins_again(epoch: str, newest: int, receiver: str, received: int) -> None:
    """Another database, or one that lost its last changes, gets everything again."""
    offsets = START.connected(epoch, newest, receiver, received)
    assert (offsets.live, offsets.gaps, offsets.epoch) == (0, (), epoch)


def test_split_sends_the_newest_events_first() -> None:
    """A day without a network becomes a gap, and what comes now is sent at once."""
    newest = 100 + MAX_LIVE + 1
    assert START.split(newest - 1) is START
    offsets = START.split(newest)
    assert offsets.gaps == ((101, newest),)
    assert offsets.next_step(newest) == ForwardStep(101, newest, False)
    assert offsets.next_step(newest, live_only=True) is None
    assert offsets.next_step(newest + 1) == ForwardStep(newest + 1, newest + 1, True)
    assert offsets.n_pending(newest) == MAX_LIVE + 1
    assert offsets.first_pending == 101


def test_split_bounds_the_number_of_gaps() -> None:
    """The oldest two become one, so that nothing is left out."""
    offsets, newest = ForwardOffsets("edge"), 0
    for _ in range(MAX_GAPS + 5):
        newest += MAX_LIVE + 1
        offsets = offsets.split(newest)
        newest += 3
        step = offsets.next_step(newest)
        assert step is not None
        offsets = offsets.sent(step, newest, 0)
    assert len(offsets.gaps) == MAX_GAPS
    assert offsets.gaps[0][0] == 1


@given(st.lists(st.integers(0, 3 * MAX_LIVE), max_size=12), st.integers(1, 2 * BATCH_EVENTS))
def test_next_step_reaches_every_event(growth: list[int], batch: int) -> None:
    """Whatever arrives in between, all events are sent in the end; memory is bounded."""
    offsets, newest, sent = ForwardOffsets("edge"), 0, set[int]()
    for n in [*growth, *[0] * 400]:
        newest += n
        offsets = stored_offsets(offsets.split(newest).to_json())
        step = offsets.next_step(newest)
        if step is None:
            continue
        last = min(step.last, step.first + batch - 1)
        assert step.is_live or offsets.live == newest
        sent.update(range(step.first, last + 1))
        offsets = offsets.sent(step, last, 0)
        assert offsets.n_pending(newest) >= len(set(range(1, newest + 1)) - sent)
    while (step := offsets.next_step(newest)) is not None:
        sent.update(range(step.first, step.last + 1))
        offsets = offsets.sent(step, step.last, 0)
    assert sent == set(range(1, newest + 1))
    assert offsets.n_pending(newest) == 0


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "[1,2,3,4,5]", '["e","c",1,2,[[1]]]'])
def test_stored_offsets_of_another_text_are_the_first(text: str | None) -> None:
    """A damaged row means that all is sent again, which counts once."""
    assert stored_offsets(text) == ForwardOffsets("")
