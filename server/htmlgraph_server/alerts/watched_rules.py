"""The file of rules, read again when it changes. A broken edit keeps the rules before it."""

from __future__ import annotations

import logging
import os

from htmlgraph_nb.alerts.rule_file import AlertFile, read_alert_file
from htmlgraph_nb.errors import ConfigError

logger = logging.getLogger(__name__)


class WatchedRules:
    """The content of a file of rules.

    Args:
        path: the file; it need not exist.

    Attributes:
        content: the rules in force.
        error: what is wrong with the file; None: nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.content = AlertFile()
        self.error: str | None = None
        self._seen: tuple[int, int, int] | None = None
        self._is_read = False

    def refresh(self) -> bool:
        """Read the file if it has changed; return whether rules or error are others now.

        It may wait for the disk.
        """
        seen = self._stamp()
        if self._is_read and seen == self._seen:
            return False
        self._is_read, self._seen = True, seen
        before = self.content, self.error
        try:
            self.content, self.error = read_alert_file(self.path), None
        except ConfigError as error:
            self.error = str(error)
        if self.error != before[1]:
            if self.error is None:
                logger.info("alerts: %s is valid again", self.path)
            else:
                logger.warning("alerts: %s; the rules before it stay in force", self.error)
        return (self.content, self.error) != before

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
