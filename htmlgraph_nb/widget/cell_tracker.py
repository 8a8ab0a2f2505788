"""Which cell of a notebook runs, and what its former run left behind."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any, Protocol

from IPython import get_ipython


class Closable(Protocol):
    """What a cell can make that must end when the cell is run again."""

    def close(self) -> None:
        """End it."""


class CellWatch:
    """Knows whether a cell is running, from IPython's own events.

    Args:
        events: IPython's event manager; None outside of IPython, where no cell ever runs.
    """

    def __init__(self, events: Any) -> None:
        # Made inside of a running cell, whose end is the first thing that will be heard.
        self.busy = events is not None
        if events is not None:
            events.register("pre_execute", self._begin)
            events.register("post_execute", self._end)

    def _begin(self) -> None:
        self.busy = True

    def _end(self) -> None:
        self.busy = False


@cache
def cell_watch() -> CellWatch:
    """Return the watch of this process."""
    shell = get_ipython()
    return CellWatch(None if shell is None else shell.events)


class CellTracker:
    """Knows which objects each cell made in its last run, and ends those of the run before."""

    def __init__(self) -> None:
        # cell → (run, what it made)
        self._made: dict[str, tuple[str, weakref.WeakSet[Any]]] = {}

    def note(self, made: Closable, parent: Any) -> None:
        """Take in that ``made`` was made by the cell that runs now; end what its last run made.

        Args:
            parent: the message by which Jupyter asked for the run: ``metadata.cellId`` names the
                cell, ``header.msg_id`` the run. Where either is missing nothing is known.
        """
        cell, run = _text(parent, "metadata", "cellId"), _text(parent, "header", "msg_id")
        if not cell or not run:
            return
        former, ours = self._made.get(cell, ("", weakref.WeakSet()))
        if former != run:
            for one in list(ours):
                one.close()
            ours = weakref.WeakSet()
        ours.add(made)
        self._made[cell] = (run, ours)


def _text(parent: Any, part: str, name: str) -> str:
    found = parent.get(part) if isinstance(parent, dict) else None
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def parent_message() -> Any:
    """Return the message that the kernel works on; None outside of a kernel."""
    shell = get_ipython()
    get_parent = getattr(shell, "get_parent", None)
    return None if get_parent is None else get_parent()


cell_tracker = CellTracker()
