"""Sends the pending deliveries of the outbox, each channel on its own.

One thread has an event loop of its own with one task for each channel, so that a channel that
fails or hangs delays neither another channel nor the server. The outbox is the queue: a task reads
the next deliveries of its channel, sends them and stores the outcome. What is not sent when the
server stops is still in the outbox at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from htmlgraph_nb.alerts.channels import AlertChannel
from htmlgraph_nb.alerts.fired_alert import Delivery, FiredAlert, Outbox
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import StoreError

from .outcome import ERROR_MAX, Outcome
from .retry_delay import gives_up, retry_delay
from .senders import ChannelSender, make_sender

logger = logging.getLogger(__name__)

BATCH = 20
"""Most deliveries of a channel in memory."""
OUTBOX_POLL_S = 5.0
"""Interval at which the outbox is read without a reason."""
STOP_S = 3.0
"""How long ``close`` waits for the thread."""

T = TypeVar("T")


@dataclass
class ChannelState:
    """What is known of a channel.

    Attributes:
        failures: failed attempts since the last success.
        error: of the last attempt; "" after a success.
        sent_at: time of the last success; None: none since the start.
    """

    failures: int = 0
    error: str = ""
    sent_at: datetime | None = None


class DeliveryQueue:
    """Sends alerts; all methods can be called from any thread.

    Args:
        outbox: the stored deliveries.
        channels: the channels by name.
        clock: returns the current time, UTC.
        random: returns a number of at least 0, less than 1; for the delays between attempts.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, AlertChannel],
        *,
        clock: Callable[[], datetime] = utc_now,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._channels = dict(channels)
        self._clock = clock
        self._random = random
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._tasks: dict[str, _ChannelTask] = {}
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="htmlgraph-alerts", daemon=True)
        # The outbox may wait for the disk.
        self._disk = ThreadPoolExecutor(1, "htmlgraph-outbox")

    def start(self) -> None:
        """Start the thread; pending deliveries of earlier runs are sent at once."""
        self._thread.start()
        self._started.wait()

    def submit(self) -> None:
        """Send what was added to the outbox; returns at once."""
        self._call(self._wake_all)

    def set_channels(self, channels: Mapping[str, AlertChannel]) -> None:
        """Replace the channels; those that are equal continue."""
        self._channels = dict(channels)
        self._call(self._update_tasks)

    def states(self) -> dict[str, ChannelState]:
        """Return what is known of each channel."""
        return {name: task.state for name, task in list(self._tasks.items())}

    def test(self, name: str, alert: FiredAlert) -> Future[Outcome]:
        """Send an alert on one channel without the outbox, and return its future outcome.

        Args:
            name: name of the channel.
            alert: the alert to send.

        Raises:
            KeyError: there is no such channel.
            RuntimeError: the queue is not running.
        """
        if name not in self._channels:
            raise KeyError(name)
        delivery = Delivery(0, alert, name, 0, self._clock())

        async def attempt() -> Outcome:
            # The task of a channel that was just added exists by now.
            task = self._tasks.get(name)
            return (
                Outcome("the channel was removed") if task is None else await task.attempt(delivery)
            )

        with self._lock:
            if self._loop is None:
                raise RuntimeError("the delivery of alerts is not running")
            return asyncio.run_coroutine_threadsafe(attempt(), self._loop)

    @property
    def is_running(self) -> bool:
        """Whether its thread has started and is not stopped."""
        return self._loop is not None

    def close(self, timeout_s: float = STOP_S) -> None:
        """Stop; attempts in progress are given up and stay in the outbox.

        Args:
            timeout_s: how long to wait for the thread.
        """
        self._call(lambda: self._stopping.set() if self._stopping else None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.warning("the delivery of alerts does not end")
        self._disk.shutdown(wait=False, cancel_futures=True)

    def _call(self, function: Callable[[], object]) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            logger.exception("the delivery of alerts has ended")
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._stopping = asyncio.Event()
        self._update_tasks_of(asyncio.get_running_loop())
        self._started.set()
        try:
            await self._stopping.wait()
        finally:
            with self._lock:
                self._loop = None
            await asyncio.gather(*(task.stop() for task in self._tasks.values()))

    def _update_tasks_of(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._loop = loop
        self._update_tasks()

    def _update_tasks(self) -> None:
        """Start and stop tasks, so that each channel has one."""
        for name, task in list(self._tasks.items()):
            if self._channels.get(name) != task.channel:
                del self._tasks[name]
                task.end_soon()
        for name, channel in self._channels.items():
            if name not in self._tasks:
                self._tasks[name] = _ChannelTask(channel, self)

    def _wake_all(self) -> None:
        for task in self._tasks.values():
            task.wake()

    async def blocking(self, function: Callable[[], T]) -> T:
        """Run a function that may wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, function)

    @property
    def outbox(self) -> Outbox:
        """The stored deliveries."""
        return self._outbox

    def now(self) -> datetime:
        """Return the current time."""
        return self._clock()

    def delay(self, state: ChannelState, outcome: Outcome) -> float:
        """Return the seconds until the next attempt of a channel."""
        return retry_delay(state.failures, self._random(), outcome.retry_after_s)


class _ChannelTask:
    """Sends the deliveries of one channel, one at a time."""

    def __init__(self, channel: AlertChannel, queue: DeliveryQueue) -> None:
        self.channel = channel
        self.state = ChannelState()
        self._queue = queue
        self._sender: ChannelSender = make_sender(channel)
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._unstored: dict[int, Callable[[], None]] = {}
        self._store_failed = False
        self._task = asyncio.get_running_loop().create_task(self._loop())
        self._ending: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Read the outbox now."""
        self._woken.set()

    def end_soon(self) -> None:
        """Stop without waiting."""
        self._ending = asyncio.get_running_loop().create_task(self.stop())

    async def stop(self) -> None:
        """Give up the attempt in progress and release what the sender holds."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._sender.close()

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Send once; never raises."""
        async with self._turn:
            try:
                return await self._sender.send(delivery, self._queue.now())
            except Exception:
                # A fault of ours must not end the channel.
                logger.exception("channel %s: unexpected error", self.channel.name)
                return Outcome("unexpected error; see the log of the server")

    async def _loop(self) -> None:
        async with self._turn:
            await self._sender.start()
        while True:
            self._woken.clear()
            due = await self._pending()
            for delivery in due:
                outcome = await self.attempt(delivery)
                if (wait_s := await self._store(delivery, outcome)) > 0:
                    # The others of this channel would fail, too.
                    await asyncio.sleep(wait_s)
                    break
            if not due:
                await self._wait()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTBOX_POLL_S):
                await self._woken.wait()

    async def _pending(self) -> list[Delivery]:
        """Return the deliveries that are due; none if the outbox cannot be read."""
        queue, name = self._queue, self.channel.name
        try:
            for delivery_id, store in list(self._unstored.items()):
                await queue.blocking(store)
                del self._unstored[delivery_id]
            due = await queue.blocking(lambda: queue.outbox.pending(name, queue.now(), BATCH))
        except StoreError as error:
            if not self._store_failed:
                logger.warning("channel %s: %s", name, error)
            self._store_failed = True
            return []
        self._store_failed = False
        return list(due)

    async def _store(self, delivery: Delivery, outcome: Outcome) -> float:
        """Store an outcome and log a change; return the seconds until the next attempt."""
        queue, state, now = self._queue, self.state, self._queue.now()
        delivery_id, wait_s = delivery.delivery_id, 0.0
        next_at = None
        if not outcome.error:
            self._log_recovery()
            self.state = ChannelState(sent_at=now)
        else:
            state.failures += 1
            dropped = gives_up(delivery, outcome, now)
            if not outcome.final:
                wait_s = queue.delay(state, outcome)
                next_at = None if dropped else now + timedelta(seconds=wait_s)
            self._log_failure(outcome, wait_s, dropped)
            state.error = outcome.error

        def store() -> None:
            if outcome.error:
                queue.outbox.failed(delivery_id, outcome.error[:ERROR_MAX], next_at)
            else:
                queue.outbox.sent(delivery_id)

        try:
            await queue.blocking(store)
        except StoreError:
            # Stored before the outbox is read again: the alert must not be sent each time.
            self._unstored[delivery_id] = store
        return wait_s

    def _log_failure(self, outcome: Outcome, wait_s: float, dropped: bool) -> None:
        if self.state.error:
            return
        then = "this alert is not sent" if dropped else f"next attempt in {wait_s:.0f} s"
        logger.warning(
            "channel %s: cannot send alerts: %s; %s", self.channel.name, outcome.error, then
        )

    def _log_recovery(self) -> None:
        if self.state.error:
            n = self.state.failures
            attempts = "attempt" if n == 1 else "attempts"
            logger.warning(
                "channel %s: sent again after %d failed %s", self.channel.name, n, attempts
            )
