"""Work of the server in a child process, repeated after a failure."""

from __future__ import annotations

import logging
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

NICENESS = 19
_END_S = 3.0


class ChildProcess(ABC):
    """Starts a process while there is work, one at a time.

    Each failure after the first doubles the delay until the next attempt.

    Args:
        task: what the process does, for the log.
        command: the command to run.
        retry_s: delay in seconds after the first failure.
        max_retry_s: longest delay in seconds.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        task: str,
        command: Sequence[str],
        retry_s: float,
        max_retry_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._task = task
        self._environ: dict[str, str] | None = None
        self._command = command
        self._first_retry_s = self._retry_s = retry_s
        self._max_retry_s = max_retry_s
        self._clock = clock
        self._not_before = clock()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _has_work(self) -> bool:
        """Return whether to start a process."""

    def _start(self, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start the process."""
        return subprocess.Popen(  # noqa: S603 - this project's own module
            self._command, stdin=subprocess.DEVNULL, stdout=stdout, env=self._environ
        )

    def _on_end(self, process: subprocess.Popen[bytes]) -> None:  # noqa: B027 - optional
        """Clean up after a process that has ended."""

    def check(self) -> None:
        """Start a process if there is work and none is running; called periodically.

        Raises:
            StoreUnavailable, StoreDamaged: the database cannot be read.
            OSError: the process cannot be started.
        """
        if not self._is_running() and self._clock() >= self._not_before and self._has_work():
            self._process = self._start()

    def _is_running(self) -> bool:
        process = self._process
        if process is None:
            return False
        status = process.poll()
        if status is None:
            return True
        self._process = None
        self._on_end(process)
        if status:
            logger.warning(
                "%s failed with status %d; next attempt in %.0f minutes",
                self._task,
                status,
                self._retry_s / 60,
            )
            self._not_before = self._clock() + self._retry_s
            self._retry_s = min(2 * self._retry_s, self._max_retry_s)
        else:
            self._retry_s = self._first_retry_s
        return False

    def close(self) -> None:
        """Terminate the process if one is running; the next one repeats its unfinished work."""
        process, self._process = self._process, None
        if process is not None:
            _end_process(process)
            self._on_end(process)


def _end_process(process: subprocess.Popen[bytes]) -> None:
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
