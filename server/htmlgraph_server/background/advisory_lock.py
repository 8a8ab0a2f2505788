"""Leader election between servers on several machines: an advisory lock of their PostgreSQL.

The session of the leader holds the lock. PostgreSQL releases it when the connection ends, and when
the leader has not used it for some seconds, as one that hangs.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from htmlgraph_nb.errors import StoreError
from htmlgraph_nb.storage.postgres.location import is_postgres, schema_of

from .leader_lock import LeaderLock

if TYPE_CHECKING:
    from htmlgraph_nb.storage.postgres.sessions import PostgresSession

_CHECK_S = 1.0
"""Interval at which the lock is taken or confirmed; between, the last answer counts."""
_TRY = "SELECT pg_try_advisory_lock(hashtext(?), hashtext(?))"


class AdvisoryLock(LeaderLock):
    """The lock of one schema; see LeaderLock.

    Args:
        db: address of the database.
    """

    def __init__(self, db: str) -> None:
        # Not LeaderLock's: a forked child must not touch the connection that it shares.
        self._location = db
        self._session_mutex = threading.Lock()
        self._session: PostgresSession | None = None
        self._leads = False
        self._next_check = 0.0

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether this server is the leader.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with self._session_mutex:
            now = time.monotonic()
            if now < self._next_check:
                return self._leads
            self._next_check = now + _CHECK_S
            try:
                self._leads = self._ask()
            except StoreError:
                self._leads = False
                self._drop()
                raise
            return self._leads

    def _ask(self) -> bool:
        # psycopg is an extra.
        from htmlgraph_nb.storage.postgres.sessions import LEADER, PostgresSession

        if self._session is None:
            self._session = PostgresSession(self._location, LEADER)
        elif self._leads:
            # Fails if PostgreSQL has ended the session.
            self._session.run("SELECT 1")
            return True
        keys = ("htmlgraph-leader", schema_of(self._location))
        return bool(self._session.execute(_TRY, keys).fetchone()[0])

    @property
    def is_leader(self) -> bool:
        """Whether the last ``acquire`` succeeded."""
        return self._leads

    def leader_pid(self) -> int | None:
        """Return the process id of this server if it is the leader; None: another one is."""
        return os.getpid() if self._leads else None

    def release(self) -> None:
        """Release the lock; without effect if it is not held."""
        with self._session_mutex:
            self._leads = False
            self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


def make_leader_lock(db: str) -> LeaderLock:
    """Return the lock of a file or an address."""
    return AdvisoryLock(db) if is_postgres(db) else LeaderLock(db)
