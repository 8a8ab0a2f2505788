"""Logs the faults of work that is repeated."""

from __future__ import annotations

import logging

from htmlgraph_nb.errors import StoreReplaced


class FaultLog:
    """Logs only the first of several errors in a row: their cause may last for hours.

    Args:
        name: what fails, for the log.
        logger: the logger of its module.
    """

    def __init__(self, name: str, logger: logging.Logger) -> None:
        self._name = name
        self._logger = logger
        self._is_failing = False

    def succeeded(self) -> None:
        """Log the next error."""
        self._is_failing = False

    def failed(self, error: Exception) -> None:
        """Log an error whose message says what is wrong."""
        # The store has logged it, once for all of its users.
        if isinstance(error, StoreReplaced):
            return
        if not self._is_failing:
            self._logger.warning("%s: %s", self._name, error)
        self._is_failing = True

    def failed_unexpectedly(self) -> None:
        """Log the exception that is being handled, with its traceback."""
        if not self._is_failing:
            self._logger.exception("%s: unexpected error", self._name)
        self._is_failing = True
