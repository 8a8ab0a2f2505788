"""Which SDK handle is open around the code that runs now; it holds handles and makes none."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sdk import SDK

_around: ContextVar[SDK | None] = ContextVar("htmlgraph_sdk", default=None)
# A generator that is thrown away can end in the middle of anything.
_lock = threading.RLock()
_open: list[SDK] = []


def activate(sdk: SDK) -> SDK | None:
    """Make a handle the current one and return the one before it, for ``deactivate``."""
    before = _around.get()
    _around.set(sdk)
    with _lock:
        _open.append(sdk)
    return before


def deactivate(sdk: SDK, before: SDK | None) -> None:
    """Take ``activate`` back."""
    _around.set(before)
    with _lock:
        if sdk in _open:
            _open.remove(sdk)


def active_sdk() -> SDK | None:
    """Return the handle of the ``with`` statement around the caller; None: there is none.

    A thread that was started inside of such a statement has no share in its context: where one
    handle alone is open in the whole program, that one is meant.
    """
    around = _around.get()
    if around is not None:
        return around
    with _lock:
        return _open[0] if len(set(_open)) == 1 else None
