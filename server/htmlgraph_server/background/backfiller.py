"""Imports past sessions in a child process, once after the start of a server.

It is a process and not a thread because reading session files would block the server's interpreter.
The process writes to the database itself; the ``sync`` task publishes what it stored.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.ingest.backfill_process import BackfillOptions
from htmlgraph_nb.ingest.backfill_report import BackfillReport
from htmlgraph_nb.ingest.databases.found_databases import find_databases
from htmlgraph_nb.ingest.files.session_roots import default_roots
from htmlgraph_nb.storage.postgres.location import child_environ

from .backfill_lines import done_line, found_line, kept_lines
from .child_process import NICENESS, ChildProcess

logger = logging.getLogger(__name__)

_RETRY_S = 60.0
_MAX_RETRY_S = 3_600.0
_PRIVATE = ("sessions_read", "first")
_COMMAND = (sys.executable or "python", "-m", "htmlgraph_nb.ingest.backfill_process")


class Backfiller(ChildProcess):
    """Starts ``htmlgraph_nb.ingest.backfill_process`` and keeps its last report.

    After a failure it waits a minute. Each further failure doubles the delay, up to one hour. After
    a success it starts no other process.

    Args:
        options: what to import; None: nothing.
        command: the command to run; ``--nice`` and the options are appended.
        clock: returns monotonic seconds.

    Attributes:
        on_report: called after each report, in another thread.
        on_line: called with each line for the terminal, in that thread; the default logs it.
    """

    def __init__(
        self,
        options: BackfillOptions | None,
        command: Sequence[str] = _COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if options is not None:
            command = [*command, "--nice", str(NICENESS), options.to_json()]
        super().__init__("importing past sessions", command, _RETRY_S, _MAX_RETRY_S, clock)
        self._options = options
        if options is not None:
            self._environ = child_environ(options.db)
        self._reader: threading.Thread | None = None
        self._report = None if options else _public(BackfillReport(state="off").to_dict())
        self._done = options is None
        self.on_report: Callable[[], object] = lambda: None
        self.on_line: Callable[[str], object] = logger.info

    def _has_work(self) -> bool:
        if not self._done and self._options is not None:
            roots = default_roots(self._options.session_folder)
            # Without them no agent has run here; those that run later are followed.
            is_used = any(os.path.isdir(root.path) for root in roots)
            self._done = not (is_used or find_databases(self._options.session_folder))
        return not self._done

    def _start(self, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        process = super()._start(stdout)
        self._reader = threading.Thread(
            target=self._read, args=(process,), name="htmlgraph-backfill", daemon=True
        )
        self._reader.start()
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        is_first = True
        for text in process.stdout or ():
            try:
                report = json.loads(text)
                self._report = _public(report)
            except (ValueError, AttributeError):
                # Python's startup files can print, too.
                logger.warning(
                    "the import of past sessions printed %s", shorten(text.decode(errors="replace"))
                )
                continue
            self.on_report()
            lines = [found_line(report)] if is_first else []
            is_first = False
            if report["state"] == "done":
                lines += [done_line(report)]
                lines += kept_lines(report) if report["first"] and report["events"] else []
            for line in lines:
                self.on_line(line)

    def status(self) -> dict[str, Any] | None:
        """Return the last report for dashboards; None: nothing was found or imported here."""
        return self._report

    def progress(self) -> dict[str, Any] | None:
        """Return the last report; None also if nothing is to be imported."""
        return None if self._options is None else self._report

    def close(self) -> None:
        """Terminate the process if one is running; the next one repeats its unfinished work."""
        self._done = True
        super().close()

    def _on_end(self, process: subprocess.Popen[bytes]) -> None:
        self._done = self._done or process.returncode == 0
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()


def _public(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a report that dashboards get."""
    return {name: value for name, value in report.items() if name not in _PRIVATE}
