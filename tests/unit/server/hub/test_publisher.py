"""Publisher: large batches in steps, all in order."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_server.decoding.loop_turns import Turns
from htmlgraph_server.hub.publisher import STEP_CHANGES, Publisher
from tests.helpers.event_loop import on_loop


def batch_of(start: int, n: int) -> ChangeBatch:
    """Return a batch whose changes are numbers."""
    return ChangeBatch(cast(Any, list(range(start, start + n))), 1.5)


@on_loop
async def test_publisher_publishes_large_batches_in_steps() -> None:
    """An iteration of the loop publishes at most STEP_CHANGES; later batches wait their turn."""
    published: list[ChangeBatch] = []
    publisher = Publisher(published.append, Turns())
    publisher.take(batch_of(0, 3))
    assert [len(batch.changes) for batch in published] == [3], "a small batch is not delayed"
    publisher.take(batch_of(3, 10 * STEP_CHANGES + 1))
    publisher.take(batch_of(10 * STEP_CHANGES + 4, 5))
    assert len(published) == 1
    caught_up = asyncio.create_task(publisher.caught_up())
    while not caught_up.done():
        before = len(published)
        await asyncio.sleep(0)
        assert sum(len(batch.changes) for batch in published[before:]) <= STEP_CHANGES
    numbers: list[Any] = [change for batch in published for change in batch.changes]
    assert numbers == list(range(10 * STEP_CHANGES + 9))
    assert {batch.received for batch in published} == {1.5}
    await publisher.caught_up()
    publisher.take(batch_of(0, 1))
    assert len(published[-1].changes) == 1


@on_loop
async def test_publisher_finish_publishes_what_waits() -> None:
    """At the end of the server nothing is left; the running task finds nothing more."""
    published: list[ChangeBatch] = []
    publisher = Publisher(published.append, Turns())
    publisher.take(batch_of(0, 5 * STEP_CHANGES))
    publisher.finish()
    await publisher.caught_up()
    assert sum(len(batch.changes) for batch in published) == 5 * STEP_CHANGES


@on_loop
async def test_publisher_goes_on_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """An exception is logged; the other steps follow."""
    published: list[ChangeBatch] = []

    def publish(batch: ChangeBatch) -> None:
        published.append(batch)
        if len(published) == 1:
            raise ValueError

    publisher = Publisher(publish, Turns())
    publisher.take(batch_of(0, 3 * STEP_CHANGES))
    await publisher.caught_up()
    assert len(published) == 3
    assert "could not be published" in caplog.text
