"""CellWatch and CellTracker: whether a cell runs, and which widgets its last run created."""

from __future__ import annotations

import gc
import weakref

import pytest

from htmlgraph_nb.widget import cell_tracker


class Events:
    """A fake of IPython's event manager."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list] = {"pre_execute": [], "post_execute": []}

    def register(self, event, callback) -> None:
        self.callbacks[event].append(callback)

    def trigger(self, event) -> None:
        for callback in self.callbacks[event]:
            callback()


def test_cell_watch_follows_ipython_events():
    """Busy in the cell that creates the first grid, idle after it, busy in the next."""
    events = Events()
    watch = cell_tracker.CellWatch(events)
    busy = [watch.busy]
    for event in ("post_execute", "pre_execute", "post_execute"):
        events.trigger(event)
        busy.append(watch.busy)
    assert busy == [True, False, True, False]


def test_cell_watch_outside_ipython_is_never_busy():
    """A plain script has no cells, so all time counts."""
    assert cell_tracker.CellWatch(None).busy is False


class Widget:
    """A fake grid that counts the calls of close()."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def execute_request(cell: str, number: int) -> dict:
    """Return Jupyter's message that runs a cell."""
    return {"metadata": {"cellId": cell}, "header": {"msg_id": f"run-{number}"}}


def test_cell_tracker_closes_objects_of_the_previous_run():
    """All of them, once, and none of this run or of another cell."""
    tracker = cell_tracker.CellTracker()
    first, second, other, third = (Widget() for _ in range(4))
    tracker.register(first, execute_request("a", 1))
    tracker.register(second, execute_request("a", 1))
    tracker.register(other, execute_request("b", 2))
    assert (first.closed, second.closed) == (0, 0)
    tracker.register(third, execute_request("a", 3))
    assert [widget.closed for widget in (first, second, other, third)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "parent", [None, {}, {"metadata": {}, "header": {"msg_id": "m"}}, {"metadata": None}, 3]
)
def test_cell_tracker_missing_cell_id_closes_nothing(parent):
    """A front end that does not name the cell, or no notebook."""
    tracker = cell_tracker.CellTracker()
    widgets = [Widget(), Widget()]
    for widget in widgets:
        tracker.register(widget, parent)
    assert [widget.closed for widget in widgets] == [0, 0]


def test_cell_tracker_keeps_no_object_alive():
    """An unreferenced grid can be collected."""
    tracker = cell_tracker.CellTracker()
    widget = Widget()
    reference = weakref.ref(widget)
    tracker.register(widget, execute_request("a", 1))
    del widget
    gc.collect()
    assert reference() is None
