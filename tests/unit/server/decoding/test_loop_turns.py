"""Turns: one step of long work in each iteration of the loop, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from htmlgraph_server.decoding.loop_turns import Turns
from tests.helpers.event_loop import on_loop


@on_loop
async def test_turns_give_one_step_an_iteration() -> None:
    """Many tasks together take as many iterations as they have steps."""
    turns, steps, counts = Turns(), list[int](), list[int]()

    async def work(number: int) -> None:
        for _ in range(3):
            await turns.next()
            steps.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(20)]
    while not all(task.done() for task in tasks):
        before = len(steps)
        await asyncio.sleep(0)
        counts.append(len(steps) - before)
    assert max(counts) == 1
    assert steps == [*range(20)] * 3, "first come, first served"


@on_loop
async def test_turns_run_returns_value_and_closes_on_error() -> None:
    """The value of the generator is returned, its exception raised."""
    ended: list[str] = []

    def steps(fails: bool) -> Generator[None, None, int]:
        try:
            yield
            if fails:
                raise ValueError("text")
            yield
            return 7
        finally:
            ended.append("closed")

    turns = Turns()
    assert await turns.run(steps(False)) == 7
    with pytest.raises(ValueError, match="text"):
        await turns.run(steps(True))
    task = asyncio.create_task(turns.run(steps(False)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(turns.next(), 5)
    assert len(ended) == 2, "a generator that was not started is not closed"
