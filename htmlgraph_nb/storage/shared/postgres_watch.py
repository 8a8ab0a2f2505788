"""Watches a shared database: what others committed, and whether the own session hangs."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

import psycopg

from ...errors import StoreError
from ..postgres.location import schema_of
from ..postgres.sessions import PostgresSession

logger = logging.getLogger(__name__)

HUNG_S = 6.0
"""Time after which a statement is given up: PostgreSQL ends each before, if it runs at all."""
_STEP_S = 0.5


def channel_of(location: str) -> str:
    """Return the channel of notifications of a store."""
    return f"htmlgraph_{schema_of(location)}"[:63]


class PostgresWatch:
    """A thread that takes notifications and cuts the connection of a session that hangs.

    Args:
        session: the session that writes.

    Attributes:
        version: newest version of the stream that another commit has notified.
    """

    def __init__(self, session: PostgresSession) -> None:
        self._session = session
        self._listens = False
        self._stopping = threading.Event()
        self._listener: PostgresSession | None = None
        self.version = -1
        self._thread = threading.Thread(target=self._run, name="htmlgraph-watch", daemon=True)
        self._thread.start()

    def listen(self) -> None:
        """Take notifications from now on."""
        self._listens = True

    @property
    def is_listening(self) -> bool:
        """Whether notifications arrive."""
        return self._listener is not None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._check_hung()
            if self._listens:
                try:
                    self._take()
                    continue
                except (StoreError, psycopg.Error) as error:
                    logger.debug("no notifications: %s", error)
                    self._drop_listener()
            self._stopping.wait(_STEP_S)
        self._drop_listener()

    def _check_hung(self) -> None:
        since = self._session.busy_since
        if since is not None and time.monotonic() - since > HUNG_S:
            logger.warning("%s does not answer; the connection is cut", self._session.location)
            self._session.interrupt()

    def _take(self) -> None:
        if self._listener is None:
            session = PostgresSession(self._session.location, {})
            session.run(f'LISTEN "{channel_of(session.location)}"')
            self._listener = session
        for notice in self._listener.raw.notifies(timeout=_STEP_S, stop_after=1):
            with suppress(ValueError):
                self.version = max(self.version, int(notice.payload))

    def _drop_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def close(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.interrupt()
        self._thread.join()
