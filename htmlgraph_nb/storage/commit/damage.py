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
from collections import Counter
from contextlib import closing

logger = logging.getLogger(__name__)

SOUND_S = 60.0
"""Least time between two checks that find no damage."""


class DamageMonitor:
    """The files of the open stores of this process, and which of them are damaged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: Counter[str] = Counter()
        self._damaged: dict[str, str] = {}
        self._next_check: dict[str, float] = {}

    def opened(self, path: str) -> None:
        """A store opened this file."""
        with self._lock:
            self._stores[path] += 1

    def closed(self, path: str) -> None:
        """A store closed this file; with its last store it is forgotten."""
        with self._lock:
            self._stores[path] -= 1
            if self._stores[path] <= 0:
                del self._stores[path]
                self._damaged.pop(path, None)
                self._next_check.pop(path, None)

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
        threading.Thread(
            target=self._check, args=(path,), name="htmlgraph-damage", daemon=True
        ).start()

    def _check(self, path: str) -> None:
        fault = find_damage(path)
        with self._lock:
            self._next_check[path] = time.monotonic() + SOUND_S
            if fault is None or path not in self._stores:
                return
            self._damaged[path] = (
                f"{path} is damaged ({fault}); no more events are stored: stop this program, then "
                "restore a backup with 'htmlgraph-nb restore', or move the file away"
            )
        logger.warning("%s", self._damaged[path])


def find_damage(path: str) -> str | None:
    """Return what SQLite finds to be damaged in a file; None: nothing, or it cannot be checked."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA query_only = ON")
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
