"""How the process knows that a cell runs, and which widgets the cell's former run left."""

from __future__ import annotations

import gc
import weakref

import pytest

from htmlgraph_nb.widget import cell_tracker


class Events:
    """A double of IPython's event manager."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list] = {"pre_execute": [], "post_execute": []}

    def register(self, event, callback) -> None:
        self.callbacks[event].append(callback)

    def trigger(self, event) -> None:
        for callback in self.callbacks[event]:
            callback()


def test_a_running_cell_is_known_from_the_events():
    """Busy in the cell that makes the first grid, idle after it, busy again in the next."""
    events = Events()
    watch = cell_tracker.CellWatch(events)
    seen = [watch.busy]
    for event in ("post_execute", "pre_execute", "post_execute"):
        events.trigger(event)
        seen.append(watch.busy)
    assert seen == [True, False, True, False]


def test_outside_of_ipython_no_cell_runs():
    """A plain script has no cells, so every second counts."""
    assert cell_tracker.CellWatch(None).busy is False


class Widget:
    """A double of a grid: counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def run(cell: str, number: int) -> dict:
    """Return the message by which Jupyter asks for a run of a cell."""
    return {"metadata": {"cellId": cell}, "header": {"msg_id": f"run-{number}"}}


def test_a_cell_that_is_run_again_ends_what_its_former_run_made():
    """All of it, once, and nothing of this run or of another cell."""
    runs = cell_tracker.CellTracker()
    first, second, other, third = (Widget() for _ in range(4))
    runs.note(first, run("a", 1))
    runs.note(second, run("a", 1))
    runs.note(other, run("b", 2))
    assert (first.closed, second.closed) == (0, 0)
    runs.note(third, run("a", 3))
    assert [one.closed for one in (first, second, other, third)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "parent", [None, {}, {"metadata": {}, "header": {"msg_id": "m"}}, {"metadata": None}, 3]
)
def test_without_the_name_of_the_cell_nothing_is_ended(parent):
    """A front end that does not say which cell it runs, or no notebook at all."""
    runs = cell_tracker.CellTracker()
    made = [Widget(), Widget()]
    for one in made:
        runs.note(one, parent)
    assert [one.closed for one in made] == [0, 0]


def test_what_a_cell_made_is_not_kept_alive():
    """A grid that nobody holds can be collected."""
    runs = cell_tracker.CellTracker()
    made = Widget()
    gone = weakref.ref(made)
    runs.note(made, run("a", 1))
    del made
    gc.collect()
    assert gone() is None
