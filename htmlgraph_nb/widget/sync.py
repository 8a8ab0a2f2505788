"""From a client's changes to a widget's messages: few, small, and none for a closed page.

:class:`UpdateScheduler` decides what is due, given the time; :class:`SyncThread` is the one
thread that asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence
from ..core.protocol import Cursor, presence_to_wire
from ..core.timestamps import to_rfc3339

log = logging.getLogger("htmlgraph.feed")
# Without a handler of the user's, a message of this thread would be printed into whatever cell
# runs at the time. The widget shows its errors itself.
log.addHandler(logging.NullHandler())

HEARTBEAT_S = 5.0
KEYFRAME_S = 5.0
KEYFRAME_AGENTS = 1000
"""With more agents keyframes come less often in proportion: each is work for kernel and browser."""
CHANGES_PER_SECOND = 3000
"""Beyond this a browser does nothing but lay out cards: batches come less often instead."""
AWAY_AFTER_S = 60.0
AWAY_KEYFRAME_S = 30.0
ASLEEP_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class View:
    """What there is to show, all of one moment.

    Attributes:
        cursor: None before the first state of a server.
        at: UTC; of a replay, the time that is shown.
        activity: returns the counts of the last minutes, as ``Activity.to_dict``; None: unknown.
        replaying: ``at`` is not the present, so that every message must say it.
    """

    agents: Mapping[str, AgentPresence]
    cursor: Cursor | None
    connection: ConnectionState
    at: datetime
    activity: Callable[[], dict[str, Any]] | None = None
    replaying: bool = False

    def to_state(self) -> dict[str, Any]:
        """Return the whole as the widget's ``state``: enough to show it without a kernel."""
        state = {
            "epoch": None if self.cursor is None else self.cursor.epoch,
            "seq": 0 if self.cursor is None else self.cursor.seq,
            "agents": [presence_to_wire(one) for one in self.agents.values()],
            "connection": self.connection.to_dict(),
            "at": to_rfc3339(self.at),
        }
        if self.activity is not None:
            state["activity"] = self.activity()
        return state

    def messages(self, changed: Iterable[str]) -> list[dict[str, Any]]:
        """Return the latest state of each of these agents as messages of the wire, by seq."""
        at = to_rfc3339(self.at)
        seq = 0 if self.cursor is None else self.cursor.seq
        told = [_message(agent_id, self.agents.get(agent_id), seq, at) for agent_id in changed]
        return sorted(told, key=lambda message: int(message["seq"]))


def _message(agent_id: str, one: AgentPresence | None, seq: int, at: str) -> dict[str, Any]:
    if one is None:
        return {"type": "presence_removed", "agent_id": agent_id, "timestamp": at, "seq": seq}
    return {
        "type": "presence_update",
        "event_type": "presence_update",
        "agent_id": agent_id,
        "presence": presence_to_wire(one),
        "timestamp": at,
        "seq": one.seq,
    }


class UpdateScheduler:
    """Decides which message a widget gets when; all times are seconds of one monotonic clock.

    A batch holds the latest state of each agent that changed, at most ``max_rate`` times a
    second; an empty one is sent after 5 s of silence. A keyframe holds everything: at once when
    the server or its database is another one, and else every 5 s if anything changed, which
    repairs a lost batch; of more than 1,000 agents in proportion less often.

    The page says every 10 s that it shows the widget. After 60 s without that, only a keyframe
    every 30 s is sent, and after ten minutes nothing: Jupyter Server keeps what a closed page does
    not fetch, without bound. Only time in which the kernel is idle counts, because behind a
    running cell such a message may wait until the cell ends. The next one brings a keyframe.

    Args:
        max_rate: most batches a second.
        now: the time of its making, which counts as a sign of the page.
    """

    def __init__(self, max_rate: float, now: float) -> None:
        self.max_rate = max_rate
        self._changed: dict[str, None] = {}
        self._connection_changed = False
        self._dirty = True
        self._keyframe_now = True
        self._away_s = 0.0
        self._looked_at = now
        self._batch_at = self._keyframe_at = now - AWAY_KEYFRAME_S
        self._batch_size = 0
        self._keyframe_pause = KEYFRAME_S
        self._sent: Cursor | None = None
        self._n = 0

    @property
    def away(self) -> bool:
        """Whether no page has shown the widget for a minute of idle kernel."""
        return self._away_s >= AWAY_AFTER_S

    def note(self, changed: Iterable[str]) -> None:
        """Take in that these agents changed, came or went."""
        self._changed.update(dict.fromkeys(changed))
        self._dirty = True

    def note_connection(self) -> None:
        """Take in that the connection changed."""
        self._connection_changed = self._dirty = True

    def request_snapshot(self) -> None:
        """Take in that more is new than the agents that changed: a keyframe is due."""
        self._keyframe_now = self._dirty = True

    def ping(self, now: float) -> None:
        """Take in that a page shows the widget."""
        self._keyframe_now = self._keyframe_now or self.away
        self._away_s = 0.0
        self._looked_at = now

    def fail(self, now: float) -> None:
        """Take in that a message could not be sent: the next try is later, with everything."""
        self._keyframe_now = True
        self._batch_at = now + HEARTBEAT_S

    def look(self, now: float, busy: bool) -> None:
        """Take in that time has passed, and whether a cell was running meanwhile."""
        if not busy:
            self._away_s += now - self._looked_at
        self._looked_at = now

    def due_at(self) -> float:
        """Return when the next message is due, if nothing else happens; ``inf`` for never."""
        if self._away_s >= ASLEEP_AFTER_S:
            return float("inf")
        if self.away:
            return self._keyframe_at + AWAY_KEYFRAME_S if self._dirty else float("inf")
        pause = max(1.0 / self.max_rate, self._batch_size / CHANGES_PER_SECOND)
        if self._keyframe_now or self._changed or self._connection_changed:
            return self._batch_at + pause
        due = self._batch_at + HEARTBEAT_S
        return min(due, self._keyframe_at + self._keyframe_pause) if self._dirty else due

    def take(self, now: float, view: View) -> dict[str, Any] | None:
        """Return the message that is due now, or None."""
        if now < self.due_at():
            return None
        self._n += 1
        whole = (
            self._keyframe_now
            or self.away
            or self._set_back(view.cursor)
            or (self._dirty and now >= self._keyframe_at + self._keyframe_pause)
        )
        message = self._keyframe(now, view) if whole else self._batch(view)
        self._changed.clear()
        self._connection_changed = False
        self._batch_at = now
        self._sent = view.cursor
        return message

    def _set_back(self, cursor: Cursor | None) -> bool:
        if cursor is None or self._sent is None:
            return cursor is not self._sent
        return cursor.epoch != self._sent.epoch or cursor.seq < self._sent.seq

    def _keyframe(self, now: float, view: View) -> dict[str, Any]:
        self._keyframe_now = self._dirty = False
        self._keyframe_at = now
        self._batch_size = min(len(view.agents), KEYFRAME_AGENTS)
        self._keyframe_pause = KEYFRAME_S * max(1.0, len(view.agents) / KEYFRAME_AGENTS)
        return {"kind": "keyframe", "n": self._n, "state": view.to_state()}

    def _batch(self, view: View) -> dict[str, Any]:
        self._batch_size = len(self._changed)
        batch = {
            "kind": "batch",
            "n": self._n,
            "messages": view.messages(self._changed),
            "connection": view.connection.to_dict(),
        }
        if view.replaying:
            batch["at"] = to_rfc3339(view.at)
        return batch


class WidgetSink:
    """A feed with its two ends: where the view comes from and where the messages go.

    Args:
        feed: decides.
        view: returns what there is to show.
        deliver: sends one message, in the feeder's thread.
        failed: takes what one of the two raised; None when sending works again.
    """

    def __init__(
        self,
        feed: UpdateScheduler,
        view: Callable[[], View],
        deliver: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception | None], None],
    ) -> None:
        self.feed = feed
        self.view = view
        self.deliver = deliver
        self.failed = failed
        self.trouble: str | None = None


class SyncThread:
    """One daemon thread that feeds all widgets of the process; it ends with the last of them.

    Args:
        busy: whether a cell is running.
        clock: monotonic seconds.
    """

    def __init__(
        self, busy: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._busy = busy
        self._clock = clock
        # Guards the feeds, and wakes the thread when one of them has something new.
        self._wake = threading.Condition()
        self._outlets: list[WidgetSink] = []
        self._thread: threading.Thread | None = None

    def add(self, outlet: WidgetSink) -> None:
        """Begin to feed."""
        with self._wake:
            self._outlets.append(outlet)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="htmlgraph-feed", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def remove(self, outlet: WidgetSink) -> None:
        """Stop to feed; unknown outlets are no error."""
        with self._wake:
            if outlet in self._outlets:
                self._outlets.remove(outlet)
            self._wake.notify()

    def tell(self, outlet: WidgetSink, what: Callable[[UpdateScheduler], None]) -> None:
        """Let ``what`` change the outlet's feed, and look at it again."""
        with self._wake:
            before = outlet.feed.due_at()
            what(outlet.feed)
            if outlet.feed.due_at() < before:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._outlets:
                    self._thread = None
                    return
                wait = min(one.feed.due_at() for one in self._outlets) - self._clock()
                if wait > 0:
                    self._wake.wait(min(wait, HEARTBEAT_S))
                now, busy = self._clock(), self._busy()
                for outlet in self._outlets:
                    outlet.feed.look(now, busy)
                ready = [one for one in self._outlets if one.feed.due_at() <= now]
            for outlet in ready:
                self._feed(outlet, now)

    def _feed(self, outlet: WidgetSink, now: float) -> None:
        try:
            with self._wake:
                # The view is taken under the lock: a change noted after it is not cleared by it.
                message = outlet.feed.take(now, outlet.view())
            if message is not None:
                outlet.deliver(message)
                self._recovered(outlet)
        except Exception as error:  # noqa: BLE001  (logged and shown by _failed)
            self._failed(outlet, error)

    def _failed(self, outlet: WidgetSink, error: Exception) -> None:
        # One widget's trouble must not end the thread that feeds the others.
        trouble = f"{type(error).__name__}: {error}"
        if trouble != outlet.trouble:
            log.error("a widget could not be fed: %s", trouble, exc_info=error)
        outlet.trouble = trouble
        with self._wake:
            outlet.feed.fail(self._clock())
        outlet.failed(error)

    def _recovered(self, outlet: WidgetSink) -> None:
        if outlet.trouble is not None:
            outlet.trouble = None
            outlet.failed(None)
