"""Checkpoints of SQLite's write-ahead log in the background, so that no commit waits for the disk.

By default SQLite checkpoints in the commit that makes the log too long (``CHECKPOINT_PAGES``), and
every event queued behind that commit waits too. A passive checkpoint on another connection blocks
no writer (https://sqlite.org/c3ref/wal_checkpoint_v2.html).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

from ..errors import StoreUnavailable
from .database import sqlite_errors
from .file_guard import check_guarded

MIN_CHECKPOINT_EVENTS = 500
"""New events that make a checkpoint worth its two waits for the disk."""


class Checkpointer:
    """Run a checkpoint once enough events were added.

    Args:
        path: an open database file.
        seq: returns the number of its newest event.
        synchronous: SQLite's setting, as the writer uses it.
    """

    def __init__(self, path: str, seq: Callable[[], int], synchronous: str = "NORMAL") -> None:
        self._path = path
        self._seq = seq
        self._synchronous = synchronous
        self._checkpointed_seq = seq()

    def check(self) -> bool:
        """Checkpoint if enough events were added, and return whether it did.

        Raises:
            StoreUnavailable: the file is missing or cannot be written.
            StoreDamaged: the file is not a valid database.
        """
        seq = self._seq()
        if seq - self._checkpointed_seq < MIN_CHECKPOINT_EVENTS:
            return False
        check_guarded(self._path)
        if not os.path.exists(self._path):
            # Connecting would create an empty file.
            raise StoreUnavailable(f"{self._path} was deleted; events written since are lost")
        with (
            sqlite_errors(self._path),
            closing(sqlite3.connect(self._path, isolation_level=None)) as db,
        ):
            db.execute(f"PRAGMA synchronous = {self._synchronous.upper()}")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._checkpointed_seq = seq
        return True
