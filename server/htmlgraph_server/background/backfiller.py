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
from htmlgraph_nb.ingest.session_scanner import default_roots

from .backfill_lines import done_line, found_line, kept_lines
from .sealer import NICENESS, end_process

logger = logging.getLogger(__name__)

_RETRY_S = 60.0
_MAX_RETRY_S = 3_600.0
_PRIVATE = ("sessions_read", "first")
_COMMAND = (sys.executable or "python", "-m", "htmlgraph_nb.ingest.backfill_process")


class Backfiller:
    """Starts ``htmlgraph_nb.ingest.backfill_process`` and keeps its last report.

    After a failure it waits a minute. Each further failure doubles the delay, up to one hour.

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
        self._options = options
        self._command = command
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._report = None if options else _public(BackfillReport(state="off").to_dict())
        self._done = options is None
        self._retry_s = _RETRY_S
        self._not_before = clock()
        self.on_report: Callable[[], object] = lambda: None
        self.on_line: Callable[[str], object] = logger.info

    def check(self) -> None:
        """Start the process if it has not succeeded yet; called periodically.

        Raises:
            OSError: the process cannot be started.
        """
        if self._options is None or self._is_running():
            return
        if self._done or self._clock() < self._not_before:
            return
        if not any(os.path.isdir(root.path) for root in default_roots()):
            # No agent has run here; those that run later are followed.
            self._done = True
            return
        options = self._options.to_json()
        self._process = subprocess.Popen(  # noqa: S603 - this project's own module
            [*self._command, "--nice", str(NICENESS), options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name="htmlgraph-backfill", daemon=True
        )
        self._reader.start()

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

    def _is_running(self) -> bool:
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self._close_pipe()
        if status:
            logger.warning(
                "importing past sessions failed with status %d; next attempt in %.0f minutes",
                status,
                self._retry_s / 60,
            )
            self._not_before = self._clock() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)
        else:
            self._done = True
        return False

    def status(self) -> dict[str, Any] | None:
        """Return the last report for dashboards; None: nothing was found or imported here."""
        return self._report

    def progress(self) -> dict[str, Any] | None:
        """Return the last report; None also if nothing is to be imported."""
        return None if self._options is None else self._report

    def close(self) -> None:
        """Terminate the process if one is running; the next one repeats its unfinished work."""
        self._done = True
        if self._process is not None:
            end_process(self._process)
            self._close_pipe()

    def _close_pipe(self) -> None:
        process, self._process = self._process, None
        if self._reader is not None:
            self._reader.join()
        if process is not None and process.stdout is not None:
            process.stdout.close()


def _public(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a report that dashboards get."""
    return {name: value for name, value in report.items() if name not in _PRIVATE}
