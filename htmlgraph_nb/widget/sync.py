"""Sends changes of agents to pages in few small messages, and none to closed pages.

:class:`UpdateScheduler` decides what is due at a given time. :class:`SyncThread` sends it for all
widgets of the process.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence
from ..core.protocol import Cursor, presence_to_wire
from ..core.timestamps import to_rfc3339

logger = logging.getLogger(__name__)
# Without a handler, Python prints errors of this thread into the output of a running cell. The
# widget itself shows them.
logger.addHandler(logging.NullHandler())

HEARTBEAT_S = 5.0
SNAPSHOT_INTERVAL_S = 5.0
SNAPSHOT_AGENTS = 1000
"""Above this number of agents, the snapshot interval grows in proportion."""
MAX_CHANGES_PER_S = 3000
"""A browser cannot lay out more; larger batches are sent less often."""
AWAY_AFTER_S = 60.0
AWAY_SNAPSHOT_INTERVAL_S = 30.0
SUSPEND_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class View:
    """A consistent copy of the data that a grid shows.

    Attributes:
        cursor: None before the first state of a server.
        at: time of the copy, UTC; in a replay, the displayed time.
        activity: returns the counts of the last minutes, as ``Activity.to_dict``; None: unknown.
        replaying: ``at`` is not the present, so every message must contain it.
        server_info: the server's last report about itself; None: none yet, or no server.
    """

    agents: Mapping[str, AgentPresence]
    cursor: Cursor | None
    connection: ConnectionState
    at: datetime
    activity: Callable[[], dict[str, Any]] | None = None
    replaying: bool = False
    server_info: Mapping[str, Any] | None = None

    def to_state(self) -> dict[str, Any]:
        """Return the widget's ``state``: all that a page needs without a kernel."""
        state: dict[str, Any] = {
            "epoch": None if self.cursor is None else self.cursor.epoch,
            "seq": 0 if self.cursor is None else self.cursor.seq,
            "agents": [presence_to_wire(presence) for presence in self.agents.values()],
            "connection": self.connection.to_dict(),
            "at": to_rfc3339(self.at),
        }
        if self.activity is not None:
            state["activity"] = self.activity()
        if self.server_info is not None:
            state["server_info"] = self.server_info
        return state

    def messages(self, agent_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the latest state of these agents as wire messages, ordered by seq."""
        at = to_rfc3339(self.at)
        seq = 0 if self.cursor is None else self.cursor.seq
        messages = [
            _presence_message(agent_id, self.agents.get(agent_id), seq, at)
            for agent_id in agent_ids
        ]
        return sorted(messages, key=lambda message: int(message["seq"]))


def _presence_message(
    agent_id: str, presence: AgentPresence | None, seq: int, at: str
) -> dict[str, Any]:
    if presence is None:
        return {"type": "presence_removed", "agent_id": agent_id, "timestamp": at, "seq": seq}
    return {
        "type": "presence_update",
        "event_type": "presence_update",
        "agent_id": agent_id,
        "presence": presence_to_wire(presence),
        "timestamp": at,
        "seq": presence.seq,
    }


class UpdateScheduler:
    """Decides when a widget gets which message. All times are seconds of one monotonic clock.

    A batch contains the latest state of each changed agent and is sent at most ``max_rate`` times
    per second; after 5 s without changes an empty one is sent as a heartbeat. A snapshot contains
    everything. It is sent at once when the server or its database is replaced, and otherwise every
    5 s if anything changed, which repairs a lost batch. With more than 1,000 agents the interval
    grows in proportion. A new report of the server about itself is sent with the next message.

    The page pings every 10 s while it shows the widget. After 60 s without a ping, only a snapshot
    every 30 s is sent, and after ten minutes nothing: Jupyter Server buffers messages that a closed
    page does not fetch, without limit. Only time in which the kernel is idle counts, because a
    ping may have to wait until a running cell ends. The next ping triggers a snapshot.

    Args:
        max_rate: maximum batches per second.
        now: creation time; counts as a ping.
    """

    def __init__(self, max_rate: float, now: float) -> None:
        self.max_rate = max_rate
        self._changed: dict[str, None] = {}
        self._connection_changed = False
        self._dirty = True
        self._snapshot_requested = True
        self._away_s = 0.0
        self._ticked_at = now
        self._sent_at = self._snapshot_at = now - AWAY_SNAPSHOT_INTERVAL_S
        self._sent_size = 0
        self._snapshot_interval_s = SNAPSHOT_INTERVAL_S
        self._sent_cursor: Cursor | None = None
        self._sent_info: Mapping[str, Any] | None = None
        self._n_sent = 0

    @property
    def away(self) -> bool:
        """Whether no page has shown the widget for a minute of idle kernel."""
        return self._away_s >= AWAY_AFTER_S

    def on_change(self, agent_ids: Iterable[str]) -> None:
        """Record that these agents were changed, added or removed."""
        self._changed.update(dict.fromkeys(agent_ids))
        self._dirty = True

    def on_connection(self) -> None:
        """Record that the connection changed."""
        self._connection_changed = self._dirty = True

    def request_snapshot(self) -> None:
        """Request a snapshot, because more changed than individual agents."""
        self._snapshot_requested = self._dirty = True

    def on_ping(self, now: float) -> None:
        """Record that a page shows the widget."""
        self._snapshot_requested = self._snapshot_requested or self.away
        self._away_s = 0.0
        self._ticked_at = now

    def on_error(self, now: float) -> None:
        """Record that sending failed: retry later, with a snapshot."""
        self._snapshot_requested = True
        self._sent_at = now + HEARTBEAT_S

    def on_time_passed(self, now: float, busy: bool) -> None:
        """Record that time passed, and whether a cell was running meanwhile."""
        if not busy:
            self._away_s += now - self._ticked_at
        self._ticked_at = now

    def due_at(self) -> float:
        """Return when the next message is due if nothing else happens; ``inf``: never."""
        if self._away_s >= SUSPEND_AFTER_S:
            return float("inf")
        if self.away:
            return self._snapshot_at + AWAY_SNAPSHOT_INTERVAL_S if self._dirty else float("inf")
        if self._snapshot_requested or self._changed or self._connection_changed:
            return self._sent_at + max(1.0 / self.max_rate, self._sent_size / MAX_CHANGES_PER_S)
        heartbeat_at = self._sent_at + HEARTBEAT_S
        if not self._dirty:
            return heartbeat_at
        return min(heartbeat_at, self._snapshot_at + self._snapshot_interval_s)

    def next_message(self, now: float, view: View) -> dict[str, Any] | None:
        """Return the message that is due at ``now``, or None."""
        if now < self.due_at():
            return None
        self._n_sent += 1
        needs_snapshot = (
            self._snapshot_requested
            or self.away
            or self._was_reset(view.cursor)
            or (self._dirty and now >= self._snapshot_at + self._snapshot_interval_s)
        )
        message = self._snapshot(now, view) if needs_snapshot else self._batch(view)
        self._changed.clear()
        self._connection_changed = False
        self._sent_at = now
        self._sent_cursor = view.cursor
        self._sent_info = view.server_info
        return message

    def _was_reset(self, cursor: Cursor | None) -> bool:
        if cursor is None or self._sent_cursor is None:
            return cursor is not self._sent_cursor
        return cursor.epoch != self._sent_cursor.epoch or cursor.seq < self._sent_cursor.seq

    def _snapshot(self, now: float, view: View) -> dict[str, Any]:
        self._snapshot_requested = self._dirty = False
        self._snapshot_at = now
        self._sent_size = min(len(view.agents), SNAPSHOT_AGENTS)
        self._snapshot_interval_s = SNAPSHOT_INTERVAL_S * max(
            1.0, len(view.agents) / SNAPSHOT_AGENTS
        )
        return {"kind": "snapshot", "n": self._n_sent, "state": view.to_state()}

    def _batch(self, view: View) -> dict[str, Any]:
        self._sent_size = len(self._changed)
        batch = {
            "kind": "batch",
            "n": self._n_sent,
            "messages": view.messages(self._changed),
            "connection": view.connection.to_dict(),
        }
        if view.replaying:
            batch["at"] = to_rfc3339(view.at)
        if view.server_info is not None and view.server_info is not self._sent_info:
            batch["server_info"] = view.server_info
        return batch


class WidgetSink(ABC):
    """One widget as the sync thread sees it.

    Args:
        scheduler: decides what is due.

    Attributes:
        error: the last error as text; None if the last message was sent.
    """

    def __init__(self, scheduler: UpdateScheduler) -> None:
        self.scheduler = scheduler
        self.error: str | None = None

    @abstractmethod
    def view(self) -> View | None:
        """Return the data to show; None if the widget no longer exists."""

    @abstractmethod
    def deliver(self, message: dict[str, Any]) -> None:
        """Send one message to the page."""

    @abstractmethod
    def show_error(self, error: Exception | None) -> None:
        """Show why :meth:`view` or :meth:`deliver` failed; None: they work again."""


class SyncThread:
    """One daemon thread that updates all widgets of the process; it ends with the last of them.

    Args:
        busy: returns whether a cell is running.
        clock: monotonic seconds.
    """

    def __init__(
        self, busy: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._busy = busy
        self._clock = clock
        # Guards the schedulers, and wakes the thread when one of them has something new.
        self._wake = threading.Condition()
        self._sinks: list[WidgetSink] = []
        self._thread: threading.Thread | None = None

    def add(self, sink: WidgetSink) -> None:
        """Start updating a widget."""
        with self._wake:
            self._sinks.append(sink)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="htmlgraph-sync", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def remove(self, sink: WidgetSink) -> None:
        """Stop updating a widget. Unknown sinks are ignored."""
        with self._wake:
            if sink in self._sinks:
                self._sinks.remove(sink)
            self._wake.notify()

    def update(self, sink: WidgetSink, change: Callable[[UpdateScheduler], None]) -> None:
        """Apply ``change`` to the sink's scheduler, and wake the thread if that makes it due."""
        with self._wake:
            before = sink.scheduler.due_at()
            change(sink.scheduler)
            if sink.scheduler.due_at() < before:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._sinks:
                    self._thread = None
                    return
                wait = min(sink.scheduler.due_at() for sink in self._sinks) - self._clock()
                if wait > 0:
                    self._wake.wait(min(wait, HEARTBEAT_S))
                now, busy = self._clock(), self._busy()
                for sink in self._sinks:
                    sink.scheduler.on_time_passed(now, busy)
                due = [sink for sink in self._sinks if sink.scheduler.due_at() <= now]
            for sink in due:
                self._send(sink, now)

    def _send(self, sink: WidgetSink, now: float) -> None:
        try:
            with self._wake:
                # Under the lock, because the message clears the recorded changes.
                view = sink.view()
                message = None if view is None else sink.scheduler.next_message(now, view)
            if message is not None:
                sink.deliver(message)
                self._on_sent(sink)
        except Exception as error:  # noqa: BLE001  (logged and shown by _on_error)
            self._on_error(sink, error)

    def _on_error(self, sink: WidgetSink, error: Exception) -> None:
        # An error of one widget must not end the thread that updates the others.
        text = f"{type(error).__name__}: {error}"
        if text != sink.error:
            logger.error("a widget could not be updated: %s", text, exc_info=error)
        sink.error = text
        with self._wake:
            sink.scheduler.on_error(self._clock())
        sink.show_error(error)

    def _on_sent(self, sink: WidgetSink) -> None:
        if sink.error is not None:
            sink.error = None
            sink.show_error(None)
