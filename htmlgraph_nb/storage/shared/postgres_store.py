"""A PostgreSQL database that several servers on several machines share.

Each transaction locks the row ``stream``: it makes one order of all events, without gaps, and holds
the version, which each commit increases. A server that finds another version than its own first
reads what others committed, as with SQLite. A notification with the version follows each commit.

If the connection is lost during a commit, it is unknown whether it is done. The next transaction
then reads it as if another server had written it; a repetition has the same event ids.
"""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from ...core.timestamps import from_micros
from ...errors import HtmlgraphError, StoreDamaged, StoreUnavailable
from ..commit.string_ids import StringIds
from ..commit.write_queue import TransactionListener, WriteQueue, WriteRequest
from ..database import sqlite_errors
from ..dedup_table import TokenSourceCache
from ..postgres.location import without_password
from ..postgres.sessions import WRITER, PostgresSession
from ..transaction import Transaction
from .database_clock import DatabaseClock
from .postgres_schema import create_tables
from .postgres_transaction import PostgresTransaction
from .postgres_watch import PostgresWatch, channel_of

logger = logging.getLogger(__name__)

QUIET_POLL_S = 1.0
"""Interval at which ``sync_notified`` asks the database itself."""
_READ = "; SELECT version, seq FROM stream"
_CLOCK = "; SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8"
_BEGIN_WRITE = f"BEGIN{_READ} FOR UPDATE{_CLOCK}"
_BEGIN_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY{_READ}{_CLOCK}"
_TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


class PostgresStore(WriteQueue[Transaction]):
    """The tables of one schema, opened for writing.

    Args:
        location: the address.
        listener: called in every transaction.
        clock: set to the time of each transaction.

    Raises:
        StoreUnavailable: the database cannot be reached or written.
        StoreTooNew: a newer version needs newer programs.

    Attributes:
        epoch: id of the database and its timeline: after a failover to a copy that lacks the last
            commits, seqs are of another history.
        seq: seq of the newest event that this process has seen.
    """

    def __init__(
        self, location: str, listener: TransactionListener[Transaction], clock: DatabaseClock
    ) -> None:
        location = without_password(location)
        super().__init__(location, sqlite_errors(location))
        self._listener = listener
        self._clock = clock
        self._channel = channel_of(location)
        # None: the next transaction loads what others wrote.
        self._seen_version: int | None = None
        self._problem: str | None = None
        self._next_poll = 0.0
        self._is_other_history = False
        self._string_ids = StringIds()
        self._token_sources = TokenSourceCache()
        self._session = PostgresSession(location, WRITER)
        try:
            create_tables(self._session)
            self.epoch = self._read_epoch()
            self.seq = int(self._session.execute("SELECT seq FROM stream").fetchone()[0])
            self._watch = PostgresWatch(self._session)
        except BaseException:
            self._session.close()
            raise

    def _read_epoch(self) -> str:
        execute = self._session.execute
        row = execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        if row is None:
            raise StoreDamaged(f"{self.path} lacks its epoch")
        try:
            timeline = execute(_TIMELINE).fetchone()[0]
        except HtmlgraphError as error:
            # Some services refuse it. Then a failover that loses commits goes unnoticed.
            logger.warning("%s does not tell its timeline: %s", self.path, error)
            timeline = 0
        return f"{row[0]}t{timeline}"

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored at present, as the last transaction saw it; None: it can."""
        return self._problem

    def sync_external(self) -> bool:
        """Load what other servers committed, and return whether there was anything."""
        self._check_open()
        with self._lock, self._errors:
            if self._closed:
                return False
            self._next_poll = time.monotonic() + QUIET_POLL_S
            return self._transact([], read_only=True)

    def sync_notified(self) -> bool:
        """As ``sync_external``, but ask the database only if notified, or after QUIET_POLL_S."""
        self._watch.listen()
        if not self._is_behind() and time.monotonic() < self._next_poll:
            return False
        return self.sync_external()

    def _is_behind(self) -> bool:
        return self._seen_version is None or self._watch.version > self._seen_version

    def _transact(
        self, group: list[WriteRequest[Transaction, Any]], read_only: bool = False
    ) -> bool:
        """Run the jobs; return whether other servers had committed."""
        try:
            if self._session.connect():
                self._reconnected()
            if not read_only and self._is_behind():
                # Without the lock, so that others need not wait for it.
                self._execute([], _BEGIN_READ)
            external = self._execute(group, _BEGIN_READ if read_only else _BEGIN_WRITE)
        except StoreUnavailable as error:
            self._set_problem(str(error))
            raise
        if self._problem is not None:
            logger.warning("%s is back; events are stored again", self.path)
            self._set_problem(None)
        return external

    def _set_problem(self, problem: str | None) -> None:
        changed = (self._problem is None) != (problem is None)
        self._problem = problem
        if changed:
            self.on_problem()

    def _reconnected(self) -> None:
        self._seen_version = None
        self._string_ids.clear()
        self._token_sources.clear()
        epoch = self._read_epoch()
        if epoch != self.epoch:
            logger.warning("%s continues after a failover; all states are read again", self.path)
            self.epoch, self._is_other_history = epoch, True
            self.seq = int(self._session.execute("SELECT seq FROM stream").fetchone()[0])

    def _execute(self, group: list[WriteRequest[Transaction, Any]], begin: str) -> bool:
        session, listener, before = self._session, self._listener, self.seq
        session.n_writes = 0
        try:
            version, seq = self._begin(begin)
            external = version != self._seen_version
            if external:
                self._token_sources.clear()
            db = cast("Any", session)
            tx = PostgresTransaction(db, self._string_ids, self._token_sources, seq, before)
            tx.is_other_history = self._is_other_history
            listener.begin(tx, external)
            for request in group:
                request.run(tx)
            listener.flush(tx)
            tx.flush()
            if session.n_writes:
                version += 1
                session.run(
                    f"UPDATE stream SET version = {version:d}, seq = {tx.seq:d}; "
                    f"NOTIFY \"{self._channel}\", '{version:d}'; COMMIT"
                )
            else:
                session.run("COMMIT")
            self._seen_version, self.seq = version, tx.seq
            self._is_other_history = False
            listener.committed(tx)
        except BaseException:
            # The commit may be done. The next transaction then loads the rows after ``before`` as
            # if another server had written them.
            self._seen_version, self.seq = None, before
            self._string_ids.clear()
            listener.rolled_back()
            self._roll_back()
            raise
        return external

    def _begin(self, text: str) -> tuple[int, int]:
        cursor: Any = self._session.run(text)
        cursor.nextset()
        row = cursor.fetchone()
        if row is None:
            raise StoreDamaged(f"{self.path} lacks the row of its table stream")
        cursor.nextset()
        self._clock.set(from_micros(cursor.fetchone()[0]))
        return int(row[0]), int(row[1])

    def _roll_back(self) -> None:
        try:
            if self._session.in_transaction:
                self._session.run("ROLLBACK")
        except HtmlgraphError:
            # PostgreSQL rolls back what a lost connection began.
            self._session.disconnect()

    def _close(self) -> None:
        self._watch.close()
        self._session.close()
