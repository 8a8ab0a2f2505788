"""Brings events from a program to the server, or to the file, without ever holding the program up.

A bounded queue, one daemon thread, one rule: the server if it answers, else the file. What is still
on its way when the program ends goes to the spool file, which the next server takes in. Every event
carries its id, so that what is sent twice, or to both, counts once.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.model import Event
from ..errors import ConnectError, HtmlgraphError, ServerRefused

if TYPE_CHECKING:
    from ..presence import PresenceManager
    from .rest import Rest

logger = logging.getLogger("htmlgraph.sdk")

MAX_QUEUED = 10_000
"""Most events that wait; the oldest are dropped, with a line in the log."""
MAX_BATCH = 500
GATHER_S = 0.01
"""How long an event waits for others, and may still be replaced."""
ANSWER_TIMEOUT_S = 0.8
RETRY_SERVER_S = 3.0
CLOSE_TIMEOUT_S = 1.0
"""Most seconds that the end of the program waits for the last events."""
SPOOL_S = 0.2
"""The part of them that is kept for writing to the spool."""


class QueuedEvent:
    """One event on its way; ``taken``: it can no longer be replaced."""

    __slots__ = ("at", "event", "taken")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.at = time.monotonic()
        self.taken = False


class EventSender:
    """One queue and its thread; the thread starts with the first event.

    Args:
        url, token, db_path: as SDK.
    """

    def __init__(self, url: str | None, token: str | None, db_path: str | None) -> None:
        self._url, self._token, self._db_path = url, token, db_path
        self._fresh()

    def _fresh(self) -> None:
        self._pid = os.getpid()
        self._queue: deque[QueuedEvent] = deque()
        self._in_hand: list[QueuedEvent] = []
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._busy = False
        self._n_dropped = 0
        self._file: PresenceManager | None = None
        self._rest: Rest | None = None
        self._server_again_at = 0.0
        self._said: set[str] = set()

    def post(self, parcel: QueuedEvent | None) -> QueuedEvent | None:
        """Queue an event and return it; None is passed over."""
        if parcel is None:
            return None
        if self._pid != os.getpid():
            # A fork has neither the thread nor a right to the parent's connections and queue.
            self._fresh()
        with self._change:
            if len(self._queue) >= MAX_QUEUED:
                self._queue.popleft()
                self._n_dropped += 1
            self._queue.append(parcel)
            self._closing = False
            if self._thread is None:
                self._start()
            self._change.notify_all()
        return parcel

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="htmlgraph-sdk", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # At the end of the interpreter no thread starts any more.
            self._say("thread", f"events are not delivered: {error}")
            return
        self._thread = thread
        _running.add(self)
        _close_with_worker()

    def replace(self, parcel: QueuedEvent, by: QueuedEvent | None) -> None:
        """Put another event in the place of a queued one, or behind it if that has gone."""
        with self._change:
            if by is not None and not parcel.taken:
                parcel.event = by.event
                return
        self.post(by)

    def flush(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until all is delivered; return whether it is."""
        if self._pid != os.getpid():
            return True
        with self._change:
            return self._change.wait_for(
                lambda: not self._queue and not self._busy, max(0.0, timeout)
            )

    def retire(self) -> None:
        """Let the thread end once all is delivered, without waiting for it."""
        if self._pid == os.getpid():
            with self._change:
                self._closing = True
                self._change.notify_all()

    def close(self, timeout: float) -> None:
        """Deliver what is left, within ``timeout`` seconds, and end the thread."""
        thread = self._thread
        self.retire()
        if self._pid != os.getpid() or thread is None:
            return
        thread.join(max(0.0, timeout - SPOOL_S))
        if not thread.is_alive():
            return
        with self._change:
            left = [*self._in_hand, *self._queue]
            self._queue.clear()
        if left:
            self._to_spool([parcel.event for parcel in left])

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._deliver([parcel.event for parcel in batch])
            except Exception as error:
                # An agent's program must not feel any fault of its monitor.
                fault = f"{type(error).__name__}: {error}"
                self._say("fault", f"{len(batch)} events were not delivered: {fault}")
                logger.debug("not delivered", exc_info=True)
            with self._change:
                self._busy, self._in_hand = False, []
                self._change.notify_all()
        if self._file is not None:
            self._file.close()

    def _take(self) -> list[QueuedEvent]:
        """Wait for events and return up to MAX_BATCH of them; none: the end."""
        with self._change:
            while not self._queue:
                if self._closing:
                    self._thread = None
                    _running.discard(self)
                    return []
                self._change.wait()
            ripe_at = self._queue[0].at + GATHER_S
            while not self._closing and (left := ripe_at - time.monotonic()) > 0:
                self._change.wait(left)
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            for parcel in batch:
                parcel.taken = True
            self._busy, self._in_hand = True, batch
            dropped, self._n_dropped = self._n_dropped, 0
        if dropped:
            logger.warning("%d events were dropped: more than %d waited", dropped, MAX_QUEUED)
        return batch

    def _deliver(self, events: Sequence[Event]) -> None:
        if time.monotonic() >= self._server_again_at and self._to_server(events):
            return
        try:
            self._to_file(events)
        except HtmlgraphError as error:
            self._say("file", f"{len(events)} events are lost: {error}")

    def _to_server(self, events: Sequence[Event]) -> bool:
        from .discovery import candidates
        from .rest import Rest

        if self._rest is None:
            self._rest = Rest(lambda: candidates(self._url, self._token), ANSWER_TIMEOUT_S)
        try:
            self._rest.send_events(events)
        except ServerRefused as error:
            self._say("refused", f"the server refused events, they go to the file: {error}")
        except (ConnectError, HtmlgraphError) as error:
            logger.debug("no server: %s", error)
        else:
            return True
        self._server_again_at = time.monotonic() + RETRY_SERVER_S
        return False

    def _to_file(self, events: Sequence[Event]) -> None:
        from ..presence import PresenceManager

        if self._file is None:
            self._file = PresenceManager(self._db_path)
        self._file.ingest(events)

    def _to_spool(self, events: Sequence[Event]) -> None:
        from ..hook.command import spool
        from ..ingest.spool import spool_line
        from ..paths import spool_path

        try:
            # The spool belongs to the default file.
            kept = self._db_path is None and spool(
                b"\n".join(spool_line(event) for event in events), spool_path()
            )
        except OSError as error:
            self._say("left", f"{len(events)} events are lost: {error}")
        else:
            if not kept:
                self._say("left", f"{len(events)} events were not delivered in time")

    def _say(self, topic: str, text: str) -> None:
        if topic not in self._said:
            self._said.add(topic)
            logger.warning("%s", text)


# Couriers whose thread runs; the end of the program waits for them.
_running: set[EventSender] = set()


@atexit.register
def _close_all() -> None:
    end = time.monotonic() + CLOSE_TIMEOUT_S
    for courier in list(_running):
        courier.close(max(0.0, end - time.monotonic()))


def _close_with_worker() -> None:
    """Let the end of a worker process of ``multiprocessing``, which skips atexit, wait, too."""
    global _worker_pid
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or _worker_pid == os.getpid():
        return
    if process.parent_process() is not None:
        _worker_pid = os.getpid()
        util.Finalize(None, _close_all, exitpriority=0)


_worker_pid = 0
