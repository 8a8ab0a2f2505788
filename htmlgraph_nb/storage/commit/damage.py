"""Notice that the file of an open store is damaged, also if only readers find it.

A writer touches few pages, so it goes on after most of the file cannot be read any more. A reader's
error alone does not stop it, because it may be an error of that read: SQLite checks the whole file
first, in a thread of its own.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

logger = logging.getLogger(__name__)

SOUND_S = 60.0
"""Least time between two checks that find no damage."""


class DamageMonitor:
    """The files of the open stores of this process, and which of them are damaged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # File → for each open store the function that returns why the file is not its own.
        self._stores: dict[str, list[Callable[[], str | None]]] = {}
        self._checks: dict[str, _Check] = {}
        self._damaged: dict[str, str] = {}
        self._next_check: dict[str, float] = {}

    def opened(self, path: str, problem: Callable[[], str | None]) -> None:
        """A store opened this file.

        Args:
            problem: returns why the file is not that of the store any more; None: it is.
        """
        with self._lock:
            self._stores.setdefault(path, []).append(problem)

    def closed(self, path: str, problem: Callable[[], str | None]) -> None:
        """A store is about to close this file; with its last store it is forgotten.

        A check that is running ends first: SQLite removes the log with the last connection.

        Args:
            problem: as in ``opened``.
        """
        with self._lock:
            stores = self._stores[path]
            stores.remove(problem)
            check = None
            if not stores:
                self._stores.pop(path, None)
                self._damaged.pop(path, None)
                self._next_check.pop(path, None)
                check = self._checks.pop(path, None)
        if check is not None:
            check.stop()

    def problem(self, path: str) -> str | None:
        """Return what is damaged, and what to do; None: nothing that is known."""
        return self._damaged.get(path)

    def suspect(self, path: str) -> None:
        """Check a file that could not be read, in another thread, if a store has it open."""
        path, now = os.path.abspath(path), time.monotonic()
        with self._lock:
            due = now >= self._next_check.get(path, 0.0)
            if path not in self._stores or path in self._damaged or not due:
                return
            # Also while the check runs, so that there is one at a time.
            self._next_check[path] = now + 10 * SOUND_S
            check = self._checks[path] = _Check(path, self._checked)
            check.start()

    def _checked(self, path: str, fault: str | None) -> None:
        with self._lock:
            self._checks.pop(path, None)
            if path not in self._stores:
                return
            self._next_check[path] = time.monotonic() + SOUND_S
            # What was put in its place, or written over it, is not for this store to judge.
            if fault is None or any(problem() for problem in self._stores[path]):
                return
            self._damaged[path] = (
                f"{path} is damaged ({fault}); no more events are stored: stop this program, then "
                "restore a backup with 'htmlgraph-nb restore', or move the file away"
            )
        logger.warning("%s", self._damaged[path])


class _Check(threading.Thread):
    """The check of one file."""

    def __init__(self, path: str, done: Callable[[str, str | None], None]) -> None:
        super().__init__(name="htmlgraph-damage", daemon=True)
        self._path = path
        self._done = done
        self._is_stopped = False

    def run(self) -> None:
        self._done(self._path, find_damage(self._path, lambda: self._is_stopped))

    def stop(self) -> None:
        """End the check."""
        self._is_stopped = True
        if self is not threading.current_thread():
            self.join()


_STEPS = 10_000
"""Instructions of SQLite between two looks whether a check is stopped."""


def find_damage(path: str, is_stopped: Callable[[], bool] = lambda: False) -> str | None:
    """Return what SQLite finds to be damaged in a file; None: nothing, or it cannot be checked.

    Args:
        is_stopped: returns whether to end the check.
    """
    # Read-only: the end of another connection would write the log into the file.
    uri = f"file:{quote(path)}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            db.set_progress_handler(is_stopped, _STEPS)
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        logger.info("cannot check %s: %s", path, error)
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    # The first line only names the database.
    return None if found == "ok" else str(found).strip().rpartition("\n")[2]


damage_monitor = DamageMonitor()
"""The monitor of this process."""
