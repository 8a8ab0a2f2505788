"""Moving the log into the database file beside the writer, so that no commit waits for the disk.

SQLite lets the commit that makes the log too long do it (``CHECKPOINT_PAGES``), and with it all
events that wait behind that commit. A passive checkpoint of another connection holds up nobody
(https://sqlite.org/c3ref/wal_checkpoint_v2.html).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

from ..errors import StoreUnavailable
from .database import sqlite_errors

BEGUN_EVENTS = 500
"""New events from which on a checkpoint is worth its two waits for the disk."""


class Checkpointer:
    """Makes a checkpoint where there is something to move.

    Args:
        path: an open database file.
        seq: returns the number of its newest event.
        synchronous: SQLite's setting, that of the writer.
    """

    def __init__(self, path: str, seq: Callable[[], int], synchronous: str = "NORMAL") -> None:
        self._path = path
        self._seq = seq
        self._synchronous = synchronous
        self._moved = seq()

    def check(self) -> bool:
        """Move what is in the log, if that is worth it, and return whether it was.

        Raises:
            StoreUnavailable, StoreDamaged: the file is gone, or cannot be written.
        """
        seq = self._seq()
        if seq - self._moved < BEGUN_EVENTS:
            return False
        if not os.path.exists(self._path):
            # To open it would make an empty one in its place.
            raise StoreUnavailable(f"{self._path} is gone; what is written now is lost with it")
        with (
            sqlite_errors(self._path),
            closing(sqlite3.connect(self._path, isolation_level=None)) as db,
        ):
            db.execute(f"PRAGMA synchronous = {self._synchronous.upper()}")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._moved = seq
        return True
