"""Waiting for a condition with a deadline, the only way in which tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    probe: Callable[[], T], what: str = "condition", deadline_s: float = 30.0, pause_s: float = 0.01
) -> T:
    """Call ``probe`` until it returns something true, and return that.

    Raises:
        AssertionError: ``deadline_s`` passed first; the text names ``what`` and the last value.
    """
    end = time.monotonic() + deadline_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what} (last value {found!r})")
        time.sleep(pause_s)
