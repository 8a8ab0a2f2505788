"""Sends events of a program to the server or the database file without blocking the program.

A bounded queue and one daemon thread deliver them. Events go to the server if it responds,
otherwise to the file. Events still pending when the program exits go to the spool file, which the
next server reads. Every event has an id, so events that are sent twice, or to both, count once.
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
    from .discovery import Candidate
    from .rest import Rest

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
"""Maximum delay of the program's exit, in seconds, for the last events."""
_MAX_QUEUED = 10_000
"""When the queue is full, the oldest events are dropped and a warning is logged."""
_MAX_BATCH = 500
_GATHER_S = 0.01
"""Seconds that an event waits for others. Meanwhile it can be replaced."""
_RESPONSE_TIMEOUT_S = 0.8
_RETRY_SERVER_S = 3.0
_SPOOL_S = 0.2
"""The part of the close timeout that is reserved for writing the spool file."""


class QueuedEvent:
    """An event in the queue; once ``taken`` by the thread it can no longer be replaced."""

    __slots__ = ("event", "queued_at", "taken")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.queued_at = time.monotonic()
        self.taken = False


class EventSender:
    """A queue and its thread, which starts with the first event.

    Args:
        url, token, db_path: as for SDK.
    """

    def __init__(self, url: str | None, token: str | None, db_path: str | None) -> None:
        self._url, self._token, self._db_path = url, token, db_path
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._queue: deque[QueuedEvent] = deque()
        self._in_delivery: list[QueuedEvent] = []
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._busy = False
        self._n_dropped = 0
        self._manager: PresenceManager | None = None
        self._rest: Rest | None = None
        self._retry_server_at = 0.0
        self._logged: set[str] = set()

    @property
    def n_pending(self) -> int:
        """Number of events that are not delivered yet."""
        return 0 if self._pid != os.getpid() else len(self._queue) + len(self._in_delivery)

    def enqueue(self, queued: QueuedEvent | None) -> QueuedEvent | None:
        """Queue an event and return it; ignore None."""
        if queued is None:
            return None
        if self._pid != os.getpid():
            # A forked child has no thread and must not use the parent's connection and queue.
            self._reset()
        with self._change:
            if len(self._queue) >= _MAX_QUEUED:
                self._queue.popleft()
                self._n_dropped += 1
            self._queue.append(queued)
            self._closing = False
            if self._thread is None:
                self._start()
            self._change.notify_all()
        return queued

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="htmlgraph-sdk", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # During interpreter shutdown no thread can be started.
            self._warn_once("thread", f"events are not delivered: {error}")
            return
        self._thread = thread
        _running.add(self)
        _register_worker_exit()

    def replace(self, queued: QueuedEvent, new: QueuedEvent | None) -> None:
        """Replace a queued event; if the thread has taken it already, queue ``new`` as well."""
        with self._change:
            if new is not None and not queued.taken:
                queued.event = new.event
                return
        self.enqueue(new)

    def flush(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; return whether all events were delivered."""
        if self._pid != os.getpid():
            return True
        with self._change:
            return self._change.wait_for(
                lambda: not self._queue and not self._busy, max(0.0, timeout)
            )

    def close_when_empty(self) -> None:
        """Let the thread end when the queue is empty, without waiting for it."""
        if self._pid == os.getpid():
            with self._change:
                self._closing = True
                self._change.notify_all()

    def close(self, timeout: float) -> None:
        """Deliver the remaining events within ``timeout`` seconds and end the thread."""
        thread = self._thread
        self.close_when_empty()
        if self._pid != os.getpid() or thread is None:
            return
        thread.join(max(0.0, timeout - _SPOOL_S))
        if not thread.is_alive():
            return
        with self._change:
            remaining = [*self._in_delivery, *self._queue]
            self._queue.clear()
        if remaining:
            self._write_to_spool([queued.event for queued in remaining])

    def _run(self) -> None:
        while batch := self._take_batch():
            try:
                self._deliver([queued.event for queued in batch])
            except Exception as error:
                # Monitoring errors must never reach the agent's program.
                reason = f"{type(error).__name__}: {error}"
                self._warn_once("internal", f"{len(batch)} events were not delivered: {reason}")
                logger.debug("not delivered", exc_info=True)
            with self._change:
                self._busy, self._in_delivery = False, []
                self._change.notify_all()
        if self._manager is not None:
            self._manager.close()

    def _take_batch(self) -> list[QueuedEvent]:
        """Wait for events and return up to _MAX_BATCH of them; an empty list ends the thread."""
        with self._change:
            while not self._queue:
                if self._closing:
                    self._thread = None
                    _running.discard(self)
                    return []
                self._change.wait()
            ready_at = self._queue[0].queued_at + _GATHER_S
            while not self._closing and (remaining := ready_at - time.monotonic()) > 0:
                self._change.wait(remaining)
            batch = [self._queue.popleft() for _ in range(min(_MAX_BATCH, len(self._queue)))]
            for queued in batch:
                queued.taken = True
            self._busy, self._in_delivery = True, batch
            n_dropped, self._n_dropped = self._n_dropped, 0
        if n_dropped:
            logger.warning("queue full (%d events): %d events were dropped", _MAX_QUEUED, n_dropped)
        return batch

    def _deliver(self, events: Sequence[Event]) -> None:
        if time.monotonic() >= self._retry_server_at and self._send_to_server(events):
            return
        try:
            self._write_to_file(events)
        except HtmlgraphError as error:
            self._warn_once("file", f"{len(events)} events are lost: {error}")

    def _send_to_server(self, events: Sequence[Event]) -> bool:
        from .rest import Rest

        if self._rest is None:
            self._rest = Rest(self._candidates, _RESPONSE_TIMEOUT_S)
        try:
            self._rest.send_events(events)
        except ServerRefused as error:
            self._warn_once(
                "refused", f"the server rejected events; writing them to the file: {error}"
            )
        except (ConnectError, HtmlgraphError) as error:
            logger.debug("no server: %s", error)
        else:
            return True
        self._retry_server_at = time.monotonic() + _RETRY_SERVER_S
        return False

    def _candidates(self) -> list[Candidate]:
        from .discovery import candidates

        # Any program can listen at the default address while no server runs.
        return [one for one in candidates(self._url, self._token) if not one.is_default]

    def _write_to_file(self, events: Sequence[Event]) -> None:
        from ..presence import PresenceManager

        if self._manager is None:
            self._manager = PresenceManager(self._db_path)
        self._manager.ingest(events)

    def _write_to_spool(self, events: Sequence[Event]) -> None:
        from ..hook.spool_file import spool
        from ..ingest.spool import spool_line
        from ..paths import spool_path

        try:
            # The spool belongs to the default file.
            written = self._db_path is None and spool(
                b"\n".join(spool_line(event) for event in events), spool_path()
            )
        except OSError as error:
            self._warn_once("spool", f"{len(events)} events are lost: {error}")
        else:
            if not written:
                self._warn_once("spool", f"{len(events)} events were not delivered in time")

    def _warn_once(self, topic: str, text: str) -> None:
        if topic not in self._logged:
            self._logged.add(topic)
            logger.warning("%s", text)


# Senders whose thread is running; the program's exit waits for them.
_running: set[EventSender] = set()


@atexit.register
def _close_all() -> None:
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    for sender in list(_running):
        sender.close(max(0.0, deadline - time.monotonic()))


def _register_worker_exit() -> None:
    """Also close at the exit of a ``multiprocessing`` worker, which does not run atexit."""
    global _registered_pid
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or _registered_pid == os.getpid():
        return
    if process.parent_process() is not None:
        _registered_pid = os.getpid()
        util.Finalize(None, _close_all, exitpriority=0)


_registered_pid = 0
