"""Tracks which notebook cell is running and which objects each cell created."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any, Protocol

from IPython import get_ipython


class Closable(Protocol):
    """An object that must be closed when its cell is run again."""

    def close(self) -> None:
        """Close it."""


class CellWatch:
    """Knows whether a cell is running, from IPython's events.

    Args:
        events: IPython's event manager; None outside IPython, where no cell ever runs.
    """

    def __init__(self, events: Any) -> None:
        # Created inside a running cell: the first event to arrive is its end.
        self.busy = events is not None
        if events is not None:
            events.register("pre_execute", self._on_start)
            events.register("post_execute", self._on_end)

    def _on_start(self) -> None:
        self.busy = True

    def _on_end(self) -> None:
        self.busy = False


@cache
def cell_watch() -> CellWatch:
    """Return the watch of this process."""
    shell = get_ipython()
    return CellWatch(None if shell is None else shell.events)


class CellTracker:
    """Knows which objects each cell created in its last run, and closes those of earlier runs."""

    def __init__(self) -> None:
        # cell → (run, objects)
        self._objects: dict[str, tuple[str, weakref.WeakSet[Any]]] = {}

    def register(self, created: Closable, parent: Any) -> None:
        """Register an object of the running cell; close those of the cell's previous run.

        Args:
            created: the new object; held weakly.
            parent: the execute request of Jupyter: ``metadata.cellId`` is the cell and
                ``header.msg_id`` the run. If either is missing, nothing is registered.
        """
        cell, run = _string_at(parent, "metadata", "cellId"), _string_at(parent, "header", "msg_id")
        if not cell or not run:
            return
        last_run, objects = self._objects.get(cell, ("", weakref.WeakSet()))
        if last_run != run:
            for previous in list(objects):
                previous.close()
            objects = weakref.WeakSet()
        objects.add(created)
        self._objects[cell] = (run, objects)


def _string_at(message: Any, part: str, name: str) -> str:
    fields = message.get(part) if isinstance(message, dict) else None
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else ""


def parent_message() -> Any:
    """Return the message that the kernel is processing; None outside a kernel."""
    shell = get_ipython()
    get_parent = getattr(shell, "get_parent", None)
    return None if get_parent is None else get_parent()


cell_tracker = CellTracker()
