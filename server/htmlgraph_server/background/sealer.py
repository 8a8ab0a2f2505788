"""Sealing of history in the background: a child process of the lowest priority, now and then.

A process and not a thread: it compresses for a while, and that must not hold this one's
interpreter. It loads the libraries for it, too, and gives their memory back at its end.
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

logger = logging.getLogger("htmlgraph.sealing")

NICENESS = 19
_AGAIN_S = 600.0
_LONGEST_S = 86_400.0


class Sealer:
    """Starts ``htmlgraph_nb.storage.columnar.sealing`` when the database has rows to seal.

    Args:
        path: the database file.
        command: what is run; its last argument is the path.
        clock: monotonic seconds.

    A process that fails is started again after ten minutes, then after twice that, up to a day.
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
        self._pause_s = _AGAIN_S
        self._not_before = clock()

    def check(self) -> None:
        """Start a process if there is work and none runs; called again and again.

        Raises:
            StoreUnavailable, StoreDamaged: the file cannot be read.
            OSError: no process can be started.
        """
        if self._runs() or self._clock() < self._not_before:
            return
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            work = needs_sealing(self._path, db)
        if work:
            self._process = subprocess.Popen(  # noqa: S603 - this project's own module
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def _runs(self) -> bool:
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self._process = None
        if status:
            logger.warning(
                "sealing of %s ended with status %d; the next try is in %.0f minutes",
                self._path,
                status,
                self._pause_s / 60,
            )
            self._not_before = self._clock() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_S)
        else:
            self._pause_s = _AGAIN_S
        return False

    def close(self) -> None:
        """End the process, if one runs; what it had begun is begun anew by the next."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
