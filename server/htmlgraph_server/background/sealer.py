"""Seals history in a child process of the lowest priority.

It is a process and not a thread because compression would block the server's interpreter, and
because the memory of the libraries it loads is freed when it ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from htmlgraph_nb.storage.columnar.segment_index import needs_sealing
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from .child_process import NICENESS, ChildProcess

_RETRY_S = 600.0
_MAX_RETRY_S = 86_400.0


class Sealer(ChildProcess):
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
        command = [*command, "--nice", str(NICENESS), path]
        super().__init__(f"sealing {path}", command, _RETRY_S, _MAX_RETRY_S, clock)
        self._path = path

    def _has_work(self) -> bool:
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            return needs_sealing(self._path, db)
