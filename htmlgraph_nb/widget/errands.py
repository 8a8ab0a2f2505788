"""One background thread for what waits for an answer, so that no thread of the display waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger("htmlgraph.errands")
log.addHandler(logging.NullHandler())

MAX_WAITING = 16


class Errands:
    """Runs jobs one after the other in a daemon thread, which ends when there is none left.

    Args:
        name: of the thread.
        limit: most jobs that wait.
    """

    def __init__(self, name: str = "htmlgraph-errands", limit: int = MAX_WAITING) -> None:
        self._name = name
        self._limit = limit
        self._jobs: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, job: Callable[[], object]) -> bool:
        """Run ``job`` soon; False if too many wait already. What it raises is logged."""
        with self._lock:
            if len(self._jobs) >= self._limit:
                return False
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:
                log.exception("an errand failed: %r", job)


errands = Errands()
"""Those of this process."""
