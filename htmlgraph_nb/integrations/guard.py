"""Keeps a fault of the monitor away from the program that is monitored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

logger = logging.getLogger("htmlgraph.integrations")

F = TypeVar("F", bound=Callable[..., Any])


def never_raises(method: F) -> F:
    """Let a method that a framework calls never raise: it returns None, and the log says why.

    A framework's next version may hand over what nobody has seen yet; the agent goes on all the
    same, and only what was not understood is missing.
    """

    @wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            name = method.__qualname__
            # The text of the error may hold what the agent works on; its kind does not.
            logger.warning("%s: not reported (%s)", name, type(error).__name__)
            logger.debug("%s failed", name, exc_info=True)
            return None

    return guarded  # type: ignore[return-value]
