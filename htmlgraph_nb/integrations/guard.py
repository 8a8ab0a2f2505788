"""Keep errors of the monitor away from the monitored program."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])


def never_raises(method: _F) -> _F:
    """Decorate a method that a framework calls: log its errors and return None instead.

    A new version of a framework may pass unexpected values. The agent continues, and only the
    event of this call is missing.
    """

    @wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            name = method.__qualname__
            # The error's text may contain the agent's data; its type does not.
            logger.warning("%s: event not reported (%s)", name, type(error).__name__)
            logger.debug("%s failed", name, exc_info=True)
            return None

    return guarded  # type: ignore[return-value]
