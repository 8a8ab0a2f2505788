"""Wait for a condition with a deadline; tests wait in no other way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    probe: Callable[[], T],
    what: str = "condition",
    deadline_s: float = 30.0,
    interval_s: float = 0.01,
) -> T:
    """Call ``probe`` until it returns a true value, and return that.

    Args:
        probe: returns the value to wait for.
        what: describes the condition in the error message.
        deadline_s: seconds until the wait fails.
        interval_s: seconds between calls.

    Raises:
        AssertionError: the deadline passed; the message names ``what`` and the last value.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what} (last value {value!r})")
        time.sleep(interval_s)
