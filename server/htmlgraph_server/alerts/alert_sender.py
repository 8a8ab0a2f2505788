"""AlertSender: which channels get which alerts, and the queue that sends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from htmlgraph_nb.alerts.channels import AlertChannel
from htmlgraph_nb.alerts.evaluation.case_state import AlertChange
from htmlgraph_nb.alerts.fired_alert import FiredAlert, alert_id_of
from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now
from htmlgraph_nb.presence import PresenceManager

from .delivery.delivery_queue import DeliveryQueue
from .table_outbox import TableOutbox

_START_S = 5.0
"""Longest time that a test alert waits for the start of the deliveries."""


class AlertSender:
    """The channels of one server. Its thread starts with the first channel.

    Args:
        manager: the open database.
        is_leader: returns whether this server sends.
    """

    def __init__(self, manager: PresenceManager, is_leader: Callable[[], bool]) -> None:
        self._outbox = TableOutbox(manager, is_leader)
        self._channels: Mapping[str, AlertChannel] = {}
        self._queue: DeliveryQueue | None = None

    async def set_channels(self, channels: Mapping[str, AlertChannel]) -> None:
        """Replace the channels."""
        self._channels = channels
        if self._queue is not None:
            self._queue.set_channels(channels)
        elif channels:
            self._queue = DeliveryQueue(self._outbox, channels)
            await _in_thread(self._queue.start)

    async def begin(self) -> None:
        """Call it when this server becomes the leader.

        Raises:
            StoreError: the database cannot be read.
        """
        await _in_thread(self._outbox.begin)
        self.send()

    def channels_of(self, change: AlertChange) -> Sequence[str]:
        """Return the names of the channels that get a message about a change."""
        alert = change.alert
        if not change.notify:
            return ()
        names = alert.channels or tuple(self._channels)
        channels = (self._channels.get(name) for name in names)
        return [c.name for c in channels if c is not None and c.accepts(alert.severity)]

    def send(self) -> None:
        """Send what was stored."""
        if self._queue is not None:
            self._queue.submit()

    async def test(self, name: str) -> str | None:
        """Send a test alert on a channel.

        Returns:
            What went wrong; "" if it was sent; None: there is no such channel.
        """
        if self._queue is None or name not in self._channels:
            return None
        now = utc_now()
        alert = FiredAlert(
            alert_id=alert_id_of("test", name, now),
            rule="test",
            kind="test",
            severity="info",
            state="firing",
            subject="test",
            since=now,
            fired_at=now,
            message="This is a test of htmlgraph-nb alerts.",
            label="Test",
        )
        end = time.monotonic() + _START_S
        while not self._queue.is_running:
            # The server has just started, or is about to stop.
            if time.monotonic() >= end:
                return "the delivery of alerts is not running"
            await asyncio.sleep(0.02)
        outcome = await asyncio.wrap_future(self._queue.test(name, alert))
        return outcome.error

    def states(self) -> list[dict[str, Any]]:
        """Return the channels and what is known of them as JSON objects, without secrets."""
        states = {} if self._queue is None else self._queue.states()
        rows = []
        for name, channel in self._channels.items():
            state = states.get(name)
            sent_at = None if state is None or state.sent_at is None else to_rfc3339(state.sent_at)
            known = {
                "failures": 0 if state is None else state.failures,
                "error": state.error if state is not None and state.error else None,
                "sent_at": sent_at,
            }
            rows.append({**channel.public(), **known})
        return rows

    async def close(self) -> None:
        """Stop sending; what is pending is sent after the next start."""
        if self._queue is not None:
            await _in_thread(self._queue.close)


async def _in_thread(function: Callable[[], object]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function)
