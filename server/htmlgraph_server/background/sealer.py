"""Seals history in a child process of the lowest priority.

It is a process and not a thread because compression would block the server's interpreter, and
because the memory of the libraries it loads is freed when it ends.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from htmlgraph_nb.storage.columnar.segment_index import needs_sealing
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

logger = logging.getLogger(__name__)

NICENESS = 19
_RETRY_S = 600.0
_MAX_RETRY_S = 86_400.0
_END_S = 3.0


class Sealer:
    """Starts ``htmlgraph_nb.storage.columnar.sealing`` when the database has rows to seal.

    After a failure it waits ten minutes. Each further failure doubles the delay, up to one day.

    Args:
        path: the database file.
        command: the command to run; ``--nice`` and the path are appended.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        path: str,
        command: Sequence[str] = (sys.executable, "-m", "htmlgraph_nb.storage.columnar.sealing"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._command = [*command, "--nice", str(NICENESS), path]
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._retry_s = _RETRY_S
        self._not_before = clock()

    def check(self) -> None:
        """Start a process if there is work and none is running; called periodically.

        Raises:
            StoreUnavailable, StoreDamaged: the file cannot be read.
            OSError: the process cannot be started.
        """
        if self._is_running() or self._clock() < self._not_before:
            return
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            work = needs_sealing(self._path, db)
        if work:
            self._process = subprocess.Popen(  # noqa: S603 - this project's own module
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def _is_running(self) -> bool:
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self._process = None
        if status:
            logger.warning(
                "sealing %s failed with status %d; next attempt in %.0f minutes",
                self._path,
                status,
                self._retry_s / 60,
            )
            self._not_before = self._clock() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)
        else:
            self._retry_s = _RETRY_S
        return False

    def close(self) -> None:
        """Terminate the process if one is running; the next one repeats its unfinished work."""
        if self._process is not None:
            end_process(self._process)
            self._process = None


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate a child process and wait for its end; kill it if it does not end soon.

    A process that is stopped (Ctrl-Z) or waits for a disk does not notice that it is terminated.
    """
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            logger.warning("the child process %d does not end", process.pid)
